"""Arguments of the methods: the forms that they take, and errors before anything is sent."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from kayrros_ext import Kayrros, Results, UsageError
from kayrros_ext._results.query import parse_filter, parse_instant
from kayrros_openapi.types import UNSET
from tests.support.server import DATASET, Server, StubServer

JUNE = 1_717_200_000_000  # 2024-06-01T00:00:00Z


def time_range(start: Any, stop: Any) -> dict[str, int]:
    """Return the range that is sent."""
    query = parse_filter(start, stop, None)
    assert query
    sent: dict[str, int] = query.to_dict()["time_range"]
    return sent


@pytest.mark.parametrize(
    "value",
    [
        date(2024, 6, 1),
        datetime(2024, 6, 1),
        datetime(2024, 6, 1, tzinfo=UTC),
        datetime(2024, 6, 1, 2, tzinfo=timezone(timedelta(hours=2))),
        "2024-06-01",
        "2024-06-01T00:00:00",
        "2024-06-01T00:00:00Z",
        "2024-06-01T02:00+02:00",
        " 20240601 ",
        JUNE,
        "2024-06-01t00:00:00z",
        "2024-06",
        pd.Timestamp("2024-06-01"),
        pd.Period("2024-06"),
        np.datetime64("2024-06-01"),
        np.datetime64("2024-06"),
        np.datetime64("2024-06-01T00:00:00.000000000"),
        np.int64(JUNE),
        np.uint64(JUNE),
        pa.scalar(JUNE),
        pa.scalar("2024-06-01"),
        pa.scalar(date(2024, 6, 1)),
        pa.scalar(datetime(2024, 6, 1), pa.timestamp("ns", "UTC")),
    ],
)
def test_every_form_of_an_instant_is_the_same_instant(value: Any) -> None:
    """A date, a datetime (naive is UTC), an ISO 8601 string and epoch milliseconds."""
    assert parse_instant("start", value) == JUNE


END = JUNE + 30 * 86_400_000 - 1  # the last millisecond of June
# Each unit with its last millisecond.
UNITS = [
    *((value, END) for value in (date(2024, 6, 30), "2024-06-30", "20240630", "2024-06", " 2024-06 ", "2024-W26")),
    (np.datetime64("2024-06-30"), END),
    (np.datetime64("2024-06"), END),
    (np.datetime64("2024-06-27", "W"), END + 3 * 86_400_000),  # a Thursday, when weeks of numpy begin
    *((pd.Period("2024-06-30", unit), END) for unit in ("D", "M", "W", "Q")),
    (pd.Period("2024-06-30 23:00", "h"), END),
    (pa.scalar(date(2024, 6, 30)), END),
    (pa.scalar(date(2024, 6, 30), pa.date64()), END),
    (pl.Series(["2024-06"]).str.to_date("%Y-%m")[0], JUNE + 86_400_000 - 1),
    *((value, END + 184 * 86_400_000) for value in ("2024", np.datetime64("2024"), pd.Period("2024"))),
    ("2024-02", JUNE - 92 * 86_400_000 - 1),
    *((value, 253_402_300_799_999) for value in (date.max, "9999", "9999-12", np.datetime64("9999"))),
]


@pytest.mark.parametrize(("value", "end"), UNITS)
def test_a_day_or_a_longer_unit_is_a_stop_at_its_end(value: Any, end: int) -> None:
    """Values of the last day belong to the range; so does the whole unit where start and stop are the same one."""
    sent = time_range(value, value)
    assert sent["stop_date"] == end
    assert sent["start_date"] < sent["stop_date"]
    assert sent["start_date"] % 86_400_000 in {0, 23 * 3_600_000}


@pytest.mark.parametrize(
    "value",
    [
        datetime(2024, 6, 1),
        "2024-06-01T00:00",
        "2024-06-01 00:00Z",
        pd.Timestamp("2024-06-01"),
        np.datetime64("2024-06-01T00"),
        pa.scalar(datetime(2024, 6, 1)),
        JUNE,
    ],
)
def test_a_moment_is_a_stop_as_it_is(value: Any) -> None:
    """Midnight is a moment, too."""
    assert time_range(value, value) == {"start_date": JUNE, "stop_date": JUNE}


class Moment(datetime):
    """A datetime whose difference is no plain timedelta, like that of pendulum, which Airflow passes to its tasks."""

    def __sub__(self, other: object) -> Any:
        return object()


def test_a_subclass_of_datetime_is_a_datetime() -> None:
    """Its arithmetic may return types of its own."""
    assert parse_instant("start", Moment(2024, 6, 1)) == JUNE
    assert parse_instant("stop", Moment(2024, 6, 1, 2, tzinfo=timezone(timedelta(hours=2))), is_stop=True) == JUNE


def test_a_part_of_a_millisecond_widens_the_range() -> None:
    """Rounding never loses a value: the start is rounded down, the stop up."""
    moment = datetime(2024, 6, 1, 0, 0, 0, 500, tzinfo=UTC)
    assert time_range(moment, moment) == {"start_date": JUNE, "stop_date": JUNE + 1}


def test_no_time_zone_leads_out_of_the_calendar() -> None:
    """The first and the last moment that a datetime can hold are in UTC."""
    first, last = -62_135_596_800_000, 253_402_300_799_999
    assert time_range("0001-01-01T00:00+10:00", "9999-12-31T23:59-10:00") == {"start_date": first, "stop_date": last}


def test_before_1970_is_an_instant() -> None:
    """Epoch milliseconds may be negative."""
    assert parse_instant("start", "1969-12-31T23:59:59Z") == -1000


# fmt: off
NO_INSTANTS = [
    "yesterday", "2024-13-01", "2024-13", "0000", "202406", "2024-153", "24", "", "NaT", True, 1.5, [], {}, JUNE * 1000,
    b"2024-06-01", float("nan"), float("inf"), pd.NaT, pd.NA, pd.Period("NaT", "D"), np.True_, np.float64(1),
    np.datetime64("NaT", "D"), np.datetime64("12024"), np.int64(JUNE * 1000),
    np.timedelta64(1, "D"), np.array(["2024-06-01"], "M8[D]"), pa.scalar(None, pa.date32()), pa.scalar(True),
    pa.scalar(1.5), time(), object(),
]
# fmt: on


@pytest.mark.parametrize("value", NO_INSTANTS)
def test_anything_else_is_an_error_that_names_the_argument(value: Any) -> None:
    """Words, numbers that are not whole, and dates beyond the calendar."""
    with pytest.raises(UsageError, match="start"):
        parse_filter(value, None, None)
    with pytest.raises(UsageError, match="stop"):
        parse_filter(None, value, None)


def test_stop_before_start_is_an_error() -> None:
    """The error repeats both. Equal ones are a range."""
    with pytest.raises(UsageError, match="2024-01-01.*lies before.*2024-06-01"):
        parse_filter("2024-06-01", "2024-01-01", None)
    parse_filter(JUNE, JUNE, None)


def test_an_open_end_is_sent_as_a_distant_date() -> None:
    """Both ends are always sent, because the reference does not say that one may be missing."""
    assert time_range(JUNE, None) == {"start_date": JUNE, "stop_date": 4102444800000}
    assert time_range(None, JUNE) == {"start_date": 0, "stop_date": JUNE}


def test_an_open_end_never_lies_before_the_other() -> None:
    """Beyond 2100, and before 1970."""
    for sent in (time_range("2101-01-01", None), time_range(None, "1969-01-01")):
        assert sent["start_date"] <= sent["stop_date"]


def test_numbers_that_look_like_seconds_are_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """They are sent unchanged, but nobody has data of January 1970."""
    assert parse_instant("start", 1704067200) == 1704067200
    assert "start is 1704067200 epoch milliseconds, which is 1970-01-20. Were seconds meant?" in caplog.text


def test_no_filter_is_no_body() -> None:
    """Without arguments, the request has no body."""
    assert parse_filter(None, None, None) is UNSET


def test_assets_are_any_iterable_of_ids() -> None:
    """A generator is one."""
    assert parse_filter(None, None, (name for name in "ab")).to_dict() == {"mo_ids": ["a", "b"]}  # type: ignore[union-attr]


def test_assets_may_be_a_column_of_results() -> None:
    """A column yields Arrow scalars."""
    column = Results.from_json(b'{"assets": [{"asset_id": "a"}, {"asset_id": "b"}]}').assets["asset_id"]
    assert parse_filter(None, None, column).to_dict() == {"mo_ids": ["a", "b"]}  # type: ignore[union-attr]


@pytest.mark.parametrize("of", [list, tuple, np.array, pd.Series, pd.Index, pa.array, pl.Series, iter])
def test_assets_may_be_any_array_of_ids(of: Any) -> None:
    """The ids are plain strings, each once."""
    query = parse_filter(None, None, of(["b", "a", "b"]))
    assert query
    assert query.to_dict() == {"mo_ids": ["b", "a"]}
    assert {type(name) for name in query.mo_ids or ()} == {str}


def test_an_asset_id_may_be_a_uuid() -> None:
    """It is sent in the usual form."""
    assert parse_filter(None, None, [UUID(DATASET)]).to_dict() == {"mo_ids": [DATASET]}  # type: ignore[union-attr]


# fmt: off
NO_ASSETS = [
    b"tank-1", bytearray(b"a"), [], [1], [""], 5, [None], ["\ud800"], {"a": 1}, [b"a"], [["a"]],
    np.array([1]), np.array(["a", "b"]).reshape(1, 2), np.array("a"), pd.Series(["a", None]), pd.Series([1.5]),
    pd.DataFrame({"asset_id": ["a"]}), pl.DataFrame({"asset_id": ["a"]}), pa.table({"asset_id": ["a"]}), pa.array([None]),
    pa.scalar("a"),
]
# fmt: on


@pytest.mark.parametrize("value", NO_ASSETS)
def test_anything_but_asset_ids_is_an_error(value: Any) -> None:
    """An empty list does not mean all assets. The error is one line, whatever the value is."""
    with pytest.raises(UsageError, match="assets") as caught:
        parse_filter(None, None, value)
    assert len(str(caught.value)) < 130
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["tank-1", SimpleNamespace(id="tank-1"), [SimpleNamespace(id="tank-1"), "tank-1"]])
def test_one_asset_needs_no_list(value: Any) -> None:
    """A string is not a list of letters, and an object with an id stands for it."""
    assert parse_filter(None, None, value).to_dict() == {"mo_ids": ["tank-1"]}  # type: ignore[union-attr]


@pytest.mark.parametrize("directory", [None, 3, "a\0b", "\ud800"])
def test_a_bad_directory_is_an_error_before_any_request(
    directory: Any, platform: StubServer, start: Callable[..., Server], connect: Callable[..., Kayrros]
) -> None:
    """It can't be a path on any file system."""
    server = start(platform)
    with pytest.raises(UsageError, match="directory"):
        connect(server).download(DATASET, directory)
    assert not server.requests


def test_a_bad_filter_is_an_error_before_any_request(
    platform: StubServer, start: Callable[..., Server], connect: Callable[..., Kayrros]
) -> None:
    """The client does not even log in."""
    server = start(platform)
    with pytest.raises(UsageError):
        connect(server).results(DATASET, start="2024-02-01", stop="2024-01-01")
    assert not server.requests
