"""Results in windows, from servers that understand a time range in their own way."""

import json
import random
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from kayrros_ext import ContractError, GapError, Kayrros
from tests.support.server import DATASET

DAY_MS = 86_400_000
HOUR_MS = DAY_MS // 24
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BEGIN_MS = 1_704_067_200_000  # 2024-01-01
ROUNDINGS: dict[str, Callable[[int, int], tuple[int, int]]] = {
    "exact": lambda start, stop: (start, stop),
    "down": lambda start, stop: (floor(start), floor(stop)),
    "up": lambda start, stop: (-floor(-start), -floor(-stop)),
    "wider": lambda start, stop: (floor(start), -floor(-stop)),
    "nearest": lambda start, stop: (floor(start + DAY_MS // 2), floor(stop + DAY_MS // 2)),
}


def floor(moment_ms: int) -> int:
    """Return the beginning of a day."""
    return moment_ms // DAY_MS * DAY_MS


class Server(httpx.BaseTransport):
    """One asset with a value on some dates, a limit of rows, and its own idea of a range."""

    def __init__(
        self, dates_ms: list[int], limit: int, *, zone: float = 0, inclusive: str = "both", rounding: str = "exact"
    ) -> None:
        self.dates_ms, self.limit, self.shift_ms = dates_ms, limit, int(zone * HOUR_MS)
        self.inclusive, self.round = inclusive, ROUNDINGS[rounding]
        self.ranges: list[tuple[int, int]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"start_date": self.dates_ms[0], "stop_date": self.dates_ms[-1]})
        time_range = json.loads(request.content or b"{}").get("time_range")
        dates_ms = self.dates_ms
        if time_range:
            ends = time_range["start_date"], time_range["stop_date"]
            self.ranges.append(ends)
            dates_ms = [date_ms for date_ms in dates_ms if self.contains(date_ms, *ends)]
        if len(dates_ms) > self.limit:
            return httpx.Response(504)
        results = [{"value_date": iso(date_ms), "metrics": [{"name": "m", "value": 1.5}]} for date_ms in dates_ms]
        return httpx.Response(200, json={"assets": [{"asset_id": "a", "results": results}]})

    def contains(self, date_ms: int, start_ms: int, stop_ms: int) -> bool:
        """Return whether a date lies in a range."""
        start_ms, stop_ms = self.round(start_ms + self.shift_ms, stop_ms + self.shift_ms)
        at_start, at_stop = self.inclusive in {"both", "left"}, self.inclusive in {"both", "right"}
        is_after_start = start_ms < date_ms or (start_ms == date_ms and at_start)
        return is_after_start and (date_ms < stop_ms or (date_ms == stop_ms and at_stop))


def iso(date_ms: int) -> str:
    """Return a date as the API writes it."""
    return (EPOCH + timedelta(milliseconds=date_ms)).isoformat()


def epoch_ms(date: datetime) -> int:
    """Return epoch milliseconds."""
    return round((date - EPOCH) / timedelta(milliseconds=1))


def fetch(server: Server) -> Any:
    """Return the results of the server's dataset."""
    with Kayrros(token="a-token", transport=server, retries=0) as kayrros:
        return kayrros.results(DATASET)


def irregular(count: int) -> list[int]:
    """Return distinct dates at random times of day, up to two days apart."""
    draw = random.Random(1)
    return [BEGIN_MS + n * DAY_MS + draw.randrange(DAY_MS) for n in range(count)]


DATES = {
    "daily": [BEGIN_MS + n * DAY_MS for n in range(100)],
    "six-hourly": [BEGIN_MS + n * 6 * HOUR_MS for n in range(120)],
    "irregular": irregular(60),
}


# A server that rounds to days and leaves out both of these days has no answer for a single day.
RANGES = [("exact", "neither"), *((rounding, ends) for rounding in ROUNDINGS for ends in ("both", "left", "right"))]


@pytest.mark.parametrize("zone", [-12, 14])
@pytest.mark.parametrize(("rounding", "inclusive"), RANGES)
@pytest.mark.parametrize("dates", list(DATES))
def test_each_row_comes_once_with_any_meaning_of_a_range(
    zone: float, inclusive: str, rounding: str, dates: str
) -> None:
    """Servers that filter in any time zone, count ends in or out, and round to days lose and repeat no row."""
    results = fetch(Server(DATES[dates], 30, zone=zone, inclusive=inclusive, rounding=rounding))
    assert [epoch_ms(date) for date in results.table["value_date"].to_pylist()] == DATES[dates]
    assert results.assets["date_count"].to_pylist() == [len(DATES[dates])]


def test_a_server_that_changes_its_zone_loses_nothing() -> None:
    """Its ranges are exact in winter and an hour late in summer. Each row comes with the window of its neighbours."""

    class London(Server):
        def contains(self, date_ms: int, start_ms: int, stop_ms: int) -> bool:
            return super().contains(date_ms + HOUR_MS * (date_ms > BEGIN_MS + 90 * DAY_MS), start_ms, stop_ms)

    dates_ms = [BEGIN_MS + n * HOUR_MS // 2 for n in range(48 * 180)]
    results = fetch(London(dates_ms, 100))
    assert [epoch_ms(date) for date in results.table["value_date"].to_pylist()] == dates_ms


def test_values_without_a_date_come_once() -> None:
    """A server may send them with each window."""

    class Undated(Server):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            response = super().handle_request(request)
            if request.method == "GET" or response.status_code != 200:
                return response
            answer = response.json()
            answer["assets"][0]["results"].append({"value_date": None, "metrics": [{"name": "m", "value": 2.5}]})
            return httpx.Response(200, json=answer)

    results = fetch(Undated(DATES["daily"], 30))
    assert results.table["value_date"].null_count == 1
    assert results.table.num_rows == results.assets["date_count"][0].as_py() == 101


class Gateway(Server):
    """Allows ranges of some days only, whether they hold data or not, and notes the number of requests."""

    def __init__(self, dates_ms: list[int], days: float, *, limit: int = 10**9, stated: tuple[int, int] | None = None):
        super().__init__(dates_ms, limit)
        self.max_ms, self.stated = days * DAY_MS, stated or (dates_ms[0], dates_ms[-1])

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"start_date": self.stated[0], "stop_date": self.stated[1]})
        query = json.loads(request.content or b"{}")
        ends = query.get("time_range", {"start_date": 0, "stop_date": 1e13})
        if ends["stop_date"] - ends["start_date"] > self.max_ms:
            self.ranges.append((ends["start_date"], ends["stop_date"]))
            return httpx.Response(504)
        response = super().handle_request(request)
        return response if "a" in query.get("mo_ids", ["a"]) else httpx.Response(200, json={"assets": []})


def daily(count: int) -> list[int]:
    """Return a date at noon of each day."""
    return [BEGIN_MS + n * DAY_MS + DAY_MS // 2 for n in range(count)]


@pytest.mark.parametrize(
    ("days", "limit", "bound", "on_gap"),
    [
        (1, 99, 140, "raise"),
        (1, 99, 140, "warn"),
        (5, 99, 110, "raise"),
        (7, 3, 140, "raise"),
        (31, 9, 110, "raise"),
        (366, 99, 100, "raise"),
    ],
)
def test_a_limit_of_days_costs_few_requests(
    days: int, limit: int, bound: int, on_gap: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """64 days come without an error, although the years around them can't be requested. Both are gaps that say so."""
    server = Gateway(daily(64), days, limit=limit)
    with Kayrros(token="a-token", transport=server, retries=0) as kayrros, caplog.at_level("WARNING", "kayrros_ext"):
        results = kayrros.results(DATASET, on_gap=on_gap)
    assert [epoch_ms(date) for date in results.table["value_date"].to_pylist()] == server.dates_ms
    assert results.requests <= bound
    before, after = results.gaps
    assert before.is_outside
    assert after.is_outside
    assert before.start.year < 2024
    assert epoch_ms(before.stop) <= server.dates_ms[0]
    assert epoch_ms(after.start) >= server.dates_ms[-1]
    assert after.stop.year == 2100
    assert len(caplog.messages) == 2
    assert all("outside of the dates of the metadata" in message for message in caplog.messages)


def test_batches_of_assets_cause_no_wall_of_warnings(caplog: pytest.LogCaptureFixture) -> None:
    """Each has the same dates, so that one warning for each side is enough."""
    ids = ["a", *(f"b{number}" for number in range(1300))]

    class Names(Gateway):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            is_list = b"time_range" in request.content and b"mo_ids" not in request.content
            assets = [{"asset_id": asset_id, "results": []} for asset_id in ids]
            return httpx.Response(200, json={"assets": assets}) if is_list else super().handle_request(request)

    with Kayrros(token="a-token", transport=Names(daily(20), 7), retries=0) as kayrros:
        results = kayrros.results(DATASET, assets=ids)
    assert results.requests < 150
    assert len({(gap.start.year, gap.assets) for gap in results.gaps if gap.is_outside}) == 6
    assert sum("outside of the dates of the metadata" in message for message in caplog.messages) == 2


def test_an_export_records_what_lies_outside(tmp_path: Path) -> None:
    """The file has all rows of the metadata's dates."""
    server = Gateway(daily(20), 7)
    with Kayrros(token="a-token", transport=server, retries=0) as kayrros:
        path = kayrros.export(DATASET, tmp_path / "all.parquet")
    assert pq.read_table(path).num_rows == 20
    assert pq.read_metadata(path).metadata[b"gaps"].count(b"outside of the dates of the metadata") == 2


@pytest.mark.parametrize("days", [1, 7])
def test_data_after_the_stated_dates_comes_past_a_limit_of_days(days: int) -> None:
    """The metadata may be some days or a year old. How many requests it takes depends on which response comes first."""
    server = Gateway(daily(400), days, stated=(BEGIN_MS, BEGIN_MS + 30 * DAY_MS))
    results = fetch(server)
    assert results.table.num_rows == 400
    assert results.requests <= 3 * 400 / days + 300


def test_start_and_stop_bound_all_requests() -> None:
    """Nothing lies outside."""
    server = Gateway(daily(64), 7)
    query = {"start": "2024-01-10", "stop": "2024-01-31"}
    with Kayrros(token="a-token", transport=server, retries=0) as kayrros:
        results = kayrros.results(DATASET, **query)  # type: ignore[arg-type]
    assert results.table.num_rows == 22
    assert results.gaps == ()
    assert len(server.ranges) < 20
    assert all(BEGIN_MS + 9 * DAY_MS <= start <= stop < BEGIN_MS + 31 * DAY_MS for start, stop in server.ranges)


def test_a_query_beyond_the_metadata_is_given_up_as_well() -> None:
    """The result has what there is, and says what is missing, also if the query has both ends."""
    server = Gateway(daily(64), 7)
    with Kayrros(token="a-token", transport=server, retries=0) as kayrros:
        results = kayrros.results(DATASET, start="2030-01-01")
        assert results.table.num_rows == 0
        assert results.gaps[-1].is_outside
        assert len(server.ranges) < 50
        results = kayrros.results(DATASET, start="2000-01-01", stop="2050-01-01")
    assert results.table.num_rows == 64
    assert [gap.is_outside for gap in results.gaps] == [True, True]
    assert results.requests < 120


def test_the_number_of_requests_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to do, and holds the results so far."""
    monkeypatch.setattr("kayrros_ext._results.fetch.MAX_REQUESTS", 100)
    server = Gateway(daily(400), 1)
    with pytest.raises(
        GapError, match="100 requests did not bring all results.*Ask for less, with start and stop"
    ) as caught:
        fetch(server)
    assert 0 < caught.value.results.table.num_rows < 100
    assert caught.value.gaps[-1].stop.year == 2100
    assert len(server.ranges) <= 102


class Reprocessing(Server):
    """The dataset changes while it is fetched: in each window that begins in 2024-03 or later."""

    def __init__(self, before: dict[str, Any], after: dict[str, Any]) -> None:
        super().__init__(DATES["daily"], 30)
        self.before, self.after = before, after

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        if request.method == "GET" or response.status_code != 200:
            return response
        is_late = json.loads(request.content)["time_range"]["start_date"] > BEGIN_MS + 60 * DAY_MS
        answer, fields = response.json(), self.after if is_late else self.before
        answer |= {name: value for name, value in fields.items() if name != "asset"}
        answer["assets"][0] |= fields.get("asset", {})
        return httpx.Response(200, content=json.dumps(answer), headers=response.headers)  # json= rejects NaN


@pytest.mark.parametrize("name", ["processing_id", "source_id"])
def test_a_change_of_the_dataset_is_a_warning(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The results name both states, and so does a file. Windows that agree, or say nothing, cause no warning."""
    with Kayrros(token="a-token", transport=Reprocessing({name: "old"}, {name: "new"}), retries=0) as kayrros:
        results = kayrros.results(DATASET)
        assert (getattr(results, name), getattr(results, f"{name}s")) == ("old", ("old", "new"))
        [message] = caplog.messages
        assert f"more than one {name} (new, old)" in message
        assert len(list(kayrros.iter_results(DATASET))) > 1
        assert caplog.messages == [message] * 2
        path = kayrros.export(DATASET, tmp_path / "all.parquet")
        assert caplog.messages == [message] * 3
        assert pq.read_metadata(path).metadata[name.encode()] == b"old; new"
    caplog.clear()
    results = fetch(Reprocessing({name: "same"}, {}))
    assert getattr(results, f"{name}s") == ("same",)
    fetch(Reprocessing({name: "same"}, {name: "same"}))
    assert caplog.messages == []


def test_a_field_renamed_meanwhile_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """The merged column is not empty, but that of the later windows is."""
    renamed = {"asset": {"asset_label": "Tank"}}
    results = fetch(Reprocessing({"asset": {"asset_name": "Tank"}}, renamed))
    assert 0 < results.table["asset_name"].null_count < results.table.num_rows
    [message] = caplog.messages
    assert "assets[].asset_label" in message
    assert re.search(r"No value has come for [^:]*\basset_name\b.*renamed", message)


def test_values_that_are_not_finite_cause_one_warning(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """It counts those of all windows. strict=True is an error that names the first place."""
    area = {"asset": {"asset_surface_area_m2": float("nan")}}
    with Kayrros(token="a-token", transport=Reprocessing(area, area), retries=0) as kayrros:
        results = kayrros.results(DATASET)
        kayrros.export(DATASET, tmp_path / "all.csv")
        assert results.non_finite > 3
        assert [message.partition(" ")[0] for message in caplog.messages] == [str(results.non_finite)] * 2
        with pytest.raises(GapError, match=r"assets\[0\].asset_surface_area_m2.*NaN") as caught:
            kayrros.results(DATASET, strict=True)
        assert isinstance(caught.value.__cause__, ContractError)
