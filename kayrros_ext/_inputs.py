"""What users give, turned into what the API takes. What can't work is refused here, before anything is sent."""

import logging
import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from kayrros_ext.errors import UsageError
from kayrros_openapi.models import DateRange, ProcessingResultFilter
from kayrros_openapi.types import UNSET, Unset

_INSTANT = "a date, a datetime, an ISO 8601 string, or epoch milliseconds"

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
# What an open end of a range is sent as. The reference does not say whether a range may have one end alone, so both are
# always sent. The end lies ahead: a value may be dated at the end of a period that has not ended yet.
FIRST_MS, LAST_MS = 0, 4_102_444_800_000  # 1970-01-01 and 2100-01-01
# What a datetime can hold; beyond are micro- or nanoseconds given as milliseconds.
MIN_MS, MAX_MS = -62_135_596_800_000, 253_402_300_799_999

# Epoch seconds since 1973, taken for milliseconds, lie before 1973, when there was no such data.
SECONDS_LOOK_LIKE_THIS = 100_000_000_000

_log = logging.getLogger("kayrros_ext")

Instant = date | datetime | str | int


def parse_dataset_id(value: UUID | str) -> UUID:
    """A dataset id as a UUID.

    Raises:
        UsageError: it is not one.
    """
    if isinstance(value, UUID):
        return value
    # uuid.UUID takes more than UUIDs: signs, underscores, braces.
    if isinstance(value, str) and re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", value.strip()):
        return UUID(value.strip())
    raise UsageError(
        f"dataset_id is {value!r}, which is not a UUID. Copy the id from the Collection Dashboard in Kayrros Studio; it "
        "looks like 7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4."
    )


def parse_collection_id(value: UUID | str) -> str:
    """A collection id as the API takes it. What form it has is unknown, so any word is one.

    Raises:
        UsageError: it is not one.
    """
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, str) and re.fullmatch(r"[!-~]+", value.strip()):
        return value.strip()
    raise UsageError(f"collection_id is {value!r}. Give the id of a collection, one of those in kayrros.collections().")


def parse_filter(
    start: Instant | None, stop: Instant | None, assets: Iterable[str] | None
) -> ProcessingResultFilter | Unset:
    """The filter of a results request, or UNSET where all is wanted.

    Raises:
        UsageError: `start`, `stop` or `assets` can't work.
    """
    wanted = ProcessingResultFilter()
    if start is not None or stop is not None:
        first = None if start is None else epoch_ms("start", start)
        last = None if stop is None else epoch_ms("stop", stop, up=True)
        if first is None:
            first = FIRST_MS if last is None else min(FIRST_MS, last)
        if last is None:
            last = max(LAST_MS, first)
        if last < first:
            raise UsageError(f"stop ({stop}) lies before start ({start}). Swap them, or leave one out.")
        wanted.time_range = DateRange(start_date=first, stop_date=last)
    if assets is not None:
        wanted.mo_ids = _asset_ids(assets)
    return wanted if wanted.to_dict() else UNSET


def epoch_ms(name: str, value: Instant, *, up: bool = False) -> int:
    """Milliseconds since 1970-01-01T00:00Z, down to a whole one, or up to it.

    A date is its first moment in UTC; a datetime or string without a zone is UTC.

    Raises:
        UsageError: the value is not an instant.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        if not MIN_MS <= value <= MAX_MS:
            raise UsageError(f"{name} is beyond the year 9999 in epoch milliseconds. Is it in micro- or nanoseconds?")
        if 0 < value < SECONDS_LOOK_LIKE_THIS:
            date_meant = f"{EPOCH + value * MILLISECOND:%Y-%m-%d}"
            _log.warning("%s is %d epoch milliseconds, which is %s. Were seconds meant?", name, value, date_meant)
        return value
    moment = _datetime(name, value)
    since = moment.replace(tzinfo=UTC) - EPOCH if moment.utcoffset() is None else moment - EPOCH
    return min(-(-since // MILLISECOND), MAX_MS) if up else since // MILLISECOND


def now_ms() -> int:
    """Milliseconds since 1970-01-01T00:00Z."""
    return (datetime.now(UTC) - EPOCH) // MILLISECOND


def _datetime(name: str, value: object) -> datetime:
    if isinstance(value, datetime):
        if value != value:  # pandas.NaT is a datetime, and not equal to itself  # noqa: PLR0124
            raise UsageError(f"{name} is {value}. Give {_INSTANT}, or leave it out.")
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value.strip())
        except ValueError:
            raise UsageError(f"{name} is {value!r}, which is not an ISO 8601 date. Write it like 2024-01-31.") from None
    raise UsageError(f"{name} is {value!r}. Give {_INSTANT}.")


def _asset_ids(assets: Iterable[str]) -> list[str]:
    if isinstance(assets, str | bytes):
        raise UsageError(f"assets is {assets!r}. Give a list of asset ids, a list of one for one asset.")
    try:
        # A column of an Arrow table gives scalars.
        ids = list(dict.fromkeys(asset.as_py() if hasattr(asset, "as_py") else asset for asset in assets))
    except TypeError:
        raise UsageError(f"assets is {assets!r}. Give a list of asset ids.") from None
    if not ids:
        raise UsageError("assets is empty, and what the API makes of that is unknown. Leave it out to have all assets.")
    for asset in ids:
        if not (isinstance(asset, str) and re.fullmatch("[^\ud800-\udfff]+", asset)):
            raise UsageError(f"assets holds {asset!r}. Asset ids are strings, such as those in results.assets.")
    return ids
