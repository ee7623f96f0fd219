"""Parse the arguments of a results query. Those that can't work are rejected before anything is sent."""

import calendar
import contextlib
import operator
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex, TypeAlias, TypedDict, cast
from uuid import UUID

from kayrros_ext._arguments import HasId, describe
from kayrros_ext._progress import warn
from kayrros_ext.errors import UsageError
from kayrros_openapi.models import DateRange, ProcessingResultFilter
from kayrros_openapi.types import UNSET, Unset

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    from kayrros_ext._progress import ProgressCallback

Instant: TypeAlias = "date | str | SupportsIndex | np.datetime64 | pd.Period | pa.Scalar[Any]"
# Ids or names, or objects with an id: one or several.
Names = str | UUID | HasId | Iterable[str | UUID | HasId]
OnGap = Literal["raise", "warn"]


class ResultsOptions(TypedDict, total=False):
    """The options of `Kayrros.results`, for methods that pass them on."""

    start: "Instant | None"
    stop: "Instant | None"
    assets: Names | None
    metric: Names | None
    on_gap: OnGap
    strict: bool
    with_dataset: bool
    progress: "ProgressCallback | bool | None"


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
# An open end of a range is sent as one of these: 1970-01-01 and 2100-01-01. The reference does not say whether a range may
# have only one end. The stop lies in the future, because a value may be dated at the end of a period.
FIRST_MS, LAST_MS = 0, 4_102_444_800_000
# The dates that datetime can hold. Beyond are micro- or nanoseconds.
MIN_MS, MAX_MS = -62_135_596_800_000, 253_402_300_799_999
# Smaller numbers look like epoch seconds: as milliseconds, they lie before March 1973.
MIN_LIKELY_MS = 100_000_000_000

_INSTANT_HINT = (
    "Pass {} as a date, a datetime, epoch milliseconds, or a string like 2024, 2024-01, 2024-W05, 2024-01-31 or "
    "2024-01-31T12:00Z."
)
_NAMES_HINTS = {
    "assets": "Pass ids or names of assets, such as those of kayrros.assets(dataset).",
    "metric": "Pass the name of a metric, or a list of names.",
}
_OPTIONS = {"start": "--from", "stop": "--to", "since": "--since"}
_YEAR_OR_MONTH = re.compile(r"(\d{4})(?:-(\d\d))?", re.ASCII)
_WEEK = re.compile(r"\d{4}-?W\d\d", re.ASCII)
# Of a day. The API counts in milliseconds.
_LAST_MOMENT = time(23, 59, 59, 999_000)


def parse_filter(
    start: "Instant | None", stop: "Instant | None", assets: Names | None
) -> ProcessingResultFilter | Unset:
    """Return the filter of a results request, or UNSET for everything."""
    query = ProcessingResultFilter()
    if start is not None or stop is not None:
        first = FIRST_MS if start is None else parse_instant("start", start)
        last = max(LAST_MS, first) if stop is None else parse_instant("stop", stop, is_stop=True)
        first = min(first, last) if start is None else first
        if last < first:
            raise UsageError(
                f"{stop} lies before {start}.",
                hint="Swap start and stop, or omit one.",
                hint_cli="Swap --from and --to, or omit one.",
            )
        query.time_range = DateRange(start_date=first, stop_date=last)
    if assets is not None:
        query.mo_ids = parse_names("assets", assets)
    return query if query.to_dict() else UNSET


def parse_instant(name: str, value: "Instant", *, is_stop: bool = False) -> int:
    """Return epoch milliseconds. A datetime or string without a zone is UTC.

    A day, week, month or year is its first moment; as a stop, its last one.
    """
    value = cast("date | str | int", value.as_py() if hasattr(value, "as_py") else value)
    if type(value).__name__ not in {"bool", "bool_"}:  # both are integers, the latter in an old numpy
        with contextlib.suppress(TypeError):  # not an integer of Python or numpy
            return _check_epoch_ms(name, operator.index(cast("int", value)))
    try:
        moment = _parse_datetime(value, is_stop=is_stop)
    except (AttributeError, TypeError, ValueError, OverflowError):
        raise UsageError(
            f"{value!r:.80} is not {'an ISO 8601' if isinstance(value, str) else 'a'} date.",
            hint=_INSTANT_HINT.format(name),
            hint_cli=f"Write {_OPTIONS.get(name, name)} like 2024-01-31, 2024-01, 2024 or 2024-01-31T12:00Z.",
        ) from None
    moment = moment.replace(tzinfo=UTC) if moment.utcoffset() is None else moment
    since_epoch = datetime.__sub__(moment, EPOCH)  # the `-` of a subclass may return another type, as pendulum's does
    value_ms = -(-since_epoch // MILLISECOND) if is_stop else since_epoch // MILLISECOND
    return min(max(value_ms, MIN_MS), MAX_MS)  # a time zone may lead out of the calendar


def _check_epoch_ms(name: str, value: int) -> int:
    if not MIN_MS <= value <= MAX_MS:
        raise UsageError(f"{name} is beyond the year 9999.", hint="Convert micro- or nanoseconds to milliseconds.")
    if 0 < value < MIN_LIKELY_MS:
        day = f"{EPOCH + value * MILLISECOND:%Y-%m-%d}"
        warn("%s is %d epoch milliseconds, which is %s. Were seconds meant?", name, value, day)
    return value


def _parse_datetime(value: Any, *, is_stop: bool) -> datetime:
    """Return a moment, or raise one of several errors. numpy and pandas are not imported for their types."""
    if isinstance(value, datetime):
        if value != value:  # pandas.NaT  # noqa: PLR0124
            raise ValueError
        return value
    if hasattr(value, "end_time"):  # pandas.Period
        return cast("datetime", value.end_time.floor("ms") if is_stop else value.start_time)
    if getattr(getattr(value, "dtype", None), "kind", "") == "M":  # numpy.datetime64
        if is_stop and "T" not in str(value):  # the last day of its unit
            after = (value.astype("i8") + 1).astype(value.dtype).astype("M8[D]")
            value = (after.astype("i8") - 1).astype("M8[D]")
        value = str(value)
    if isinstance(value, date):
        first = last = value
    else:
        text = value.strip().upper()
        if " " in text or "T" in text:
            return datetime.fromisoformat(text)
        first, last = _parse_days(text)
    return datetime.combine(last, _LAST_MOMENT) if is_stop else datetime.combine(first, time())


def _parse_days(text: str) -> tuple[date, date]:
    """Return the first and the last day of a day, week, month or year."""
    if match := _YEAR_OR_MONTH.fullmatch(text):
        year, first_month, last_month = int(match[1]), int(match[2] or 1), int(match[2] or 12)
        return date(year, first_month, 1), date(year, last_month, calendar.monthrange(year, last_month)[1])
    first = date.fromisoformat(text)
    return first, first + timedelta(days=6 if _WEEK.fullmatch(text) else 0)


def parse_names(argument: Literal["assets", "metric"], values: Names) -> list[str]:
    """Return ids or names, each once. Raise UsageError for anything else, and for none."""
    if isinstance(values, str | UUID) or isinstance(getattr(values, "id", None), str | UUID):
        values = cast("Names", [values])
    # Bytes yield numbers, a dict its keys, a DataFrame the names of its columns.
    iterable = None if isinstance(values, bytes | Mapping) or hasattr(values, "columns") else values
    try:
        # A column of an Arrow table yields scalars.
        scalars = [value.as_py() if hasattr(value, "as_py") else value for value in cast("Iterable[Any]", iterable)]
    except TypeError:
        raise UsageError(f"{argument} is {describe(values)}.", hint=_NAMES_HINTS[argument]) from None
    items = [getattr(scalar, "id", scalar) for scalar in scalars]
    names: list[Any] = [str(item) if isinstance(item, UUID | str) else item for item in items]
    if not names:
        raise UsageError(f"{argument} is empty.", hint="Omit it to request all.")
    for name in names:
        if not (isinstance(name, str) and re.fullmatch("[^\ud800-\udfff]+", name)):
            raise UsageError(f"{argument} contains {describe(name)}.", hint=_NAMES_HINTS[argument])
    return list(dict.fromkeys(names))
