"""The names of listed collections and datasets, cached so that a name or the beginning of an id can stand for an id."""

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from kayrros_ext._text import list_names
from kayrros_ext.cli.exit_codes import NotListedError
from kayrros_ext.errors import UsageError

if TYPE_CHECKING:
    from kayrros_ext.cli.accounts import Account

Kind = Literal["collections", "datasets"]
_MAX_NAME, _MAX_BYTES = 60, 2**24
# A leading dash would be an option.
_PLAIN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def save_names(account: "Account", kind: Kind, rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Add the names of rows that have an id and a name to the cache of the account, if it can be written. Return them."""
    from kayrros_ext._files import write_private

    names = {str(row["id"]): str(row["name"]) for row in rows if row.get("id") and row.get("name")}
    if path := _cache_path(account):
        cached = _load(path)
        cached[kind] = {**cached.get(kind, {}), **names}
        with contextlib.suppress(OSError):
            write_private(path, json.dumps(cached).encode())
    return names


def resolve(account: "Account", kind: Kind, text: str, *, fetch: Callable[[], dict[str, str]] | None = None) -> str:
    """Return the id for an id, a name, or the beginning of either.

    Args:
        account: its names are searched.
        kind: what to search.
        text: as the user typed it.
        fetch: returns all names by id; called if no cached name matches.

    Raises:
        UsageError: several names match, or none in the cache does.
        NotListedError: none of the fetched names matches.
    """
    text = text.strip()
    if _is_uuid(text):
        return text
    path = _cache_path(account)
    names = (_load(path) if path else {}).get(kind, {})
    ids = _matching_ids(text, names)
    if not ids and fetch:
        names = fetch()
        ids = _matching_ids(text, names)
    if len(ids) == 1:
        return ids[0]
    if ids:
        matches = list_names((f"{key} ({names[key]})" for key in ids), near=text)
        raise UsageError(f"{text!r} matches {len(ids)} {kind}: {matches}.", hint="Give more of the id.")
    if fetch:
        listed = list_names(names.values(), near=text)
        raise NotListedError(f"There is no collection {text!r}.", hint=f"`kayrros collections` lists: {listed}.")
    raise UsageError(
        f"No listed dataset matches {text!r}.",
        hint="Give its full id, or list its collection first: kayrros datasets COLLECTION",
    )


def complete_datasets(incomplete: str) -> list[tuple[str, str]]:
    """Return id and name of the cached datasets whose id begins like this, for shell completion."""
    return _complete("datasets", incomplete)


def complete_collections(incomplete: str) -> list[tuple[str, str]]:
    """Return id and name of the cached collections whose id begins like this, for shell completion."""
    return _complete("collections", incomplete)


def _complete(kind: Kind, incomplete: str) -> list[tuple[str, str]]:
    """Search the names of all accounts, because finding out the current one is too slow for a completion.

    Shells evaluate what is offered to them, so ids and names must be plain. An id is left out otherwise, or its name.
    """
    folder = _cache_folder()
    paths = sorted(folder.glob("*.json")) if folder else []
    names = {key: name for path in paths for key, name in _load(path).get(kind, {}).items()}
    return [
        (key, name[:_MAX_NAME] if all(char.isalnum() or char in " ._-" for char in name) else "")
        for key, name in names.items()
        if key.startswith(incomplete.lower()) and _PLAIN_ID.fullmatch(key)
    ]


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _matching_ids(text: str, names: dict[str, str]) -> list[str]:
    """Return the ids that are the text or have it as name; if there are none, those that begin with it."""
    text = text.casefold()
    candidates = {key: (key.casefold(), name.casefold()) for key, name in names.items() if text}
    return [key for key, both in candidates.items() if text in both] or [
        key for key, both in candidates.items() if any(name.startswith(text) for name in both)
    ]


def _cache_folder() -> Path | None:
    from kayrros_ext._auth.token_cache import user_cache_dir

    folder = user_cache_dir()
    return folder / "names" if folder else None


def _cache_path(account: "Account") -> Path | None:
    folder = _cache_folder()
    key = json.dumps([account.auth_url, account.base_url, account.email])
    return folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json" if folder else None


def _load(path: Path) -> dict[str, dict[str, str]]:
    """Return the names by id and kind; nothing if the file is missing, damaged or not private."""
    from kayrros_ext._files import read_private

    try:
        content = json.loads(read_private(path, _MAX_BYTES))
        return {kind: {str(key): str(name) for key, name in content[kind].items()} for kind in content}
    except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return {}
