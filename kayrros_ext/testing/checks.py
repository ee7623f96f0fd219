"""What the spec allows in a request, and nothing else: openapi.yaml's request schemas, by hand."""

import json
import re
from collections.abc import Mapping
from typing import Any, Literal, NoReturn, get_args
from urllib.parse import parse_qs

import attrs

from kayrros_ext._inputs import MAX_MS, MIN_MS
from kayrros_ext.errors import UsageError
from kayrros_ext.testing.messages import Request

Inclusive = Literal["both", "left", "right", "neither"]


class InvalidError(Exception):
    """The request breaks the spec: a 400."""


@attrs.frozen
class Window:
    """Which results are wanted.

    Attributes:
        mo_ids: ids of the assets; None for all.
        start_us: start of the range, in epoch microseconds; None without a range.
        stop_us: its end, likewise.
        inclusive: which ends of the range belong to it. Unknown of the real API.
    """

    mo_ids: frozenset[str] | None = None
    start_us: int | None = None
    stop_us: int | None = None
    inclusive: Inclusive = "both"

    @property
    def bounds(self) -> tuple[int, int] | None:
        """First and last microsecond that belong to it; None without a range."""
        if self.start_us is None or self.stop_us is None:
            return None
        first = self.start_us + (self.inclusive not in {"both", "left"})
        return first, self.stop_us - (self.inclusive not in {"both", "right"})

    def wants(self, asset_id: object) -> bool:
        """Whether the results of an asset are wanted."""
        return self.mo_ids is None or asset_id in self.mo_ids

    def holds(self, moment_us: int | None) -> bool:
        """Whether a moment lies within. One that is not known lies in no range."""
        if self.bounds is None:
            return True
        return moment_us is not None and self.bounds[0] <= moment_us <= self.bounds[1]


def read_dataset_id(text: str) -> str:
    """A dataset id in lower case.

    Raises:
        InvalidError: it is not a UUID.
    """
    if not re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text):
        raise InvalidError("datasetId is not a UUID")
    return text.lower()


def read_credentials(request: Request) -> tuple[str, str]:
    """Email and password of a login.

    Raises:
        InvalidError: the body is not a LoginRequest.
    """
    body = _members(_json(request), "the body", {"email": _text, "password": _text}, required={"email", "password"})
    return body["email"], body["password"]


def read_window(request: Request, inclusive: Inclusive) -> Window:
    """What a results request wants; all, where it has no body.

    Raises:
        InvalidError: the body is not a ProcessingResultFilter.
    """
    if not request.body:  # with or without a Content-Type: the generated client sends one in any case
        return Window(inclusive=inclusive)
    body = _members(_json(request), "the body", {"mo_ids": _texts, "time_range": _range})
    start_ms, stop_ms = body.get("time_range", (None, None))
    return Window(
        mo_ids=body.get("mo_ids"),
        start_us=None if start_ms is None else start_ms * 1000,
        stop_us=None if stop_ms is None else stop_ms * 1000,
        inclusive=inclusive,
    )


def read_collection_id(request: Request) -> str:
    """The form field of that name.

    Raises:
        InvalidError: there is none, or several, or others.
    """
    if request.content_type != "application/x-www-form-urlencoded":
        raise InvalidError("the body is not a form (Content-Type: application/x-www-form-urlencoded)")
    try:
        fields = parse_qs(request.body.decode("utf-8"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise InvalidError("the form is not text in UTF-8") from None
    if list(fields) != ["collection_id"] or len(fields["collection_id"]) != 1 or not fields["collection_id"][0]:
        raise InvalidError("the form is not one field, collection_id")
    return fields["collection_id"][0]


def read_inclusive(value: str) -> Inclusive:
    """Which ends of a range belong to it.

    Raises:
        UsageError: it is none of the four words.
    """
    for word in get_args(Inclusive):
        if word == value:
            return word  # type: ignore[no-any-return]  # one of the literals
    raise UsageError(f"inclusive is {value!r}. Give one of {', '.join(get_args(Inclusive))}.")


def _json(request: Request) -> Any:
    if request.content_type != "application/json":
        raise InvalidError("the body is not JSON (Content-Type: application/json)")
    try:
        return json.loads(request.body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise InvalidError("the body is not JSON") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _members(
    value: Any, where: str, known: Mapping[str, Any], required: frozenset[str] | set[str] = frozenset()
) -> Any:
    if not isinstance(value, dict):
        raise InvalidError(f"{where} is not an object")
    for name in value:
        if name not in known:
            raise InvalidError(f"{where} has a field that is not listed")
    for name in sorted(required):
        if name not in value:
            raise InvalidError(f"{where} has no {name}")
    return {name: known[name](member, name) for name, member in value.items()}


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidError(f"{where} is not a string of one character at least")
    return value


def _texts(value: Any, where: str) -> frozenset[str]:
    if not isinstance(value, list) or not value:
        raise InvalidError(f"{where} is not an array of one string at least")
    return frozenset(_text(item, f"an item of {where}") for item in value)


def _range(value: Any, where: str) -> tuple[int, int]:
    known = {"start_date": _epoch_ms, "stop_date": _epoch_ms}
    ends = _members(value, where, known, required={"start_date", "stop_date"})
    # A range that ends before it starts breaks no rule of the spec: it holds nothing.
    return ends["start_date"], ends["stop_date"]


def _epoch_ms(value: Any, where: str) -> int:
    if isinstance(value, float) and value.is_integer():  # 3.0 is an integer in JSON
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not MIN_MS <= value <= MAX_MS:
        raise InvalidError(f"{where} is not an integer of epoch milliseconds in the years 1 to 9999")
    return value
