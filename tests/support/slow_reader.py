"""A slow and obvious reader of a results response, which `kayrros_ext._results.reader` must agree with.

It shares only the schemas and the units with that reader. It visits every value in turn, and collects the place of every
error, where the other reader names one of them.
"""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import attrs

from kayrros_ext._results.schema import ASSET_FIELDS, ASSETS, DOUBLE, INTEGER, LABEL, RESULTS, STRINGS, WITHOUT_METRICS
from kayrros_ext._results.units import unit_of

_ASSET_NAMES = [field.name for field in ASSET_FIELDS]
# The fields of each kind of object, the required ones first.
_FIELDS = {
    "": ["assets", "processing_id", "source_id"],
    "assets[].": ["asset_id", "results", *_ASSET_NAMES[1:]],
    "assets[].results[].": ["value_date", "metrics"],
    "assets[].results[].metrics[].": ["name", "value"],
}
_REQUIRED = {"": 1, "assets[].": 2, "assets[].results[].": 2, "assets[].results[].metrics[].": 2}


class NonFinite:
    """NaN or an infinity, which JSON lacks, and which some servers write nevertheless."""

    def __init__(self, _: str) -> None:
        pass


@attrs.define
class Reading:
    """The rows of a response, and the places of its errors."""

    table: list[dict[str, Any]] = attrs.field(factory=list)
    assets: list[dict[str, Any]] = attrs.field(factory=list)
    without_metrics: list[dict[str, Any]] = attrs.field(factory=list)
    processing_id: str | None = None
    source_id: str | None = None
    unknown_fields: tuple[str, ...] = ()
    non_finite: int = 0
    errors: set[str] = attrs.field(factory=set)


def read(body: bytes) -> Reading | None:
    """Read a response; None where it is not JSON in UTF-8 with whole characters."""
    try:
        answer = json.loads(body, parse_constant=NonFinite, parse_int=_integer_or_float, object_pairs_hook=_whole)
        body.decode()
    except (ValueError, RecursionError):
        return None
    return _Reader().read(answer)


def _whole(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object, or raise UnicodeEncodeError for half of a surrogate pair, also under a name that comes twice."""
    json.dumps(members, ensure_ascii=False, default=repr).encode()
    return dict(members)


class _Reader:
    def __init__(self) -> None:
        self.reading = Reading()
        self.names: dict[str, set[str]] = {kind: set() for kind in _FIELDS}
        self.lists_of_objects: dict[str, set[str]] = {kind: set() for kind in _FIELDS}

    def read(self, answer: object) -> Reading:
        reading = self.reading
        members = self.members(answer, "", "")
        reading.processing_id = self.value(members, "processing_id", "", _string)
        reading.source_id = self.value(members, "source_id", "", _string)
        for where, asset in self.items(members, "assets", ""):
            self.read_asset(asset, where)
        for kind, names in self.names.items():
            undeclared = names - set(_FIELDS[kind])
            for name in _FIELDS[kind][: _REQUIRED[kind]]:
                # A server may leave out an empty list, so its new name must hold a list of objects.
                may_be_new = undeclared & self.lists_of_objects[kind] if name in {"results", "metrics"} else undeclared
                if may_be_new and name not in names:
                    reading.errors.add(kind + name)
        unknown = {kind + name for kind, names in self.names.items() for name in names - set(_FIELDS[kind])}
        reading.unknown_fields = tuple(sorted(unknown))
        return reading

    def read_asset(self, asset: object, where: str) -> None:
        members = self.members(asset, where, "assets[].")
        values = {field.name: self.value(members, field.name, where, _CHECKS[field.type]) for field in ASSET_FIELDS}
        if "asset_categories" in members:
            values["asset_categories"] = self.strings(members, "asset_categories", where)
        results = list(self.items(members, "results", where))
        self.reading.assets.append(dict(zip(ASSETS.names, [*values.values(), len(results)], strict=True)))
        for place, result in results:
            members = self.members(result, place, "assets[].results[].")
            date = self.value(members, "value_date", place, _date)
            metrics = list(self.items(members, "metrics", place))
            for inner, metric in metrics:
                members = self.members(metric, inner, "assets[].results[].metrics[].")
                name = self.value(members, "name", inner, _string)
                cells = [name, None if name is None else unit_of(name), self.value(members, "value", inner, _number)]
                self.reading.table.append(dict(zip(RESULTS.names, [*values.values(), date, *cells], strict=True)))
            if not metrics:
                row = dict(zip(WITHOUT_METRICS.names, [values["asset_id"], date], strict=True))
                self.reading.without_metrics.append(row)

    def members(self, value: object, where: str, kind: str) -> dict[str, Any]:
        """Return the members of an object, and note their names."""
        if not isinstance(value, dict):
            self.reading.errors.add(where or "the answer")
            return {}
        self.names[kind].update(value)
        self.lists_of_objects[kind] |= {
            name for name, inner in value.items() if isinstance(inner, list) and inner and isinstance(inner[0], dict)
        }
        return value

    def items(self, members: dict[str, Any], name: str, where: str) -> Iterator[tuple[str, Any]]:
        """Yield the items of an array that may be missing or null, each with its place."""
        place, value = f"{where}.{name}".lstrip("."), members.get(name)
        if isinstance(value, list):
            yield from ((f"{place}[{index}]", item) for index, item in enumerate(value))
        elif value is not None:
            self.reading.errors.add(place)

    def strings(self, members: dict[str, Any], name: str, where: str) -> list[Any] | None:
        items = list(self.items(members, name, where))
        self.reading.errors |= {place for place, item in items if item is not None and not isinstance(item, str)}
        return None if members[name] is None else [item for _, item in items]

    def value(self, members: dict[str, Any], name: str, where: str, check: Callable[[Any], Any]) -> Any:
        """Return a value as `check` converts it, or None where it is missing or null."""
        value = members.get(name)
        is_text = isinstance(value, str) and value in {"NaN", "Infinity", "-Infinity"}
        if check in {_number, _integer} and (is_text or isinstance(value, NonFinite)):
            self.reading.non_finite += 1
            return None
        try:
            return None if value is None else check(value)
        except (TypeError, ValueError, OverflowError):
            self.reading.errors.add(f"{where}.{name}".lstrip("."))
            return None


def _string(value: Any) -> str:
    return value if isinstance(value, str) else _reject(value)


def _date(value: Any) -> datetime:
    if not re.fullmatch(r"[0-9W-]+([Tt ][0-9:.,Zz+-]+)?", value, re.ASCII):  # Python accepts any separator
        _reject(value)
    date = datetime.fromisoformat(value.upper())
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)


def _number(value: Any) -> float:
    # An integer is a double in JSON; true is not.
    number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else _reject(value)
    return number if abs(number) < float("inf") else _reject(value)


def _integer(value: Any) -> int:
    # 3.0 is an integer in JSON; true is not.
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        _reject(value)
    return int(value) if -(2**63) <= value < 2**63 else _reject(value)


def _reject(value: object) -> Any:
    raise ValueError(value)


def _integer_or_float(text: str) -> int | float:
    # Python limits the digits of an integer.
    try:
        return int(text)
    except ValueError:
        return float(text)


_CHECKS: dict[Any, Callable[[Any], Any]] = {
    LABEL: _string,
    INTEGER: _integer,
    DOUBLE: _number,
    STRINGS: lambda value: value,
}
