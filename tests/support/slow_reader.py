"""The slow and obvious reading of a results answer: what `kayrros_ext._results.reader` has to agree with, in every detail.

It shares nothing with that but the schemas and the error. Reading is strict about what the contract declares and tolerant
where it is silent: a field may be missing or null, and fields that are not declared are named, not lost from sight.
"""

import contextlib
import json
import math
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, NoReturn

import attrs
import pyarrow as pa

from kayrros_ext import ContractError
from kayrros_ext._results.schema import ASSET_FIELDS, ASSETS, RESULTS, WITHOUT_METRICS

# Half of a character: JSON can escape one, no text can hold it.
_SURROGATE = re.compile("[\ud800-\udfff]")

_OF_ASSET = [field.name for field in ASSET_FIELDS]


@attrs.frozen
class Reading:
    """What a results answer holds."""

    table: pa.Table
    assets: pa.Table
    without_metrics: pa.Table
    processing_id: str | None
    source_id: str | None
    unknown_fields: tuple[str, ...]


def read(body: bytes) -> Reading:
    """Read a results answer.

    Raises:
        ContractError: the answer is not what the contract says; it names the place.
    """
    try:
        answer = json.loads(body, parse_constant=_no_constant, parse_int=_whole)
    except (ValueError, RecursionError) as error:
        raise ContractError(f"the results are not JSON ({error})", operation="getDatasetResults") from None
    return _Reader().read(answer)


class _Reader:
    """Reads one answer, value by value; each value is checked against the type that the contract declares."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Any]] = {name: [] for name in RESULTS.names}
        self.assets: dict[str, list[Any]] = {name: [] for name in ASSETS.names}
        self.bare: dict[str, list[Any]] = {name: [] for name in WITHOUT_METRICS.names}
        self.unknown: dict[str, None] = {}
        self.dates: dict[str, datetime] = {}

    def read(self, answer: object) -> Reading:
        top = self.members(answer, "", "", {"assets", "processing_id", "source_id"})
        for where, asset in _items(top.get("assets"), "assets"):
            self.read_asset(asset, where)
        return Reading(
            table=pa.table(self.rows, schema=RESULTS),
            assets=pa.table(self.assets, schema=ASSETS),
            without_metrics=pa.table(self.bare, schema=WITHOUT_METRICS),
            processing_id=_read(top, "processing_id", "", _string),
            source_id=_read(top, "source_id", "", _string),
            unknown_fields=tuple(sorted(self.unknown)),
        )

    def read_asset(self, asset: object, where: str) -> None:
        members = self.members(asset, where, "assets[].", {*_OF_ASSET, "results"})
        values = [_read(members, field.name, where, _CHECKS[field.type]) for field in ASSET_FIELDS]
        dates = 0
        for dates, (place, result) in enumerate(_items(members.get("results"), f"{where}.results"), 1):  # noqa: B007 - the last is the count
            self.read_result(result, place, values)
        for name, value in zip(_OF_ASSET, values, strict=True):
            self.assets[name].append(value)
        self.assets["date_count"].append(dates)

    def read_result(self, result: object, where: str, asset: list[Any]) -> None:
        members = self.members(result, where, "assets[].results[].", {"metrics", "value_date"})
        date = _read(members, "value_date", where, self.date)
        count = 0
        for count, (place, metric) in enumerate(_items(members.get("metrics"), f"{where}.metrics"), 1):  # noqa: B007 - as above
            named = self.members(metric, place, "assets[].results[].metrics[].", {"name", "value"})
            for name, value in zip(_OF_ASSET, asset, strict=True):
                self.rows[name].append(value)
            self.rows["value_date"].append(date)
            self.rows["metric"].append(_read(named, "name", place, _string))
            self.rows["value"].append(_read(named, "value", place, _number))
        if not count:
            self.bare["asset_id"].append(asset[0])
            self.bare["value_date"].append(date)

    def members(self, value: object, where: str, kind: str, known: set[str]) -> dict[str, Any]:
        """The members of a JSON object; those that are not known are noted by the kind of object they are in."""
        if not isinstance(value, dict):
            _refuse(value, where or "the answer", "an object")
        self.unknown.update(dict.fromkeys(kind + name for name in value if name not in known))
        return value

    def date(self, value: object, where: str) -> datetime:
        text = _string(value, where)
        if text not in self.dates:
            self.dates[text] = _parse_date(text) or _refuse(value, where, "an ISO 8601 date")
        return self.dates[text]


def _parse_date(text: str) -> datetime | None:
    """A date in UTC, which is also what a date without a zone is in (assumed); None where it is not ISO 8601."""
    if not re.fullmatch(r"[0-9W-]+([T ][0-9:.,Z+-]+)?", text, re.ASCII):  # Python would take any separator
        return None
    try:
        date = datetime.fromisoformat(text)
        return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _items(value: object, place: str) -> Iterator[tuple[str, Any]]:
    """The items of an array that may be missing or null, each with its place."""
    if value is None:
        return
    if not isinstance(value, list):
        _refuse(value, place, "an array")
    for index, item in enumerate(value):
        yield f"{place}[{index}]", item


def _read(members: dict[str, Any], name: str, where: str, check: Callable[[Any, str], Any]) -> Any:
    value = members.get(name)
    return None if value is None else check(value, f"{where}.{name}".lstrip("."))


def _string(value: object, where: str) -> str:
    if not isinstance(value, str):
        _refuse(value, where, "a string")
    return value if value.isascii() or not _SURROGATE.search(value) else _refuse(value, where, "a string of Unicode")


def _number(value: object, where: str) -> float:
    # An integer is a double in JSON; true is not.
    if isinstance(value, int | float) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):
            if math.isfinite(value):
                return float(value)
    return _refuse(value, where, "a number that a double can hold")


def _integer(value: object, where: str) -> int:
    # 3.0 is an integer in JSON; true is not.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63:
        return value
    return _refuse(value, where, "an integer of 64 bits")


def _strings(value: object, where: str) -> list[str | None]:
    return [None if item is None else _string(item, place) for place, item in _items(value, where)]


_CHECKS: dict[pa.DataType, Callable[[Any, str], Any]] = {
    pa.dictionary(pa.int32(), pa.string()): _string,
    pa.int64(): _integer,
    pa.float64(): _number,
    pa.list_(pa.string()): _strings,
}


def _refuse(value: object, where: str, expected: str) -> NoReturn:
    raise ContractError(
        f"the results hold {_short(value)} at `{where}`, where the contract says {expected}",
        operation="getDatasetResults",
        where=where,
    )


def _short(value: object) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "an array"
    return f"{value!r:.80}"


def _whole(text: str) -> int | float:
    # An integer of Python has no minus zero, and at most some thousands of digits.
    try:
        return -0.0 if text == "-0" else int(text)
    except ValueError:
        return float(text)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
