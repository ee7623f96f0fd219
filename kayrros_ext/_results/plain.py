"""Assets value by value: slow, and exact about whatever `columns` leaves aside.

Reading is strict about what the contract declares and tolerant where it is silent: a field may be missing or null, and
fields that are not declared are named, not lost from sight.
"""

import contextlib
import functools
import json
import math
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, NoReturn

import pyarrow as pa

from kayrros_ext._results.schema import (
    ASSET_FIELDS,
    ASSETS,
    DOUBLE,
    INTEGER,
    LABEL,
    OF_ASSET,
    OF_METRIC,
    OF_RESULT,
    RESULTS,
    STRINGS,
    WITHOUT_METRICS,
    Tables,
    not_json,
    refuse,
)

# Half of a character: JSON can escape one, no text can hold it.
_SURROGATE = re.compile("[\ud800-\udfff]")
# A date of Python takes any separator, and ISO 8601 these; digits are those of ASCII.
_DATE = re.compile(r"[0-9W-]+([T ][0-9:.,Z+-]+)?", re.ASCII)
_STRING_OR_CONSTANT = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|(NaN|-?Infinity)')
_NAMES = [field.name for field in ASSET_FIELDS]
# Dates repeat from asset to asset; where they do not, they must not fill the memory.
_DATES_KEPT = 1 << 16


def loads(text: bytes, **hooks: Any) -> Any:
    """A JSON value as Python objects.

    Raises:
        ContractError: it is not JSON.
    """
    try:
        return json.loads(text, parse_constant=_no_constant, parse_int=_whole, **hooks)
    except _ConstantError as error:
        raise not_json(_placed(error, text.decode("utf-8", "surrogatepass"))) from None
    except (ValueError, RecursionError) as error:
        raise not_json(error) from None


class Reader:
    """Reads assets that are Python objects; each value is checked against the type that the contract declares.

    Attributes:
        unknown: values of the fields that no table holds: of what kind of object, by name.
    """

    def __init__(self) -> None:
        self.rows: dict[str, list[Any]] = {name: [] for name in RESULTS.names}
        self.assets: dict[str, list[Any]] = {name: [] for name in ASSETS.names}
        self.bare: dict[str, list[Any]] = {name: [] for name in WITHOUT_METRICS.names}
        self.unknown: dict[str, dict[str, list[Any]]] = {"": {}, OF_ASSET: {}, OF_RESULT: {}, OF_METRIC: {}}

    def tables(self) -> Tables:
        """What was read."""
        return Tables(
            table=pa.table(self.rows, schema=RESULTS),
            assets=pa.table(self.assets, schema=ASSETS),
            without_metrics=pa.table(self.bare, schema=WITHOUT_METRICS),
        )

    def unknown_fields(self) -> set[str]:
        """Names of the fields that no table holds, each with the kind of object it is in."""
        return {kind + name for kind, names in self.unknown.items() for name in names}

    def read_asset(self, asset: object, where: str) -> None:
        """Read one item of `assets`.

        Raises:
            ContractError: it is not what the contract says; it names the place, which begins with `where`.
        """
        members = self.members(asset, where, OF_ASSET, {*_NAMES, "results"})
        values = [member(members, field.name, where, _CHECKS[field.type]) for field in ASSET_FIELDS]
        dates = 0
        for dates, (place, result) in enumerate(items(members.get("results"), f"{where}.results"), 1):  # noqa: B007 - the last is the count
            self._read_result(result, place, values)
        for name, value in zip(_NAMES, values, strict=True):
            self.assets[name].append(value)
        self.assets["date_count"].append(dates)

    def _read_result(self, result: object, where: str, asset: list[Any]) -> None:
        members = self.members(result, where, OF_RESULT, {"metrics", "value_date"})
        date = member(members, "value_date", where, _date)
        count = 0
        for count, (place, metric) in enumerate(items(members.get("metrics"), f"{where}.metrics"), 1):  # noqa: B007 - as above
            named = self.members(metric, place, OF_METRIC, {"name", "value"})
            for name, value in zip(_NAMES, asset, strict=True):
                self.rows[name].append(value)
            self.rows["value_date"].append(date)
            self.rows["metric"].append(member(named, "name", place, string))
            self.rows["value"].append(member(named, "value", place, _number))
        if not count:
            self.bare["asset_id"].append(asset[0])
            self.bare["value_date"].append(date)

    def members(self, value: object, where: str, kind: str, known: set[str]) -> dict[str, Any]:
        """The members of a JSON object; those that are not known are kept by the kind of object they are in."""
        if not isinstance(value, dict):
            refuse(value, where or "the answer", "an object")
        for name in value.keys() - known:
            self.unknown[kind].setdefault(name, []).append(value[name])
        return value


@functools.lru_cache(_DATES_KEPT)
def parse_date(text: str) -> datetime | None:
    """A date in UTC, which is also what a date without a zone is in (assumed); None where it is not ISO 8601."""
    if not _DATE.fullmatch(text):
        return None
    try:
        date = datetime.fromisoformat(text)
        return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def items(value: object, place: str) -> Iterator[tuple[str, Any]]:
    """The items of an array that may be missing or null, each with its place."""
    if value is None:
        return
    if not isinstance(value, list):
        refuse(value, place, "an array")
    for index, item in enumerate(value):
        yield f"{place}[{index}]", item


def member(members: dict[str, Any], name: str, where: str, check: Callable[[Any, str], Any]) -> Any:
    """A member of an object as `check` gives it; None where it is missing or null."""
    value = members.get(name)
    return None if value is None else check(value, f"{where}.{name}".lstrip("."))


def string(value: object, where: str) -> str:
    """A string, as it is."""
    if not isinstance(value, str):
        refuse(value, where, "a string")
    return value if value.isascii() or not _SURROGATE.search(value) else refuse(value, where, "a string of Unicode")


def _date(value: object, where: str) -> datetime:
    return parse_date(string(value, where)) or refuse(value, where, "an ISO 8601 date")


def _number(value: object, where: str) -> float:
    # An integer is a double in JSON; true is not.
    if isinstance(value, int | float) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):
            if math.isfinite(value):
                return float(value)
    return refuse(value, where, "a number that a double can hold")


def _integer(value: object, where: str) -> int:
    # 3.0 is an integer in JSON; true is not.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63:
        return value
    return refuse(value, where, "an integer of 64 bits")


def _strings(value: object, where: str) -> list[str | None]:
    return [None if item is None else string(item, place) for place, item in items(value, where)]


_CHECKS: dict[pa.DataType, Callable[[Any, str], Any]] = {
    LABEL: string,
    INTEGER: _integer,
    DOUBLE: _number,
    STRINGS: _strings,
}


def _whole(text: str) -> int | float:
    # An integer of Python has no minus zero, and at most some thousands of digits.
    try:
        return -0.0 if text == "-0" else int(text)
    except ValueError:
        return float(text)


class _ConstantError(Exception):
    """A number that Python reads and JSON does not have."""


def _no_constant(name: str) -> NoReturn:
    raise _ConstantError(f"{name} is not JSON")


def _placed(error: _ConstantError, text: str) -> json.JSONDecodeError:
    """The error with its place, as others have: that of the first constant that is not inside a string."""
    place = next(found.start(1) for found in _STRING_OR_CONSTANT.finditer(text) if found[1])
    return json.JSONDecodeError(str(error), text, place)
