"""Results in windows, from servers that understand a time range in their own way."""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from kayrros_ext import Kayrros
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


@pytest.mark.parametrize("zone", [-12, 0, 14])
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
