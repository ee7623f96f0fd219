"""Results past the gateway's 504, from the fake: complete, in few requests, and gaps are named."""

import logging
import math
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow.compute as pc
import pytest

from kayrros_ext import APIError, ContractError, GapError, Kayrros, Progress, Results, TransportError, UsageError
from kayrros_ext._results.reader import sort_table, take_in_slices
from kayrros_ext.testing import Dataset, Fault, Platform, Request
from tests.support.server import DATASET, RESULTS, Server, StubResponse, as_json

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


def rows(results: Results) -> list[Row]:
    return [
        tuple(row.values()) for row in results.table.select(["asset_id", "value_date", "metric", "value"]).to_pylist()
    ]


@pytest.mark.parametrize(
    ("ratio", "inclusive"),
    [
        (1, "both"),
        *((10, ends) for ends in ("both", "left", "right", "neither")),
        (100, "neither"),
        pytest.param(1000, "both", marks=pytest.mark.slow),  # the planner's bound holds in tests/unit/test_windows.py
    ],
)
def test_all_rows_come_in_few_requests(
    ratio: int, inclusive: str, platform: Platform, dataset: Dataset, kayrros: Kayrros
) -> None:
    """The tables are those without a limit. They take at most 2N/L + 2 log2(N/L) + concurrency requests."""
    whole = kayrros.results(dataset.id)
    platform.requests.clear()
    platform.inclusive = inclusive  # type: ignore[assignment]  # one of the four
    platform.max_rows = 12_000 // ratio
    results = kayrros.results(dataset.id)
    assert whole.table.equals(results.table)
    assert whole.assets.equals(results.assets)
    assert (whole.processing_id, whole.source_id, ()) == (results.processing_id, results.source_id, results.gaps)
    assert len(results_requests(platform)) == results.requests
    assert results.requests <= 2 * ratio + 2 * math.log2(ratio) + 4


@pytest.mark.parametrize("every", [HOUR, timedelta(minutes=20), timedelta(days=1), timedelta(days=31)])
def test_any_step_between_dates_works(every: timedelta, platform: Platform, kayrros: Kayrros) -> None:
    """Steps range from 20 minutes to a month, and values lie at the boundaries of windows."""
    dataset = platform.generate(seed=2, assets=3, dates=500, every=every, start=datetime(2021, 5, 3, 12, tzinfo=UTC))
    whole = kayrros.results(dataset.id)
    platform.max_rows = 500
    results = kayrros.results(dataset.id)
    assert whole.table.equals(results.table)
    assert whole.assets.equals(results.assets)


def test_each_request_keeps_to_the_query(platform: Platform, dataset: Dataset, kayrros: Kayrros) -> None:
    """Its range is split, and its assets are requested."""
    names = [f"tank-{number:06d}" for number in (3, 4, 11)]
    query: dict[str, Any] = {"start": "2024-02-01", "stop": "2025-06-30", "assets": names}
    whole = kayrros.results(dataset.id, **query)
    assert 0 < whole.table.num_rows < 12_000
    platform.requests.clear()
    platform.max_rows = 20
    assert whole.table.equals(kayrros.results(dataset.id, **query).table)
    assert len(platform.requests) == len(results_requests(platform)) + 1  # the metadata
    for seen in results_requests(platform)[1:]:  # the first one checks the assets
        sent = seen.json
        assert 1706745600000 <= sent["time_range"]["start_date"] <= sent["time_range"]["stop_date"] <= 1751327999999
        assert set(sent["mo_ids"]) <= set(names)


def test_thousands_of_assets_are_requested_in_batches(platform: Platform, kayrros: Kayrros) -> None:
    """A batch has at most 500 assets."""
    dataset = platform.generate(assets=2000, dates=2)
    names = [f"tank-{number:06d}" for number in range(1800)]
    results = kayrros.results(dataset.id, assets=names)
    assert names == results.assets["asset_id"].to_pylist()
    assert results.table.num_rows == 1800 * 4
    sizes = [len(request.json.get("mo_ids", ())) for request in results_requests(platform)]
    assert sorted(sizes) == [0, 300, 500, 500, 500]  # the first one checks the ids


def test_an_asset_that_is_named_twice_comes_once(platform: Platform, dataset: Dataset, kayrros: Kayrros) -> None:
    """The duplicate may be in another batch."""
    names = ["tank-000003", "tank-000003", "tank-000007"] * 300
    assert kayrros.results(dataset.id, assets=names).table.num_rows == 2 * 600
    platform.max_rows = 100
    assert kayrros.results(dataset.id, assets=names).table.num_rows == 2 * 600


@pytest.mark.parametrize("start", ["1980-01-01", "2090-01-01"])
def test_a_range_without_data_is_split_too(start: str, platform: Platform, kayrros: Kayrros) -> None:
    """The gateway says that it is too large, although the metadata says that it is empty."""
    dataset = platform.generate(assets=2, dates=10)
    platform.fail_next(504, times=3, operation="getDatasetResults")
    results = kayrros.results(dataset.id, start=start, stop="2095-01-01" if start > "2000" else None)
    assert results.table.num_rows == (40 if start < "2000" else 0)
    platform.fail_next(504, times=None, operation="getDatasetResults")
    with pytest.raises(APIError, match="answers nothing at the moment"):
        kayrros.results(dataset.id, start="2090-01-01T00:00", stop="2090-01-01T00:00")


def test_a_dataset_of_one_date_is_split_by_assets(platform: Platform, kayrros: Kayrros) -> None:
    """The range of its metadata is one moment."""
    dataset = platform.generate(assets=100, dates=1, metrics=["m"])
    platform.max_rows = 10
    results = kayrros.results(dataset.id)
    assert results.table.num_rows == 100
    assert results.requests <= 2 * 10 + 2 * math.log2(10) + 4


def test_assets_too_many_for_a_small_response_still_come(
    platform: Platform, kayrros: Kayrros, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each response names them all, so a shorter range does not help, nor ids, which some may lack."""
    monkeypatch.setattr("kayrros_ext._results.fetch.STREAM_MAX_BYTES", 50_000)
    dataset = platform.generate(assets=400, dates=2, metrics=["m"])
    assert sum(part.table.num_rows for part in kayrros.iter_results(dataset.id)) == 800
    dataset.metadata["asset_count"] = 401
    assert sum(part.table.num_rows for part in kayrros.iter_results(dataset.id)) == 800


@pytest.mark.parametrize("count", [6, None])
def test_assets_without_an_id_are_not_lost(count: int | None, platform: Platform, kayrros: Kayrros) -> None:
    """A day that can't be split by assets is a gap."""
    results = [
        {"value_date": f"2024-01-01T{hour:02}:00:00Z", "metrics": [{"name": "m", "value": 1}]} for hour in range(24)
    ]
    assets = [{"asset_id": f"a{number}" if number else None, "results": results} for number in range(6)]
    dataset = platform.add({"assets": assets}, metadata={"asset_count": count})
    platform.max_rows = 30
    with pytest.raises(GapError):
        kayrros.results(dataset.id)


@pytest.mark.parametrize("dates", [{"stop_date": 10**17}, {"start_date": -(10**17)}, {"start_date": -62135596800000}])
def test_impossible_dates_in_the_metadata_are_ignored(
    dates: dict[str, int], platform: Platform, dataset: Dataset, kayrros: Kayrros
) -> None:
    """Dates in micro- or nanoseconds instead of milliseconds are examples."""
    dataset.metadata.update(dates)
    platform.max_rows = 4_000
    assert kayrros.results(dataset.id).table.num_rows == 12_000


def test_a_date_at_the_end_of_time_is_not_lost(platform: Platform, kayrros: Kayrros) -> None:
    """Many databases write 9999-12-31 for "no end"."""
    dates = [f"2024-01-{day:02}" for day in range(1, 29)] + ["9999-12-31"]
    dataset = platform.add({"a": {date: {"m": 1.0} for date in dates}})
    platform.max_rows = 20
    assert kayrros.results(dataset.id).table.num_rows == 29


def test_assets_that_share_an_id_stay_apart(platform: Platform, kayrros: Kayrros) -> None:
    """Two versions of one asset, and assets without an id, come as in one response."""
    days = [{"value_date": f"2024-01-{day:02}", "metrics": [{"name": "m", "value": day}]} for day in range(1, 29)]
    named = [{"asset_id": "a", "asset_version": version, "results": days} for version in (1, 2)]
    nameless = [{"asset_name": name, "results": days} for name in ("x", "y")]
    dataset = platform.add({"assets": [*named, {"asset_id": "e", "asset_version": 1}, {"asset_id": "e"}, *nameless]})
    whole = kayrros.results(dataset.id)
    platform.max_rows = 30
    results = kayrros.results(dataset.id)
    assert whole.table.equals(results.table)
    assert whole.assets.to_pylist() == results.assets.to_pylist()


@pytest.mark.parametrize("max_rows", [None, 300])
def test_a_missing_asset_is_an_error(
    max_rows: int | None, platform: Platform, dataset: Dataset, kayrros: Kayrros
) -> None:
    """Before any row comes, in one response and in windows, with the nearest names. A small request finds that out."""
    platform.max_rows = max_rows
    with pytest.raises(UsageError, match=r"no asset 'tnak-000002'\. Available .*'Tank 000002, "):
        next(kayrros.iter_results(dataset.id, assets=["tank-000001", "tnak-000002"]))
    [request] = [request for request in platform.requests if request.operation == "getDatasetResults"]
    assert request.json["time_range"]["stop_date"] <= 3_600_000


def test_rows_come_in_order_of_asset_date_and_metric(platform: Platform, kayrros: Kayrros) -> None:
    """The order in which the server sent them has no effect."""
    values = {"b": {"2024-02-01": {"z": 1.0, "a": 2.0}, "2024-01-01": {"a": 3.0}}, "a": {"2024-03-01": {"a": 4.0}}}
    results = kayrros.results(platform.add(values).id)
    assert results.table["value"].to_pylist() == [4.0, 3.0, 2.0, 1.0]
    assert results.assets["asset_id"].to_pylist() == ["a", "b"]


def test_rows_can_be_sorted_in_slices(
    platform: Platform, dataset: Dataset, kayrros: Kayrros, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than 2 GiB of categories need it."""
    monkeypatch.setattr("kayrros_ext._results.reader.ROWS_PER_TAKE", 1000)
    table = kayrros.results(dataset.id).table
    order = pc.sort_indices(table, [("value", "descending")])
    results = take_in_slices(table, order)
    assert results["asset_categories"].num_chunks == 12
    assert table.take(order).equals(results)
    assert table.schema.equals(results.schema, check_metadata=True)


def test_unusual_data_is_kept(platform: Platform, kayrros: Kayrros) -> None:
    """Assets without results, dates without metrics and a duplicate row of one response are kept."""
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
    results = kayrros.results(dataset.id)
    assert whole.table.equals(results.table)
    assert whole.without_metrics.equals(results.without_metrics)
    assert results.assets["asset_id"].to_pylist() == ["empty", "tank"]
    assert results.assets["date_count"].to_pylist() == [0, 30]


@pytest.mark.parametrize("status", [502, 503])
def test_other_gateway_errors_split_the_request_after_retries(
    status: int, platform: Platform, dataset: Dataset
) -> None:
    """502 and 503 may pass."""
    source = dataset.source
    assert source

    def is_large(request: Request) -> bool:
        ends = (request.json if request.body else {}).get("time_range", {})
        return int(ends.get("stop_date", 1e15)) - int(ends.get("start_date", 0)) > 8 * 365 * 86_400_000

    platform.fail_when(is_large, status, operation="getDatasetResults")
    with platform.connect(retries=2) as kayrros:
        results = kayrros.results(dataset.id)
    assert results.table.num_rows == 12_000
    assert len(results_requests(platform)) == results.requests
    statuses = [seen.status for seen in results_requests(platform)]
    assert [status] * 3 == statuses[:3]


@pytest.mark.parametrize("fault", [503, 502, Fault.late(1000)])
def test_an_outage_does_not_split_the_request(fault: Fault | int, platform: Platform, dataset: Dataset) -> None:
    """If a small response does not come either, the results are not too large."""
    platform.fail_next(fault, times=None, operation="getDatasetResults")
    with (
        platform.connect(retries=1, token=platform.give_token()) as kayrros,
        pytest.raises((APIError, TransportError), match="after 2 attempts"),
    ):
        kayrros.results(dataset.id)
    assert len(platform.requests) == 4


def test_a_timeout_splits_the_request(platform: Platform, dataset: Dataset) -> None:
    """The request is split after its retries."""
    platform.fail_when(
        lambda request: b"time_range" not in request.body, Fault.late(1000), operation="getDatasetResults"
    )
    with platform.connect(retries=1, total_timeout=1e6) as kayrros:
        assert kayrros.results(dataset.id).table.num_rows == 12_000


def test_a_response_beyond_max_body_splits_the_request(platform: Platform, dataset: Dataset) -> None:
    """`max_body` limits one response, not the dataset."""
    with platform.connect(max_body=100_000) as kayrros:
        assert kayrros.results(dataset.id).table.num_rows == 12_000


def fails_in_march(request: Request) -> bool:
    """Return whether a request touches 2 March 2024."""
    ends = (request.json if request.body else {}).get("time_range", {"start_date": 0, "stop_date": 1e15})
    start, stop = int(ends["start_date"]), int(ends["stop_date"])
    return start < 1709337601000 < stop


@pytest.fixture
def daily(platform: Platform) -> Dataset:
    """2 assets on 100 days from 2024-01-02, one metric; and a day that is unavailable."""
    dataset = platform.generate(seed=5, assets=2, dates=100, metrics=["m"], every=timedelta(days=1))
    platform.fail_when(fails_in_march, 504, operation="getDatasetResults")
    return dataset


def test_an_unavailable_window_is_an_error_that_names_it(daily: Dataset, kayrros: Kayrros) -> None:
    """The error has the dates and the asset of the window, and the results so far."""
    with pytest.raises(GapError, match=r"2024-03-01T11:59:59Z to 2024-03-02T11:59:59Z of 1 asset.*504") as caught:
        kayrros.results(daily.id)
    gap, *others = caught.value.gaps
    assert gap.error.status == 504
    assert gap.assets in {("tank-000000",), ("tank-000001",)}  # whichever came first
    assert isinstance(caught.value.__cause__, APIError)
    results = caught.value.results
    assert caught.value.gaps == results.gaps
    assert results.table.num_rows > 50
    assert all(other.error is None for other in others)


def test_gaps_may_be_left_out(daily: Dataset, kayrros: Kayrros, caplog: pytest.LogCaptureFixture) -> None:
    """The results list them, and a warning names each."""
    with caplog.at_level(logging.WARNING, "kayrros_ext"):
        results = kayrros.results(daily.id, on_gap="warn")
    assert results.table.num_rows == 2 * 99
    assert [gap.assets for gap in results.gaps] == [("tank-000000",), ("tank-000001",)]
    assert {datetime(2024, 3, 1, 11, 59, 59, 500_000, tzinfo=UTC)} == {gap.start for gap in results.gaps}
    assert sum("are unavailable, and left out" in record.getMessage() for record in caplog.records) == 2


def test_parts_list_their_gaps(daily: Dataset, kayrros: Kayrros) -> None:
    """A part with a gap has no rows; the others have no gap."""
    parts = list(kayrros.iter_results(daily.id, on_gap="warn"))
    assert len([part for part in parts if part.gaps]) == 2
    assert all(part.table.num_rows == 0 for part in parts if part.gaps)
    assert sum(part.table.num_rows for part in parts) == 198
    came: list[Results] = []
    with pytest.raises(GapError) as caught:
        came.extend(kayrros.iter_results(daily.id))
    assert sum(part.table.num_rows for part in came) > 50
    assert caught.value.results is None


def test_a_window_that_fails_for_another_reason_is_a_gap(platform: Platform, kayrros: Kayrros) -> None:
    """A response that does not match the contract is an example."""
    dataset = platform.generate(assets=2, dates=100, every=timedelta(days=1))
    platform.max_rows = 100
    platform.fail_next(Fault.body(b'{"assets": {}}'), operation="getDatasetResults", skip=4)
    results = kayrros.results(dataset.id, on_gap="warn")
    [gap] = results.gaps
    assert isinstance(gap.error, ContractError)
    assert 0 < results.table.num_rows < 400


@pytest.mark.parametrize(("fault", "error"), [(403, APIError), (Fault.dropped(), TransportError)])
def test_a_failure_that_concerns_all_windows_is_an_error(
    fault: Fault | int, error: type[Exception], platform: Platform, dataset: Dataset
) -> None:
    """Missing permission and a missing network are errors even with on_gap="warn". The error has the results so far."""
    platform.max_rows = 1000
    with platform.connect(retries=0, token=platform.give_token()) as kayrros:
        platform.fail_next(fault, times=None, operation="getDatasetResults", skip=9)
        with pytest.raises(GapError) as caught:
            kayrros.results(dataset.id, on_gap="warn")
    assert isinstance(caught.value.__cause__, error)
    assert 0 < caught.value.results.table.num_rows < 12_000


@pytest.mark.parametrize("on_gap", ["raise", "warn"])
@pytest.mark.parametrize("status", [502, 503, 504])
def test_an_outage_is_not_a_list_of_gaps(status: int, on_gap: Any, platform: Platform, dataset: Dataset) -> None:
    """If nothing comes from the tenth request on, the call ends soon, and says so. The results so far are in the error."""
    platform.max_rows = 1000
    with platform.connect(retries=0) as kayrros:
        platform.fail_next(status, times=None, operation="getDatasetResults", skip=9)
        with pytest.raises(GapError, match=f"answers nothing at the moment.* answered {status}") as caught:
            kayrros.results(dataset.id, on_gap=on_gap)
        assert "results so far are in `error.results`. Try again later." in str(caught.value)
        assert "too large" not in str(caught.value)
        assert 0 < caught.value.results.table.num_rows < 12_000
        assert len(results_requests(platform)) < 60


def test_an_outage_leaves_no_file(platform: Platform, dataset: Dataset, tmp_path: Path) -> None:
    """Some parts were there already."""
    platform.max_rows = 1000
    platform.fail_next(504, times=None, operation="getDatasetResults", skip=20)
    with (
        platform.connect(retries=0) as kayrros,
        pytest.raises(GapError, match="an export writes no file. Try again later."),
    ):
        kayrros.export(dataset.id, tmp_path / "all.csv", on_gap="warn")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("on_gap", ["raise", "warn"])
@pytest.mark.parametrize("status", [502, 503, 504])
def test_an_outage_from_the_start_says_so(
    status: int, on_gap: Any, platform: Platform, dataset: Dataset, tmp_path: Path
) -> None:
    """The error names the host and the status. It does not advise to ask for less, and there is no file."""
    platform.fail_next(status, times=None, operation="getDatasetResults")
    with platform.connect(retries=1) as kayrros:
        for call in (
            lambda: kayrros.results(dataset.id, on_gap=on_gap),
            lambda: list(kayrros.iter_results(dataset.id, on_gap=on_gap)),
            lambda: kayrros.export(dataset.id, tmp_path / "all.csv", on_gap=on_gap),
        ):
            platform.requests.clear()
            with pytest.raises(APIError, match="answers nothing at the moment") as caught:
                call()
            assert f"platform.api.kayrros.com answered {status}" in str(caught.value)
            assert "Try again later." in str(caught.value)
            assert "too large" not in str(caught.value)
            assert str(caught.value).endswith("Nothing was written.")
            assert caught.value.status == status
            assert len(results_requests(platform)) <= 16
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_one_response_is_no_gap(platform: Platform, dataset: Dataset, kayrros: Kayrros) -> None:
    """Nothing was split."""
    platform.fail_next(403, operation="getDatasetResults")
    with pytest.raises(APIError, match="403"):
        kayrros.results(dataset.id)


def test_days_are_split_by_assets(platform: Platform, kayrros: Kayrros) -> None:
    """Their ids come from a response without rows. If some assets have no id, the day is a gap."""
    dataset = platform.generate(assets=64, dates=3, metrics=["m"], every=timedelta(days=1))
    platform.max_rows = 4
    results = kayrros.results(dataset.id)
    assert results.table.num_rows == 64 * 3
    assert results.requests <= 2 * 48 + 2 * math.log2(48) + 4
    dataset.metadata["asset_count"] = 65
    with pytest.raises(GapError, match="504"):
        kayrros.results(dataset.id)


@pytest.mark.parametrize("dates", [{"start_date": None, "stop_date": None}, {"start_date": 5, "stop_date": 3}])
def test_without_dates_in_the_metadata_the_range_starts_in_1970(
    dates: dict[str, Any], platform: Platform, dataset: Dataset, kayrros: Kayrros
) -> None:
    """The range is the same if the metadata is unavailable."""
    dataset.metadata.update(dates)
    platform.max_rows = 2_000
    assert kayrros.results(dataset.id).table.num_rows == 12_000
    platform.fail_next(500, operation="getDatasetMetadata")
    assert kayrros.results(dataset.id).table.num_rows == 12_000


@pytest.mark.parametrize("start", [datetime(1931, 5, 1, tzinfo=UTC), datetime(2098, 7, 1, tzinfo=UTC)])
def test_no_date_is_too_far_away(start: datetime, platform: Platform, kayrros: Kayrros) -> None:
    """Dates may be before 1970 and after 2100, if the metadata lists them."""
    dataset = platform.generate(assets=2, dates=300, start=start)
    platform.max_rows = 100
    assert kayrros.results(dataset.id).table.num_rows == 1_200


def test_metadata_that_is_old_loses_nothing(platform: Platform, dataset: Dataset, kayrros: Kayrros) -> None:
    """It says where to split, not what to leave out."""
    dataset.metadata.update({"start_date": 1720000000000, "stop_date": 1721000000000})
    platform.max_rows = 1_000
    assert kayrros.results(dataset.id).table.num_rows == 12_000


def test_few_parts_are_in_memory(platform: Platform, dataset: Dataset, kayrros: Kayrros) -> None:
    """They come in order of time, each row in one, and none is requested long before it is taken."""
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


def test_an_abandoned_iteration_sends_no_more_requests(platform: Platform, dataset: Dataset, kayrros: Kayrros) -> None:
    """Only the running ones end."""
    platform.max_rows = 100
    for _ in kayrros.iter_results(dataset.id):
        break
    assert len(results_requests(platform)) < 40


def test_progress_is_reported(
    platform: Platform,
    dataset: Dataset,
    kayrros: Kayrros,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A callable, stderr and the log at the end report it."""
    platform.max_rows = 1_000
    reports: list[Progress] = []
    with caplog.at_level(logging.INFO, "kayrros_ext"):
        results = kayrros.results(dataset.id, progress=reports.append)
    assert sorted(one.fraction for one in reports) == [one.fraction for one in reports]
    assert (1.0, 12_000, results.requests) == (reports[-1].fraction, reports[-1].rows, reports[-1].requests)
    assert f"rows=12000 windows={reports[-1].windows} requests={results.requests}" in caplog.text
    assert capsys.readouterr() == ("", "")
    kayrros.results(dataset.id, progress=True)
    assert capsys.readouterr().err.endswith(" requests\n")
    kayrros.results(dataset.id, progress=False)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("wrong", [{"on_gap": "ignore"}, {"on_gap": None}, {"on_gap": ["raise"]}, {"progress": 1}])
def test_bad_arguments_are_errors_before_any_request(
    wrong: dict[str, Any], platform: Platform, kayrros: Kayrros
) -> None:
    """The iterator raises them as well, before its first part."""
    for call in (kayrros.results, kayrros.iter_results):
        with pytest.raises(UsageError):
            call(DATASET, **wrong)
    assert platform.requests == []


def test_windows_run_at_the_same_time(platform: Platform, dataset: Dataset) -> None:
    """`concurrency` is their number. The server waits until it has received that many requests."""
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
        assert kayrros.results(same.id).table.num_rows == 12_000
    assert most == 6


def test_a_server_that_ignores_the_range_is_an_error(start: Any, connect: Any) -> None:
    """Its rows would come with each window."""
    answer = as_json(
        {
            "assets": [
                {"asset_id": "a", "results": [{"value_date": "2024-01-01", "metrics": [{"name": "m", "value": 1}]}]}
            ]
        }
    )

    def respond(request: Any) -> StubResponse:
        if request.path != RESULTS:
            return as_json({"start_date": 1704067200000, "stop_date": 1735689600000})
        return answer if b"time_range" in request.body else StubResponse(504)

    server: Server = start(respond)
    with pytest.raises(GapError, match="more than a day outside of the requested range"):
        connect(server, token="a-token").results(DATASET)


def test_a_server_that_ignores_the_assets_is_an_error(start: Any, connect: Any) -> None:
    """Its rows would come with each batch."""
    days = [{"value_date": "2024-01-01", "metrics": [{"name": "m", "value": 1}]}]
    server = start(lambda _: as_json({"assets": [{"asset_id": f"a{n}", "results": days} for n in range(600)]}))
    with pytest.raises(GapError, match="the asset 'a.*', which was not requested"):
        connect(server, token="a-token").results(DATASET, assets=[f"a{n}" for n in range(600)])


def test_an_export_is_complete(platform: Platform, dataset: Dataset, kayrros: Kayrros, tmp_path: Any) -> None:
    """The file records the query."""
    import pyarrow.parquet as pq

    platform.max_rows = 500
    path = kayrros.export(dataset.id, tmp_path / "all.parquet", start="2024-01-01")
    platform.max_rows = None
    whole = kayrros.results(UUID(dataset.id), start="2024-01-01")
    results = pq.read_table(path)
    assert whole.table.equals(sort_table(results.cast(whole.table.schema)))
    metadata = {key.decode(): value.decode() for key, value in pq.read_metadata(path).metadata.items()}
    assert dataset.id == metadata["dataset_id"]
    assert metadata["start"] == "2024-01-01T00:00:00+00:00"
    assert int(metadata["requests"]) > 12_000 / 500


def test_an_export_with_a_gap_leaves_no_file(daily: Dataset, kayrros: Kayrros, tmp_path: Any) -> None:
    """The file is written with on_gap="warn", and lists the gap."""
    import pyarrow.parquet as pq

    with pytest.raises(GapError):
        kayrros.export(daily.id, tmp_path / "all.parquet")
    assert list(tmp_path.iterdir()) == []
    path = kayrros.export(daily.id, tmp_path / "all.parquet", on_gap="warn")
    assert b"2024-03-01T11:59:59Z to 2024-03-02T11:59:59Z" in pq.read_metadata(path).metadata[b"gaps"]
    assert pq.read_metadata(path).num_rows == 198


def test_an_export_to_a_bad_path_sends_nothing(platform: Platform, dataset: Dataset, kayrros: Kayrros) -> None:
    """The suffix is no format."""
    with pytest.raises(UsageError, match="suffix"):
        kayrros.export(dataset.id, "results.xyz")
    assert platform.requests == []
