"""Names of the collections and datasets that an account was shown, so that a name or half an id will do for one."""

import hashlib
import json
import os
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kayrros_ext.cli.exits import NotListedError
from kayrros_ext.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kayrros_ext.cli.accounts import Account

Kind = Literal["collections", "datasets"]
_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_MOST_NAMED = 5


def remember(account: "Account", kind: Kind, names: dict[str, str]) -> None:
    """Note the names of what was listed, by id. Names are a convenience: where they can't be kept, nothing fails."""
    path = _path(account)
    if path is None:
        return
    known = _read(path)
    known[kind] = {**known.get(kind, {}), **names}
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(known, file)
        part.replace(path)
    except OSError as error:
        import logging

        logging.getLogger("kayrros_ext").debug("The names could not be kept in %s (%s).", path, type(error).__name__)


def resolve(account: "Account", kind: Kind, text: str, *, ask: "Callable[[], dict[str, str]] | None" = None) -> str:
    """The id of what a user means: an id, the beginning of one, a name, or the beginning of one.

    Args:
        account: whose names they are.
        kind: of what.
        text: what the user said.
        ask: gives the names by id, where they cost one request; called when none that is known is meant.

    Raises:
        UsageError: several are meant, and the error names them; or none is, of those that were listed.
        NotListedError: none is, of those there are.
    """
    wanted = text.strip()
    if _ID.fullmatch(wanted):
        return wanted
    path = _path(account)
    known = (_read(path) if path else {}).get(kind, {})
    found = _meant(wanted, known)
    if not found and ask:
        known = ask()
        found = _meant(wanted, known)
    if len(found) == 1:
        return found[0]
    if found:
        named = ", ".join(f"{key} ({known[key]})" for key in sorted(found)[:_MOST_NAMED])
        more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
        raise UsageError(f"{text!r} may be {len(found)} {kind}: {named}{more}. Give more of the id.")
    if ask:
        named = ", ".join(repr(name) for name in sorted(known.values())[:_MOST_NAMED])
        raise NotListedError(
            f"There is no collection {text!r}. `kayrros collections` lists those there are: {named or 'none'}."
        )
    raise UsageError(
        f"There is no dataset {text!r} among those that were listed. Give its whole id, or list its collection first: "
        "kayrros datasets COLLECTION"
    )


def _meant(wanted: str, known: dict[str, str]) -> list[str]:
    """The ids that are a word or have it as a name; if there are none, those that begin so."""
    word = wanted.casefold()
    both = {key: (key.casefold(), name.casefold()) for key, name in known.items() if word}
    return [key for key, names in both.items() if word in names] or [
        key for key, names in both.items() if any(name.startswith(word) for name in names)
    ]


def suggested_datasets(incomplete: str) -> list[tuple[str, str]]:
    """Datasets that were listed and whose id begins so, for the completion of a shell."""
    return _suggested("datasets", incomplete)


def suggested_collections(incomplete: str) -> list[tuple[str, str]]:
    """Collections, likewise."""
    return _suggested("collections", incomplete)


def _suggested(kind: Kind, incomplete: str) -> list[tuple[str, str]]:
    """Ids, each with its name, of whatever account: whose it is takes too long to find out between two keys."""
    from kayrros_ext._auth.token_cache import user_cache_dir

    folder = user_cache_dir()
    files = sorted((folder / "names").glob("*.json")) if folder else []
    names = {key: name for path in files for key, name in _read(path).get(kind, {}).items()}
    return [(key, name) for key, name in names.items() if key.startswith(incomplete.lower())]


def _path(account: "Account") -> Path | None:
    from kayrros_ext._auth.token_cache import user_cache_dir

    folder = user_cache_dir()
    if folder is None:
        return None
    whose = json.dumps([account.auth_url, account.base_url, account.email])
    return folder / "names" / f"{hashlib.sha256(whose.encode()).hexdigest()[:32]}.json"


def _read(path: Path) -> dict[str, dict[str, str]]:
    """What was kept; nothing where anything is odd about it."""
    try:
        found = json.loads(path.read_bytes())
        return {kind: {str(key): str(name) for key, name in found[kind].items()} for kind in found}
    except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return {}
