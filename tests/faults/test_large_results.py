"""Results past the gateway's 504, against the fake: all of it, exactly, in few requests, and what is missing is named."""

import json
import logging
import math
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pyarrow.compute as pc
import pytest

from kayrros_ext import APIError, ContractError, GapError, Kayrros, Progress, Results, TransportError, UsageError
from kayrros_ext._results.reader import sort_table, take_in_slices
from kayrros_ext.testing import Dataset, Fault, Platform, Request
from tests.support.server import DATASET, RESULTS, Answer, Server, as_json

Row = tuple[Any, ...]
HOUR = timedelta(hours=1)


@pytest.fixture
def platform() -> Platform:
    return Platform(sleep=lambda _: None)


@pytest.fixture
def dataset(platform: Platform) -> Dataset:
    """20 assets, 300 weeks, 2 metrics: 12,000 rows."""
    return platform.generate(seed=1, assets=20, dates=300)


@pytest.fixture
def kayrros(platform: Platform) -> Iterator[Kayrros]:
    with platform.connect() as client:
        yield client


def results_requests(platform: Platform) -> list[Request]:
    return [seen for seen in platform.requests if seen.operation == "getDatasetResults"]


def rows(found: Results) -> list[Row]:
    return [
        tuple(row.values()) for row in found.table.select(["asset_id", "value_date", "metric", "value"]).to_pylist()
    ]


@pytest.mark.parametrize(
    ("ratio", "inclusive"),
    [*((ratio, ends) for ratio in (1, 10, 100) for ends in ("both", "left", "right", "neither")), (1000, "both")],
)
def test_all_of_it_comes_in_few_requests(
    ratio: int, inclusive: str, platform: Platform, dataset: Dataset, kayrros: Kayrros
) -> None:
    """The very tables of a server without a limit, in at most 2N/L + 2 log2(N/L) + concurrency requests."""
    whole = kayrros.results(dataset.id)
    platform.requests.clear()
    platform.inclusive = inclusive  # type: ignore[assignment]  # one of the four
    platform.max_rows = 12_000 // ratio
    found = kayrros.results(dataset.id)
    assert whole.table.equals(found.table)
    assert whole.assets.equals(found.assets)
    assert (whole.processing_id, whole.source_id, ()) == (found.processing_id, found.source_id, found.gaps)
    assert len(results_requests(platform)) == found.requests
    assert found.requests <= 2 * ratio + 2 * math.log2(ratio) + 4


@pytest.mark.parametrize("every", [HOUR, timedelta(minutes=20), timedelta(days=1), timedelta(days=31)])
def test_other_steps_of_time(every: timedelta, platform: Platform, kayrros: Kayrros) -> None:
    """Values on the boundaries of windows, many a day, few a year."""
    dataset = platform.generate(seed=2, assets=3, dates=500, every=every, start=datetime(2021, 5, 3, 12, tzinfo=UTC))
    whole = kayrros.results(dataset.id)
    platform.max_rows = 500
    found = kayrros.results(dataset.id)
    assert whole.table.equals(found.table)
    assert whole.assets.equals(found.assets)


def test_a_filter_holds(platform: Platform, dataset: Dataset, kayrros: Kayrros) -> None:
    """Its range is what is cut, its assets what is asked for; the metadata is not needed."""
    names = [f"tank-{number:06d}" for number in (3, 4, 11)]
    given: dict[str, Any] = {"start": "2024-02-01", "stop": "2025-06-30", "assets": names}
    whole = kayrros.results(dataset.id, **given)
    assert 0 < whole.table.num_rows < 12_000
    platform.requests.clear()
    platform.max_rows = 20
    assert whole.table.equals(kayrros.results(dataset.id, **given).table)
    assert {"getDatasetResults"} == {seen.operation for seen in platform.requests}
    for seen in platform.requests:
        sent = seen.json
        assert 1706745600000 <= sent["time_range"]["start_date"] <= sent["time_range"]["stop_date"] <= 1751241600000
        assert set(sent["mo_ids"]) <= set(names)


def test_thousands_of_assets_are_asked_for_in_batches(platform: Platform, kayrros: Kayrros) -> None:
    """500 at a time, and all of them come."""
    dataset = platform.generate(assets=2000, dates=2)
    names = [f"tank-{number:06d}" for number in range(1800)]
    found = kayrros.results(dataset.id, assets=names)
    assert names == found.assets["asset_id"].to_pylist()
    assert 1800 * 4 == found.table.num_rows
    assert [500, 500, 500, 300] == sorted(
        (len(seen.json["mo_ids"]) for seen in results_requests(platform)), reverse=True
    )


def test_an_asset_that_is_named_twice_comes_once(platform: Platform, dataset: Dataset, kayrros: Kayrros) -> None:
    """Though the two might have been in two batches."""
    names = ["tank-000003", "tank-000003", "tank-000007"] * 300
    assert 2 * 600 == kayrros.results(dataset.id, assets=names).table.num_rows
    platform.max_rows = 100
    assert 2 * 600 == kayrros.results(dataset.id, assets=names).table.num_rows


@pytest.mark.parametrize("start", ["1980-01-01", "2090-01-01"])
def test_a_range_beside_the_data_is_cut_too(start: str, platform: Platform, kayrros: Kayrros) -> None:
    """Where the metadata says that there is nothing, and the gateway that it is too much."""
    dataset = platform.generate(assets=2, dates=10)
    platform.fail_next(504, times=3, operation="getDatasetResults")
    found = kayrros.results(dataset.id, start=start, stop="2095-01-01" if start > "2000" else None)
    assert found.table.num_rows == (40 if start < "2000" else 0)
    platform.fail_next(504, times=None, operation="getDatasetResults")
    with pytest.raises(GapError):
        kayrros.results(dataset.id, start="2090-01-01", stop="2090-01-01")


def test_a_dataset_of_one_date_is_cut_by_assets_at_once(platform: Platform, kayrros: Kayrros) -> None:
    """Its metadata gives a range of one moment."""
    dataset = platform.generate(assets=100, dates=1, metrics=["m"])
    platform.max_rows = 10
    found = kayrros.results(dataset.id)
    assert 100 == found.table.num_rows
    assert found.requests <= 2 * 10 + 2 * math.log2(10) + 4


def test_assets_too_many_for_a_small_answer_come_all_the_same(
    platform: Platform, kayrros: Kayrros, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each answer names them all, so no range of time makes it small; also where they can't be told apart by id."""
    monkeypatch.setattr("kayrros_ext._results.fetch.FLAT_BODY", 50_000)
    dataset = platform.generate(assets=400, dates=2, metrics=["m"])
    assert 800 == sum(part.table.num_rows for part in kayrros.iter_results(dataset.id))
    dataset.metadata["asset_count"] = 401
    assert 800 == sum(part.table.num_rows for part in kayrros.iter_results(dataset.id))


@pytest.mark.parametrize("count", [6, None])
def test_assets_without_an_id_are_not_cut_away(count: int | None, platform: Platform, kayrros: Kayrros) -> None:
    """A day that can't be cut by assets is a gap, and not some rows less."""
    results = [
        {"value_date": f"2024-01-01T{hour:02}:00:00Z", "metrics": [{"name": "m", "value": 1}]} for hour in range(24)
    ]
    assets = [{"asset_id": f"a{number}" if number else None, "results": results} for number in range(6)]
    dataset = platform.add({"assets": assets}, metadata={"asset_count": count})
    platform.max_rows = 30
    with pytest.raises(GapError):
        kayrros.results(dataset.id)


@pytest.mark.parametrize("about", [{"stop_date": 10**17}, {"start_date": -(10**17)}, {"start_date": -62135596800000}])
def test_metadata_that_no_date_can_hold_is_passed_over(
    about: dict[str, int], platform: Platform, dataset: Dataset, kayrros: Kayrros
) -> None:
    """Micro- or nanoseconds for milliseconds, say."""
    dataset.metadata.update(about)
    platform.max_rows = 4_000
    assert 12_000 == kayrros.results(dataset.id).table.num_rows


def test_a_date_at_the_end_of_time_is_not_lost(platform: Platform, kayrros: Kayrros) -> None:
    """9999-12-31 stands for "no end" in many a database."""
    dates = [f"2024-01-{day:02}" for day in range(1, 29)] + ["9999-12-31"]
    dataset = platform.add({"a": {date: {"m": 1.0} for date in dates}})
    platform.max_rows = 20
    assert 29 == kayrros.results(dataset.id).table.num_rows


def test_assets_that_share_an_id_stay_apart(platform: Platform, kayrros: Kayrros) -> None:
    """Two versions of one asset, and assets without an id, are the same however many answers they came in."""
    days = [{"value_date": f"2024-01-{day:02}", "metrics": [{"name": "m", "value": day}]} for day in range(1, 29)]
    named = [{"asset_id": "a", "asset_version": version, "results": days} for version in (1, 2)]
    nameless = [{"asset_name": name, "results": days} for name in ("x", "y")]
    dataset = platform.add({"assets": [*named, {"asset_id": "e", "asset_version": 1}, {"asset_id": "e"}, *nameless]})
    whole = kayrros.results(dataset.id)
    platform.max_rows = 30
    found = kayrros.results(dataset.id)
    assert whole.table.equals(found.table)
    assert whole.assets.to_pylist() == found.assets.to_pylist()


def test_an_asset_that_is_not_there_is_named(
    platform: Platform, dataset: Dataset, kayrros: Kayrros, caplog: pytest.LogCaptureFixture
) -> None:
    """In a warning, by whatever call, in one answer or in parts."""
    names = ["tank-000001", "tnak-000002"]
    with caplog.at_level(logging.WARNING, "kayrros_ext"):
        kayrros.results(dataset.id, assets=names)
        platform.max_rows = 300
        list(kayrros.iter_results(dataset.id, assets=names))
        kayrros.results(dataset.id, assets=names[:1])
    assert ["1 of the assets asked for are not in the answer: tnak-000002"] * 2 == caplog.messages


def test_rows_come_in_order_of_asset_date_and_metric(platform: Platform, kayrros: Kayrros) -> None:
    """Whatever order they were sent in."""
    values = {"b": {"2024-02-01": {"z": 1.0, "a": 2.0}, "2024-01-01": {"a": 3.0}}, "a": {"2024-03-01": {"a": 4.0}}}
    found = kayrros.results(platform.add(values).id)
    assert [4.0, 3.0, 2.0, 1.0] == found.table["value"].to_pylist()
    assert ["a", "b"] == found.assets["asset_id"].to_pylist()


def test_order_where_one_array_can_not_hold_all_lists(
    platform: Platform, dataset: Dataset, kayrros: Kayrros, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that are put in order slice by slice, as beyond 2 GiB of categories, are the same rows in the same order."""
    monkeypatch.setattr("kayrros_ext._results.reader.ROWS_PER_TAKE", 1000)
    table = kayrros.results(dataset.id).table
    order = pc.sort_indices(table, [("value", "descending")])
    found = take_in_slices(table, order)
    assert 12 == found["asset_categories"].num_chunks
    assert table.take(order).equals(found)
    assert table.schema.equals(found.schema, check_metadata=True)


def test_nothing_that_is_out_of_the_ordinary_is_lost(platform: Platform, kayrros: Kayrros) -> None:
    """Assets without results, dates without metrics, one row twice in one answer."""
    tank = {
        "asset_id": "tank",
        "results": [
            *({"value_date": f"2024-01-{day:02d}", "metrics": [{"name": "m", "value": day}]} for day in range(1, 29)),
            {"value_date": "2024-01-28", "metrics": [{"name": "m", "value": 28.5}]},
            {"value_date": "2024-01-29", "metrics": []},
        ],
    }
    dataset = platform.add({"processing_id": "p", "assets": [tank, {"asset_id": "empty"}]})
    whole = kayrros.results(dataset.id)
    platform.max_rows = 4
    found = kayrros.results(dataset.id)
    assert whole.table.equals(found.table)
    assert whole.without_metrics.equals(found.without_metrics)
    assert ["empty", "tank"] == found.assets["asset_id"].to_pylist()
    assert [0, 29] == found.assets["date_count"].to_pylist()  # the date that came twice is one date


@pytest.mark.parametrize("status", [502, 503])
def test_a_gateway_that_says_it_otherwise(status: int, platform: Platform, dataset: Dataset) -> None:
    """502 and 503 are tried again first, and then the window is cut."""
    source = dataset.source
    assert source

    def is_large(request: Request) -> bool:
        ends = (request.json if request.body else {}).get("time_range", {})
        return int(ends.get("stop_date", 1e15)) - int(ends.get("start_date", 0)) > 8 * 365 * 86_400_000

    platform.fail_when(is_large, status, operation="getDatasetResults")
    with platform.connect(retries=2) as kayrros:
        found = kayrros.results(dataset.id)
    assert 12_000 == found.table.num_rows
    assert len(results_requests(platform)) == found.requests
    statuses = [seen.status for seen in results_requests(platform)]
    assert [status] * 3 == statuses[:3]


@pytest.mark.parametrize("fault", [503, 502, Fault.late(1000)])
def test_a_platform_that_is_down_is_not_cut(fault: Fault | int, platform: Platform, dataset: Dataset) -> None:
    """Where the metadata does not come either, the results are not too large: the error is what it was."""
    platform.fail_next(fault, times=None)
    with (
        platform.connect(retries=1, token=platform.give_token()) as kayrros,
        pytest.raises((APIError, TransportError), match="after 2 attempts"),
    ):
        kayrros.results(dataset.id)
    assert 4 == len(platform.requests)


def test_a_timeout_is_cut_too(platform: Platform, dataset: Dataset) -> None:
    """A read timeout, after its retries."""
    platform.fail_when(
        lambda request: b"time_range" not in request.body, Fault.late(1000), operation="getDatasetResults"
    )
    with platform.connect(retries=1, total_timeout=1e6) as kayrros:
        assert 12_000 == kayrros.results(dataset.id).table.num_rows


def test_an_answer_beyond_the_limit_of_memory_is_cut(platform: Platform, dataset: Dataset) -> None:
    """`max_body` is a limit of one answer, not of the dataset."""
    with platform.connect(max_body=100_000) as kayrros:
        assert 12_000 == kayrros.results(dataset.id).table.num_rows


def fails_in_march(request: Request) -> bool:
    """Every request that touches 2 March 2024."""
    ends = (request.json if request.body else {}).get("time_range", {"start_date": 0, "stop_date": 1e15})
    start, stop = int(ends["start_date"]), int(ends["stop_date"])
    return start < 1709337601000 < stop


@pytest.fixture
def daily(platform: Platform) -> Dataset:
    """2 assets on 100 days from 2024-01-02, one metric; and a hole that nothing gets through."""
    dataset = platform.generate(seed=5, assets=2, dates=100, metrics=["m"], every=timedelta(days=1))
    platform.fail_when(fails_in_march, 504, operation="getDatasetResults")
    return dataset


def test_a_window_that_can_not_be_had_is_named(daily: Dataset, kayrros: Kayrros) -> None:
    """With its dates and its asset; what came until then is in the error."""
    with pytest.raises(GapError, match=r"2024-03-01T11:59:59Z to 2024-03-02T11:59:59Z of 1 assets.*504") as caught:
        kayrros.results(daily.id)
    gap, *others = caught.value.gaps
    assert 504 == gap.error.status
    assert gap.assets in {("tank-000000",), ("tank-000001",)}  # whichever came first
    assert isinstance(caught.value.__cause__, APIError)
    found = caught.value.results
    assert caught.value.gaps == found.gaps
    assert found.table.num_rows > 50
    assert all(other.error is None for other in others)


def test_gaps_may_be_left_out(daily: Dataset, kayrros: Kayrros, caplog: pytest.LogCaptureFixture) -> None:
    """All the rest comes, the gaps are in the results, and a warning names each."""
    with caplog.at_level(logging.WARNING, "kayrros_ext"):
        found = kayrros.results(daily.id, on_gap="warn")
    assert 2 * 99 == found.table.num_rows
    assert [("tank-000000",), ("tank-000001",)] == [gap.assets for gap in found.gaps]
    assert {datetime(2024, 3, 1, 11, 59, 59, 500_000, tzinfo=UTC)} == {gap.start for gap in found.gaps}
    assert 2 == sum("could not be had, and is left out" in record.getMessage() for record in caplog.records)


def test_parts_know_their_gaps(daily: Dataset, kayrros: Kayrros) -> None:
    """A part with a gap has no rows; the others have no gap."""
    parts = list(kayrros.iter_results(daily.id, on_gap="warn"))
    assert 2 == len([part for part in parts if part.gaps])
    assert all(part.table.num_rows == 0 for part in parts if part.gaps)
    assert 198 == sum(part.table.num_rows for part in parts)
    came: list[Results] = []
    with pytest.raises(GapError) as caught:
        came.extend(kayrros.iter_results(daily.id))
    assert sum(part.table.num_rows for part in came) > 50
    assert caught.value.results is None


def test_a_day_that_fails_otherwise_is_a_gap_too(platform: Platform, kayrros: Kayrros) -> None:
    """An answer that is not the contract, in one window: the others are there."""
    dataset = platform.generate(assets=2, dates=100, every=timedelta(days=1))
    platform.max_rows = 100
    platform.fail_next(Fault.body(b'{"assets": {}}'), operation="getDatasetResults", skip=4)
    found = kayrros.results(dataset.id, on_gap="warn")
    [gap] = found.gaps
    assert isinstance(gap.error, ContractError)
    assert 0 < found.table.num_rows < 400


@pytest.mark.parametrize(("fault", "error"), [(403, APIError), (Fault.dropped(), TransportError)])
def test_where_the_others_would_end_so_too_it_ends(
    fault: Fault | int, error: type[Exception], platform: Platform, dataset: Dataset
) -> None:
    """No permission any more, no network: also with on_gap="warn", and what came is not lost."""
    platform.max_rows = 1000
    with platform.connect(retries=0, token=platform.give_token()) as kayrros:
        platform.fail_next(fault, times=None, operation="getDatasetResults", skip=9)
        with pytest.raises(GapError) as caught:
            kayrros.results(dataset.id, on_gap="warn")
    assert isinstance(caught.value.__cause__, error)
    assert 0 < caught.value.results.table.num_rows < 12_000


@pytest.mark.parametrize("skip", [0, 9])
@pytest.mark.parametrize("status", [503, 504])
def test_an_outage_is_not_left_out_day_by_day(status: int, skip: int, platform: Platform, dataset: Dataset) -> None:
    """Where nothing comes at all, from the first or from the tenth request on, on_gap="warn" ends soon, too."""
    platform.max_rows = 1000
    with platform.connect(retries=0) as kayrros:
        platform.fail_next(status, times=None, operation="getDatasetResults", skip=skip)
        with pytest.raises(GapError, match="The other parts would have ended the same way") as caught:
            kayrros.results(dataset.id, on_gap="warn")
    assert bool(skip) == bool(caught.value.results.table.num_rows)
    assert len(results_requests(platform)) < 60


def test_in_one_answer_an_error_is_what_it_was(platform: Platform, dataset: Dataset, kayrros: Kayrros) -> None:
    """No gap where nothing was cut."""
    platform.fail_next(403, operation="getDatasetResults")
    with pytest.raises(APIError, match="403"):
        kayrros.results(dataset.id)


def test_days_are_cut_by_the_assets_that_are_known(platform: Platform, kayrros: Kayrros) -> None:
    """Asked for once, from an answer for a day before all data; where some are not known by id, the day is a gap."""
    dataset = platform.generate(assets=64, dates=3, metrics=["m"], every=timedelta(days=1))
    platform.max_rows = 4
    found = kayrros.results(dataset.id)
    assert 64 * 3 == found.table.num_rows
    assert found.requests <= 2 * 48 + 2 * math.log2(48) + 4
    dataset.metadata["asset_count"] = 65
    with pytest.raises(GapError, match="504"):
        kayrros.results(dataset.id)


@pytest.mark.parametrize("about", [{"start_date": None, "stop_date": None}, {"start_date": 5, "stop_date": 3}])
def test_without_dates_in_the_metadata_it_is_cut_from_1970(
    about: dict[str, Any], platform: Platform, dataset: Dataset, kayrros: Kayrros
) -> None:
    """As well as where the metadata can't be had at all."""
    dataset.metadata.update(about)
    platform.max_rows = 2_000
    assert 12_000 == kayrros.results(dataset.id).table.num_rows
    platform.fail_next(500, operation="getDatasetMetadata")
    assert 12_000 == kayrros.results(dataset.id).table.num_rows


@pytest.mark.parametrize("start", [datetime(1931, 5, 1, tzinfo=UTC), datetime(2098, 7, 1, tzinfo=UTC)])
def test_no_date_is_too_far_away(start: datetime, platform: Platform, kayrros: Kayrros) -> None:
    """Before 1970 and behind 2100, where the metadata says so."""
    dataset = platform.generate(assets=2, dates=300, start=start)
    platform.max_rows = 100
    assert 1_200 == kayrros.results(dataset.id).table.num_rows


def test_metadata_that_is_old_loses_nothing(platform: Platform, dataset: Dataset, kayrros: Kayrros) -> None:
    """It says where to cut, not what to leave out."""
    dataset.metadata.update({"start_date": 1720000000000, "stop_date": 1721000000000})
    platform.max_rows = 1_000
    assert 12_000 == kayrros.results(dataset.id).table.num_rows


def test_parts_are_few_in_memory_and_each_row_is_in_one(platform: Platform, dataset: Dataset, kayrros: Kayrros) -> None:
    """In order of time, and none is asked for long before it is taken."""
    platform.max_rows = 400
    seen: list[Row] = []
    last = datetime(1970, 1, 1, tzinfo=UTC)
    for number, part in enumerate(kayrros.iter_results(dataset.id), 1):
        if part.table.num_rows:
            ends = pc.min_max(part.table["value_date"]).as_py()
            assert last < ends["min"]
            last = ends["max"]
        seen += rows(part)
        # Failed ones aside: what is there already, and those under way.
        assert sum(one.status == 200 for one in results_requests(platform)) <= number + 2 * 4
    platform.max_rows = None
    assert sorted(seen) == rows(kayrros.results(dataset.id))


def test_an_iteration_that_is_left_asks_for_no_more(platform: Platform, dataset: Dataset, kayrros: Kayrros) -> None:
    """What is under way ends, and that is all."""
    platform.max_rows = 100
    for _ in kayrros.iter_results(dataset.id):
        break
    assert len(results_requests(platform)) < 40


def test_a_person_sees_progress(
    platform: Platform,
    dataset: Dataset,
    kayrros: Kayrros,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A callable is told; True is a line on stderr that ends with how many requests it took, and so does the log."""
    platform.max_rows = 1_000
    told: list[Progress] = []
    with caplog.at_level(logging.INFO, "kayrros_ext"):
        found = kayrros.results(dataset.id, progress=told.append)
    assert [one.fraction for one in told] == sorted(one.fraction for one in told)
    assert (1.0, 12_000, found.requests) == (told[-1].fraction, told[-1].rows, told[-1].requests)
    assert f"12000 rows in {told[-1].windows} windows, {found.requests} requests" in caplog.text
    assert ("", "") == capsys.readouterr()
    kayrros.results(dataset.id, progress=True)
    assert capsys.readouterr().err.endswith(" requests\n")
    kayrros.results(dataset.id, progress=False)
    assert ("", "") == capsys.readouterr()


@pytest.mark.parametrize("wrong", [{"on_gap": "ignore"}, {"on_gap": None}, {"progress": 1}])
def test_what_can_not_be_is_refused(wrong: dict[str, Any], platform: Platform, kayrros: Kayrros) -> None:
    """Before anything is sent, also by the iterator, which is not yet asked for a part."""
    for call in (kayrros.results, kayrros.iter_results):
        with pytest.raises(UsageError):
            call(DATASET, **wrong)
    assert [] == platform.requests


def test_windows_run_at_the_same_time(platform: Platform, dataset: Dataset) -> None:
    """As many as `concurrency` says: nobody answers before that many have asked."""
    platform.max_rows = 100
    gate, waiting, most = threading.Condition(), 0, 0

    def wait(_: float) -> None:
        nonlocal waiting, most
        with gate:
            waiting += 1
            most = max(most, waiting)
            gate.notify_all()
            gate.wait_for(lambda: most >= 6, timeout=0.05)
            waiting -= 1

    slow = Platform(latency_s=1, sleep=wait, max_rows=100)
    same = slow.generate(seed=1, assets=20, dates=300)
    with slow.connect(concurrency=6) as kayrros:
        assert 12_000 == kayrros.results(same.id).table.num_rows
    assert 6 == most


def test_a_server_that_ignores_the_range_is_found_out(start: Any, connect: Any) -> None:
    """Its parts are not parts: an error, and never a row twice."""
    answer = as_json(
        {
            "assets": [
                {"asset_id": "a", "results": [{"value_date": "2024-01-01", "metrics": [{"name": "m", "value": 1}]}]}
            ]
        }
    )

    def said(request: Any) -> Answer:
        if request.path != RESULTS:
            return as_json({"start_date": 1704067200000, "stop_date": 1735689600000})
        return answer if b"time_range" in request.body else Answer(504)

    server: Server = start(said)
    with pytest.raises(GapError, match="more than a day (before|after) the range"):
        connect(server, token="a-token").results(DATASET)


def test_a_server_that_ignores_the_assets_is_found_out(start: Any, connect: Any) -> None:
    """Each batch would hold every row."""
    days = [{"value_date": "2024-01-01", "metrics": [{"name": "m", "value": 1}]}]
    server = start(lambda _: as_json({"assets": [{"asset_id": f"a{n}", "results": days} for n in range(600)]}))
    with pytest.raises(GapError, match="the asset 'a.*' came, which was not asked for"):
        connect(server, token="a-token").results(DATASET, assets=[f"a{n}" for n in range(600)])


@pytest.mark.parametrize("hours", [-12, -2, 2, 12])
def test_a_server_in_another_zone_loses_nothing(hours: int, start: Any, connect: Any) -> None:
    """It holds a date to be some hours off, or rounds to whole days: rows near a boundary come twice, or from the other."""
    base = datetime(2024, 1, 1, tzinfo=UTC)
    dates = [base + number * 6 * HOUR for number in range(400)]
    epoch = datetime(1970, 1, 1, tzinfo=UTC)

    def answer(first: float, last: float) -> Answer:
        found = [date for date in dates if first <= (date + hours * HOUR - epoch) / timedelta(milliseconds=1) <= last]
        if len(found) > 40:
            return Answer(504)
        metrics = [{"name": "m", "value": 1.5}]
        results = [{"value_date": date.isoformat(), "metrics": metrics} for date in found]
        return as_json({"assets": [{"asset_id": "a", "results": results}]})

    def said(request: Any) -> Answer:
        if request.path != RESULTS:
            return as_json({"start_date": 1704067200000, "stop_date": 1735689600000})
        ends = json.loads(request.body or b"{}").get("time_range")
        if ends is None:
            return Answer(504)
        day = 86_400_000
        rounded = (ends["start_date"] // day * day, -(-ends["stop_date"] // day) * day)
        return answer(*(rounded if hours > 0 else (ends["start_date"], ends["stop_date"])))

    found = connect(start(said), token="a-token").results(DATASET)
    assert dates == found.table["value_date"].to_pylist()
    assert [400] == found.assets["date_count"].to_pylist()


def test_an_export_is_all_of_it(platform: Platform, dataset: Dataset, kayrros: Kayrros, tmp_path: Any) -> None:
    """In flat memory; the file says what it holds."""
    import pyarrow.parquet as pq

    platform.max_rows = 500
    path = kayrros.export(dataset.id, tmp_path / "all.parquet", start="2024-01-01")
    platform.max_rows = None
    whole = kayrros.results(UUID(dataset.id), start="2024-01-01")
    found = pq.read_table(path)
    assert whole.table.equals(sort_table(found.cast(whole.table.schema)))
    about = {key.decode(): value.decode() for key, value in pq.read_metadata(path).metadata.items()}
    assert dataset.id == about["dataset_id"]
    assert "2024-01-01T00:00:00+00:00" == about["start"]
    assert int(about["requests"]) > 12_000 / 500


def test_an_export_with_a_gap_is_no_file(daily: Dataset, kayrros: Kayrros, tmp_path: Any) -> None:
    """Unless the gap may be left out; then the file names it."""
    import pyarrow.parquet as pq

    with pytest.raises(GapError):
        kayrros.export(daily.id, tmp_path / "all.parquet")
    assert [] == list(tmp_path.iterdir())
    path = kayrros.export(daily.id, tmp_path / "all.parquet", on_gap="warn")
    assert b"2024-03-01T11:59:59Z to 2024-03-02T11:59:59Z" in pq.read_metadata(path).metadata[b"gaps"]
    assert 198 == pq.read_metadata(path).num_rows


def test_an_export_to_what_can_not_be_sends_nothing(platform: Platform, dataset: Dataset, kayrros: Kayrros) -> None:
    """No ending, no format."""
    with pytest.raises(UsageError, match="ending"):
        kayrros.export(dataset.id, "results.xyz")
    assert [] == platform.requests
