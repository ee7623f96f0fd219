"""The ids and names that commands have listed, cached for the completion of a shell."""

import contextlib
import hashlib
import itertools
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from kayrros_ext.cli.accounts import Account

_MAX_NAME, MAX_NAMES, _MAX_BYTES = 60, 10_000, 2**24
_ASSETS_OF = "assets of "
# A leading dash would be an option.
_PLAIN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# Names by id, by kind: "collections", "datasets", "metrics", and "assets of" the id of a dataset.
Names = dict[str, dict[str, str]]


def save_names(account: "Account", kind: str, pairs: Iterable[tuple[object, object]]) -> None:
    """Add ids with their names to the cache of the account, if it can be written; the first 10,000 of a kind."""
    from kayrros_ext._files import write_private

    names = {str(key): str(name or "") for key, name in itertools.islice(pairs, MAX_NAMES) if key}
    if names and (path := _cache_path(account)):
        cached = _load(path)
        merged = {**names, **cached.get(kind, {}), **names}
        cached[kind] = dict(itertools.islice(merged.items(), MAX_NAMES))
        with contextlib.suppress(OSError):
            write_private(path, json.dumps(cached).encode())


def load_names(account: "Account") -> Names:
    """Return the cached names of the account."""
    path = _cache_path(account)
    return _load(path) if path else {}


def complete_datasets(incomplete: str) -> list[tuple[str, str]]:
    """Return id and name of the cached datasets whose id begins like this, for shell completion."""
    return _plain(_of_all_accounts().get("datasets", {}), incomplete)


def complete_collections(incomplete: str) -> list[tuple[str, str]]:
    """Return id and name of the cached collections whose id begins like this, for shell completion."""
    return _plain(_of_all_accounts().get("collections", {}), incomplete)


def complete_metrics(incomplete: str) -> list[tuple[str, str]]:
    """Return the cached metrics that begin like this, for shell completion."""
    return _plain(_of_all_accounts().get("metrics", {}), incomplete)


def complete_assets(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Return id and name of the cached assets whose id begins like this, for shell completion.

    They are those of the dataset in the command line, by its id or name or the beginning of either, where its assets are
    cached; else those of all datasets.
    """
    # The dataset is among the arguments if the line ends in the option, whose value is missing.
    typed = {str(text).casefold() for text in (context.params.get("dataset"), *context.args) if text}
    names = _of_all_accounts()
    assets = {kind.removeprefix(_ASSETS_OF): each for kind, each in names.items() if kind.startswith(_ASSETS_OF)}
    labels = {key: (key.casefold(), name.casefold()) for key, name in [*names.get("datasets", {}).items()]}
    labels |= {key: (key.casefold(), key.casefold()) for key in assets if key not in labels}
    ids = [key for key, both in labels.items() if typed.intersection(both)] or [
        key for key, both in labels.items() if any(label.startswith(tuple(typed)) for label in both)
    ]
    selected = assets.get(ids[0]) if len(ids) == 1 else None
    return _plain(selected or {key: name for each in assets.values() for key, name in each.items()}, incomplete)


def _plain(names: dict[str, str], incomplete: str) -> list[tuple[str, str]]:
    """Return the ids that begin like this, with their names.

    Shells evaluate what is offered to them, so ids and names must be plain. An id is left out otherwise, or its name.
    """
    return [
        (key, name[:_MAX_NAME] if all(char.isalnum() or char in " ._-" for char in name) else "")
        for key, name in names.items()
        if key.lower().startswith(incomplete.lower()) and _PLAIN_ID.fullmatch(key)
    ]


def _of_all_accounts() -> Names:
    """Return the names of all accounts, because finding out the current one is too slow for a completion."""
    folder, merged = _cache_folder(), Names()
    for path in sorted(folder.glob("*.json")) if folder else []:
        for kind, names in _load(path).items():
            merged.setdefault(kind, {}).update(names)
    return merged


def _cache_folder() -> Path | None:
    from kayrros_ext._auth.token_cache import user_cache_dir

    folder = user_cache_dir()
    return folder / "names" if folder else None


def _cache_path(account: "Account") -> Path | None:
    folder = _cache_folder()
    key = json.dumps([account.auth_url, account.base_url, account.email])
    return folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json" if folder else None


def _load(path: Path) -> Names:
    """Return the cached names; nothing if the file is missing, damaged or not private."""
    from kayrros_ext._files import read_private

    try:
        content = json.loads(read_private(path, _MAX_BYTES))
        return {kind: {str(key): str(name) for key, name in content[kind].items()} for kind in content}
    except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return {}
