"""What users may give, and what is refused before anything is sent."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pandas as pd
import pytest

from kayrros_ext import Kayrros, Results, UsageError
from kayrros_ext._inputs import epoch_ms, parse_dataset_id, parse_filter
from kayrros_openapi.types import UNSET
from tests.support.server import DATASET, Platform, Server

JUNE = 1_717_200_000_000  # 2024-06-01T00:00:00Z


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
        pd.Timestamp("2024-06-01"),
    ],
)
def test_every_form_of_an_instant_is_the_same_instant(value: Any) -> None:
    """A date, a datetime (naive is UTC), an ISO 8601 string and epoch milliseconds."""
    assert JUNE == epoch_ms("start", value)


def test_a_part_of_a_millisecond_widens_the_range() -> None:
    """Rounding never loses a value: the start goes down, the stop goes up."""
    moment = datetime(2024, 6, 1, 0, 0, 0, 500, tzinfo=UTC)
    wanted = parse_filter(moment, moment, None)
    assert {"start_date": JUNE, "stop_date": JUNE + 1} == wanted.to_dict()["time_range"]  # type: ignore[union-attr]


def test_before_1970_is_an_instant() -> None:
    """Epoch milliseconds may be negative."""
    assert -1000 == epoch_ms("start", "1969-12-31T23:59:59Z")


@pytest.mark.parametrize("value", ["yesterday", "2024-13-01", "", True, 1.5, [], JUNE * 1000, pd.NaT, b"2024-06-01"])
def test_what_is_no_instant_is_refused_by_name(value: Any) -> None:
    """The error names the argument."""
    with pytest.raises(UsageError, match="start"):
        parse_filter(value, None, None)


def test_stop_before_start_is_refused() -> None:
    """Both are repeated; equal ones are a range."""
    with pytest.raises(UsageError, match="2024-01-01.*lies before.*2024-06-01"):
        parse_filter("2024-06-01", "2024-01-01", None)
    parse_filter(JUNE, JUNE, None)


def test_an_open_end_is_sent_as_far_away() -> None:
    """Both ends are always sent: what the API makes of one alone is unknown."""
    assert {"start_date": JUNE, "stop_date": 4102444800000} == parse_filter(JUNE, None, None).to_dict()["time_range"]  # type: ignore[union-attr]
    assert {"start_date": 0, "stop_date": JUNE} == parse_filter(None, JUNE, None).to_dict()["time_range"]  # type: ignore[union-attr]


def test_an_open_end_never_lies_before_the_other() -> None:
    """Beyond 2100, and before 1970."""
    late, early = parse_filter("2101-01-01", None, None).to_dict(), parse_filter(None, "1969-01-01", None).to_dict()  # type: ignore[union-attr]
    for sent in (late["time_range"], early["time_range"]):
        assert sent["start_date"] <= sent["stop_date"]


def test_seconds_are_asked_about(caplog: pytest.LogCaptureFixture) -> None:
    """They are sent as they are, but nobody has data of January 1970."""
    assert 1704067200 == epoch_ms("start", 1704067200)
    assert "start is 1704067200 epoch milliseconds, which is 1970-01-20. Were seconds meant?" in caplog.text


def test_no_filter_is_no_body() -> None:
    """Nothing given, nothing sent."""
    assert UNSET is parse_filter(None, None, None)


def test_assets_are_any_iterable_of_ids() -> None:
    """A generator will do."""
    assert {"mo_ids": ["a", "b"]} == parse_filter(None, None, (name for name in "ab")).to_dict()  # type: ignore[union-attr]


def test_assets_may_be_a_column() -> None:
    """Of a table that we gave out."""
    column = Results.from_json(b'{"assets": [{"asset_id": "a"}, {"asset_id": "b"}]}').assets["asset_id"]
    assert {"mo_ids": ["a", "b"]} == parse_filter(None, None, column).to_dict()  # type: ignore[union-attr]


@pytest.mark.parametrize("value", ["tank-1", b"tank-1", [], [1], [""], 5, [None], ["\ud800"]])
def test_assets_that_are_no_ids_are_refused(value: Any) -> None:
    """A string is not taken for a list of letters, and an empty list not for all assets."""
    with pytest.raises(UsageError, match="assets"):
        parse_filter(None, None, value)


@pytest.mark.parametrize("value", [UUID(DATASET), DATASET, DATASET.upper(), f" {DATASET}\n"])
def test_a_dataset_id_is_a_uuid_or_its_string(value: UUID | str) -> None:
    """Upper case and blanks of a copy are no matter."""
    assert UUID(DATASET) == parse_dataset_id(value)


@pytest.mark.parametrize(
    "value", ["", "abc", DATASET[:-1], "../" + DATASET, "+" + DATASET[1:], "٣" + DATASET[1:], 5, None]
)
def test_what_is_no_dataset_id_is_refused_before_a_request(
    value: Any, platform: Platform, start: Callable[..., Server], connect: Callable[..., Kayrros]
) -> None:
    """Not even a login is sent. The error is a ValueError as well."""
    server = start(platform)
    kayrros = connect(server)
    for call in (kayrros.metadata, kayrros.results, kayrros.download):
        with pytest.raises(UsageError, match="dataset_id") as caught:
            call(value)
        assert isinstance(caught.value, ValueError)
    assert not server.requests


@pytest.mark.parametrize("directory", [None, 3, b"bytes", "a\0b", "\ud800"])
def test_a_directory_that_can_not_be_is_refused_before_a_request(
    directory: Any, platform: Platform, start: Callable[..., Server], connect: Callable[..., Kayrros]
) -> None:
    """No path of any file system."""
    server = start(platform)
    with pytest.raises(UsageError, match="directory"):
        connect(server).download(DATASET, directory)
    assert not server.requests


@pytest.mark.parametrize("value", ["", " ", "a b", None, 5, "a\nb"])
def test_a_collection_id_that_can_not_be_is_refused_before_a_request(
    value: Any, platform: Platform, start: Callable[..., Server], connect: Callable[..., Kayrros]
) -> None:
    """One word; what form it has is unknown."""
    server = start(platform)
    with pytest.raises(UsageError, match="collection_id"):
        connect(server).datasets(value)
    assert not server.requests


def test_what_is_refused_is_not_sent(
    platform: Platform, start: Callable[..., Server], connect: Callable[..., Kayrros]
) -> None:
    """A filter that can't work costs no request."""
    server = start(platform)
    with pytest.raises(UsageError):
        connect(server).results(DATASET, start="2024-02-01", stop="2024-01-01")
    assert not server.requests
