"""Arguments of a call: ids, objects that have one, and keywords that the call does not have."""

import re
from collections.abc import Callable, Iterable
from typing import Any, Protocol
from uuid import UUID

from kayrros_ext.errors import UsageError

# Because uuid.UUID accepts signs, underscores and braces.
UUID_PATTERN = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
# What others call an argument of ours.
_ALIASES = {
    "dataset": "id dataset_id name",
    "start": "begin from_ since start_date",
    "stop": "end to until stop_date end_date",
    "assets": "asset_ids mo_ids ids",
    "email": "user username login account",
    "password": "passwd pwd secret",  # nosec B105 - a list of names
    "token": "api_key key access_token",  # nosec B105
    "base_url": "url host endpoint",
    "path": "file filename output",
    "directory": "folder path output",
    "size": "figsize",
}


class HasId(Protocol):
    """An object that stands for its id, such as a dataset of `Kayrros.datasets`."""

    @property
    def id(self) -> object:
        """A UUID, or a string."""


# A dataset or a collection: its id or name, or an object that has its id.
IdOrName = UUID | str | HasId


def parse_uuid(value: object) -> UUID | None:
    """Return the UUID of a UUID or its string; None for anything else."""
    if isinstance(value, str) and UUID_PATTERN.fullmatch(value.strip()):
        return UUID(value.strip())
    return value if isinstance(value, UUID) else None


def describe(value: object, article: str = "a") -> str:
    """Return a short text or the type of a wrong argument, because the repr of a table fills pages."""
    is_short = isinstance(value, str | int | float | UUID | None) and len(repr(value)) < 80
    kind = type(value).__name__
    return repr(value) if is_short else f"{article}{'n' * (kind[0] in 'AEIOUaeiou')} {kind}"


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the one of the names that a wrong one is an alias of, or resembles; case does not matter."""
    import difflib

    by_lower = {key.lower(): key for key in names}
    near = [key for key in by_lower if name.lower() in _ALIASES.get(key, "").split()]
    near = near or difflib.get_close_matches(name.lower(), by_lower, 1, cutoff=0.75)
    return by_lower[near[0]] if near else None


def unknown_argument(function: Callable[..., Any], unknown: dict[str, Any]) -> UsageError:
    """Return the error for keywords that a function does not have. Empties them: a traceback may show a password."""
    import inspect

    name = next(iter(unknown))
    unknown.clear()
    names = [key for key, it in inspect.signature(function).parameters.items() if it.kind is not it.VAR_KEYWORD]
    near = nearest(name, names)
    hint = f"Did you mean {near}?" if near else f"Arguments: {', '.join(key for key in names if key != 'self')}."
    return UsageError(f"There is no argument {name!r}.", hint=hint)
