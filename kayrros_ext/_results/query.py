"""Parse the arguments of a results query. Those that can't work are rejected before anything is sent."""

import logging
import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Literal, cast, get_args

from kayrros_ext.errors import UsageError
from kayrros_openapi.models import DateRange, ProcessingResultFilter
from kayrros_openapi.types import UNSET, Unset

Instant = date | datetime | str | int
OnGap = Literal["raise", "warn"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
# An open end of a range is sent as one of these: 1970-01-01 and 2100-01-01. The reference does not say whether a range may
# have only one end. The stop lies in the future, because a value may be dated at the end of a period.
FIRST_MS, LAST_MS = 0, 4_102_444_800_000
# The dates that datetime can hold. Beyond are micro- or nanoseconds.
MIN_MS, MAX_MS = -62_135_596_800_000, 253_402_300_799_999
# Smaller numbers look like epoch seconds: as milliseconds, they lie before March 1973.
MIN_LIKELY_MS = 100_000_000_000

_INSTANT_HINT = "Pass {} as a date, a datetime, an ISO 8601 string like 2024-01-31, or epoch milliseconds."
_ASSETS_HINT = "Pass a list of asset ids, such as those in results.assets."
_OPTIONS = {"start": "--from", "stop": "--to"}

_log = logging.getLogger("kayrros_ext")


def parse_filter(
    start: Instant | None, stop: Instant | None, assets: Iterable[str] | None
) -> ProcessingResultFilter | Unset:
    """Return the filter of a results request, or UNSET for everything."""
    query = ProcessingResultFilter()
    if start is not None or stop is not None:
        first = None if start is None else parse_instant("start", start)
        last = None if stop is None else parse_instant("stop", stop, round_up=True)
        if first is None:
            first = FIRST_MS if last is None else min(FIRST_MS, last)
        if last is None:
            last = max(LAST_MS, first)
        if last < first:
            raise UsageError(
                f"{stop} lies before {start}.",
                hint="Swap start and stop, or omit one.",
                hint_cli="Swap --from and --to, or omit one.",
            )
        query.time_range = DateRange(start_date=first, stop_date=last)
    if assets is not None:
        query.mo_ids = _parse_asset_ids(assets)
    return query if query.to_dict() else UNSET


def parse_instant(name: str, value: Instant, *, round_up: bool = False) -> int:
    """Return epoch milliseconds. A date is its first moment in UTC; a datetime or string without a zone is UTC."""
    if isinstance(value, int) and not isinstance(value, bool):
        if not MIN_MS <= value <= MAX_MS:
            raise UsageError(f"{name} is beyond the year 9999.", hint="Convert micro- or nanoseconds to milliseconds.")
        if 0 < value < MIN_LIKELY_MS:
            day = f"{EPOCH + value * MILLISECOND:%Y-%m-%d}"
            _log.warning("%s is %d epoch milliseconds, which is %s. Were seconds meant?", name, value, day)
        return value
    moment = _parse_datetime(name, value)
    moment = moment.replace(tzinfo=UTC) if moment.utcoffset() is None else moment
    since_epoch = datetime.__sub__(moment, EPOCH)  # the `-` of a subclass may return another type, as pendulum's does
    return min(-(-since_epoch // MILLISECOND), MAX_MS) if round_up else since_epoch // MILLISECOND


def parse_on_gap(value: str) -> OnGap:
    """Return the value of `on_gap`, if it is one."""
    if value in get_args(OnGap):
        return cast("OnGap", value)
    raise UsageError(f"on_gap is {value!r}.", hint='Pass "raise" or "warn".')


def _parse_datetime(name: str, value: object) -> datetime:
    if isinstance(value, datetime) and value == value:  # pandas.NaT differs from itself  # noqa: PLR0124
        return value
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day)
    try:
        return datetime.fromisoformat(cast("str", value).strip())
    except (AttributeError, TypeError, ValueError):
        raise UsageError(
            f"{value!r} is not an ISO 8601 date." if isinstance(value, str) else f"{value!r} is not a date.",
            hint=_INSTANT_HINT.format(name),
            hint_cli=f"Write {_OPTIONS.get(name, name)} like 2024-01-31.",
        ) from None


def _parse_asset_ids(assets: Iterable[str]) -> list[str]:
    if isinstance(assets, str | bytes):
        raise UsageError(f"assets is {assets!r}.", hint=_ASSETS_HINT)
    try:
        # A column of an Arrow table yields scalars.
        ids = list(dict.fromkeys(asset.as_py() if hasattr(asset, "as_py") else asset for asset in assets))
    except TypeError:
        raise UsageError(f"assets is {assets!r}.", hint=_ASSETS_HINT) from None
    if not ids:
        raise UsageError("assets is empty.", hint="Omit it to request all assets.")
    for asset in ids:
        if not (isinstance(asset, str) and re.fullmatch("[^\ud800-\udfff]+", asset)):
            raise UsageError(f"assets contains {asset!r}, which is not an asset id.", hint=_ASSETS_HINT)
    return ids
