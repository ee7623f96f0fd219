"""Checks of the arguments of the fake. A test that passes a wrong one fails at that line, not at its first request."""

import contextlib
import functools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import msgspec

from kayrros_ext._results.query import MAX_MS, MIN_MS, Instant, parse_instant
from kayrros_ext.errors import ContractError, UsageError
from kayrros_openapi import schemas

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
_RESULTS = """\
values, such as {"tank-1": {"2024-01-02": {"fill_level_pct": 61.5}}}, or what the API sends, such as {"assets": [\
{"asset_id": "tank-1", "results": [{"value_date": "2024-01-02", "metrics": [{"name": "m", "value": 61.5}]}]}]}. \
To send what the API never sends, use Fault.body"""


@attrs.frozen
class Kind:
    """A kind of argument. It is a validator for attrs, too: of the first value of a field, and of each that replaces it."""

    accepts: Callable[[Any], Any]  # may raise TypeError or ValueError instead of returning False
    advice: str

    def check(self, name: str, value: Any) -> Any:
        """Return a value of this kind; raise UsageError for any other."""
        try:
            if self.accepts(value):
                return value
        except (TypeError, ValueError):
            pass
        raise UsageError(f"{name} is {value!r:.200}.", hint=f"Pass {self.advice}.")

    def __call__(self, _: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
        """Check the value of a field, which may be None if that is its default."""
        if value is not None or attribute.default is not None:
            self.check(attribute.name, value)


def one_of(choices: Iterable[Any]) -> Kind:
    """Return the kind of values that are among some choices."""
    choices = list(choices)
    advice = f"one of {', '.join(map(str, choices))}"
    return Kind(lambda value: any(type(value) is type(choice) and value == choice for choice in choices), advice)


def number(least: float, most: float, advice: str, kind: Any = (int, float)) -> Kind:
    """Return the kind of numbers from the least to the most. NaN is not between them, and True is no number."""
    return Kind(lambda it: isinstance(it, kind) and not isinstance(it, bool) and least <= it <= most, advice)


# Longer waits than 30 years overflow the system's sleep.
_MAX_SECONDS = 1e9
SECONDS = number(0, _MAX_SECONDS, "seconds, 0 or more, such as 0.5")
SECONDS_ABOVE_0 = number(1e-9, _MAX_SECONDS, "seconds, more than 0, such as 60")
COUNT = number(1, 10**18, "a whole number, 1 or more, such as 10", int)
COUNT_OR_0 = number(0, 10**18, "a whole number, 0 or more, such as 10", int)
INTEGER = number(-(10**100), 10**100, "a whole number, such as 1", int)
SHARE = number(0, 1, "a share from 0 to 1, such as 0.1")
PORT = number(0, 65535, "a port from 1024 to 65535, or 0 for a free one", int)
STATUS = number(200, 599, "an HTTP status from 200 to 599, such as 503", int)
ERROR_STATUS = number(300, 599, "an error status from 300 to 599, such as 503, or use Fault.body", int)
FLAG = Kind(lambda value: isinstance(value, bool), "True or False")
BYTES = Kind(lambda value: isinstance(value, bytes), 'bytes, such as b"{}"')
FUNCTION = Kind(callable, "a function")
PATH = Kind(lambda value: isinstance(value, str | os.PathLike), "a path")
# encode() raises ValueError where the text can't be sent.
TEXT = Kind(lambda value: isinstance(value, str) and value.encode(), "a text that is not empty")
read_text = functools.partial(TEXT.check, "an item")  # of a list of texts
HEADER = Kind(lambda value: isinstance(value, str) and value.isascii() and value.isprintable(), "the text of a header")
RETRY_AFTER = Kind(lambda value: HEADER.accepts(value) or COUNT_OR_0.accepts(value), "seconds, or an HTTP date")
STEP = Kind(lambda value: value // MICROSECOND > 0, "a timedelta, such as timedelta(days=1)")


def read_items(name: str, items: Any, read: Callable[[Any], Any], advice: str) -> tuple[Any, ...]:
    """Return the items of a list, read one by one. They are all different, and a text is no list of its letters."""
    values: list[Any] = []

    def accepts(items: Any) -> bool:
        values.extend(map(read, items))
        return len(set(values)) == len(values) and not isinstance(items, str | bytes | bytearray)

    Kind(accepts, advice).check(name, items)
    return tuple(values)


def read_results(results: Mapping[str, Any]) -> Any:
    """Return results as the API sends them, also for values by asset id, date and metric."""
    from kayrros_ext._results import reader  # imports pyarrow, which takes a while

    with _refusal("results", _RESULTS):
        members = dict(results)
        if isinstance(members.get("assets", {}), Mapping):
            values = msgspec.convert(members, dict[str, dict[Any, dict[str, Any]]])
            assets = [
                {"asset_id": name, "asset_name": name, "results": _series(dates)} for name, dates in values.items()
            ]
            members = {"assets": assets}
        text = json.dumps(members, allow_nan=False)
        msgspec.json.decode(text, type=schemas.ProcessingResultTimeSeries)
        reader.read_results(text.encode())  # which knows dates, too
    return json.loads(text)


def _series(dates: dict[Any, dict[str, Any]]) -> list[dict[str, Any]]:
    series = []
    for day, values in dates.items():
        # A text that the API might send stays as it is.
        value_date = day if parse_date(day) is not None else format_us(to_us("date", day))
        metrics = [{"name": name, "value": value} for name, value in values.items()]
        series.append({"value_date": value_date, "metrics": metrics})
    return series


def revise(payload: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return results as the API sends them with other values, by asset id, date and metric; None removes."""
    assets = {asset["asset_id"]: asset for asset in payload["assets"]}
    for name, dates in values.items():
        asset = assets.setdefault(name, {"asset_id": name, "asset_name": name})
        series = {parse_date(item["value_date"]): item for item in asset.get("results") or ()}
        for day, new in (dates or {}).items():
            item = series.pop(moment := to_us("date", day), {"value_date": format_us(moment)})
            merged = {metric["name"]: metric["value"] for metric in item.get("metrics") or ()} | (new or {})
            metrics = [{"name": key, "value": it} for key, it in merged.items() if (new or {}).get(key, 0) is not None]
            series |= {moment: {**item, "metrics": metrics}} if new and metrics else {}
        asset["results"] = [*series.values()]
    return {**payload, "assets": [asset for name, asset in assets.items() if values.get(name, 0) is not None]}


def read_metadata(metadata: Mapping[str, Any]) -> Any:
    """Return metadata as the API sends them, with dates in epoch milliseconds."""
    with _refusal("metadata", 'a dict, such as {"name": "My tanks", "asset_count": 3, "start_date": "2024-01-02"}'):
        members = dict(metadata)
        dates = [name for name in ("start_date", "stop_date") if members.get(name) is not None]
        members |= {name: to_us(name, members[name]) // 1000 for name in dates}
        text = json.dumps(members, allow_nan=False)
        msgspec.json.decode(text, type=schemas.DatasetMetadata)
    return json.loads(text)


@contextlib.contextmanager
def _refusal(name: str, advice: str) -> Iterator[None]:
    try:
        yield
    # Of any object.
    except (TypeError, ValueError, AttributeError, RecursionError, msgspec.MsgspecError, ContractError) as error:
        problem = str(error.args[0]).rstrip(".")
        raise UsageError(f"{name} can't be what the API sends: {problem}.", hint=f"Pass {advice}.") from None


def to_us(name: str, moment: Instant) -> int:
    """Return epoch microseconds of a date as `Kayrros.results` takes it; raise UsageError for anything else."""
    moment_ms = parse_instant(name, moment)
    if not MIN_MS <= moment_ms <= MAX_MS:
        raise UsageError(f"{name} is {moment}, which lies outside the years 1 to 9999 in UTC.")
    exact_us = parse_date(moment.isoformat() if isinstance(moment, datetime) else moment)
    return moment_ms * 1000 if exact_us is None else exact_us


def format_us(moment_us: int) -> str:
    """Return a date as the API writes it: ISO 8601 in UTC."""
    return f"{(EPOCH + moment_us * MICROSECOND).isoformat()[:-6]}Z"


def parse_date(value: object) -> int | None:
    """Return epoch microseconds of a value_date; None if it is not a date."""
    try:
        moment = datetime.fromisoformat(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - EPOCH) // MICROSECOND
