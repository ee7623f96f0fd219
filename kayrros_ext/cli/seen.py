"""Names of the collections and datasets that an account was shown, so that a name or half an id will do for one."""

import hashlib
import json
import os
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kayrros_ext.errors import UsageError

if TYPE_CHECKING:
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


def resolve(account: "Account", kind: Kind, text: str) -> str:
    """The id of what a user means: an id, the beginning of one, a name, or the beginning of one.

    Raises:
        UsageError: several are meant, and the error names them; or, of datasets, none that was listed.
    """
    wanted = text.strip()
    if _ID.fullmatch(wanted):
        return wanted
    path = _path(account)
    known = (_read(path) if path else {}).get(kind, {})
    folded = wanted.casefold()
    found = [key for key, name in known.items() if folded and folded in {key.casefold(), name.casefold()}]
    found = found or [
        key
        for key, name in known.items()
        if folded and (key.casefold().startswith(folded) or name.casefold().startswith(folded))
    ]
    if len(found) == 1:
        return found[0]
    if found:
        named = ", ".join(f"{key} ({known[key]})" for key in sorted(found)[:_MOST_NAMED])
        more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
        raise UsageError(f"{text!r} may be {len(found)} {kind}: {named}{more}. Give more of the id.")
    if kind == "collections":  # what form an id of a collection has is unknown, so any word may be one
        return text
    raise UsageError(
        f"There is no dataset {text!r} among those that were listed. Give its whole id, or list its collection first: "
        "kayrros datasets COLLECTION"
    )


def suggestions(incomplete: str) -> list[tuple[str, str]]:
    """Ids of all datasets that were ever listed and begin so, each with its name, for the completion of a shell."""
    from kayrros_ext.token_cache import user_cache

    folder = user_cache()
    files = sorted((folder / "names").glob("*.json")) if folder else []
    names = {key: name for path in files for key, name in _read(path).get("datasets", {}).items()}
    return [(key, name) for key, name in names.items() if key.startswith(incomplete.lower())]


def _path(account: "Account") -> Path | None:
    from kayrros_ext.token_cache import user_cache

    folder = user_cache()
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
