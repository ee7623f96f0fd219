"""kayrros_ext.dask on a real cluster: worker processes of this machine, and the fake on a socket of loopback."""

import json
import logging
import os
import pickle
import signal
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

pytest.importorskip("distributed", reason="needs Dask; `make test-cluster` installs it")

import dask
import dask.dataframe as dd
import distributed
import pandas as pd
import psutil
import pyarrow as pa

import kayrros_ext.dask
from kayrros_ext import (
    ConfigurationError,
    GapError,
    Kayrros,
    LoginError,
    Mirror,
    NotFoundError,
    Retries,
    SyncReport,
    UsageError,
)
from kayrros_ext.dask import read_results, sync_all
from kayrros_ext.testing import Dataset, Fault, Platform, Request
from kayrros_ext.testing.datasets import ResultsFilter, StoredResults
from tests.support.leaks import shows_a_secret

KEYS = ["dataset_id", "asset_id", "value_date", "metric"]
MISSING = "00000000-0000-0000-0000-000000000000"
LATENCY_S = 0.2
YEAR: dict[str, Any] = {"start": "2024", "stop": "2024"}


def start_cluster(workers: int = 4, threads: int = 1) -> distributed.LocalCluster:
    return distributed.LocalCluster(
        n_workers=workers, threads_per_worker=threads, dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL
    )


@pytest.fixture(scope="module")
def _cluster() -> Iterator[distributed.LocalCluster]:
    with start_cluster() as cluster:
        yield cluster


@pytest.fixture
def client(_cluster: distributed.LocalCluster) -> Iterator[distributed.Client]:
    """A client of a cluster of four processes whose workers have neither a token nor credentials."""
    with distributed.Client(_cluster) as client:
        client.run(forget)
        client.set_metadata(["kayrros"], {})
        yield client


class InFlight:
    """Counts the requests that the fake, in its latency, answers at a time."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self._lock = threading.Lock()

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(seconds)
        with self._lock:
            self.now -= 1


@pytest.fixture
def in_flight() -> InFlight:
    return InFlight()


@pytest.fixture
def platform(in_flight: InFlight) -> Platform:
    return Platform(sleep=in_flight.sleep)


@pytest.fixture
def serve(
    platform: Platform, client: distributed.Client, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., None]]:
    """Serve the fake, and give credentials to this process and to the workers, or to those that are passed."""
    with platform.serve() as url:
        variables = platform.environment(url)

        def give(workers: list[str] | None = None, **other: str) -> None:
            for name, value in (variables | other).items():
                monkeypatch.setenv(name, value)
            hosts = {name: value for name, value in variables.items() if name.endswith("URL")}
            client.run(set_variables, hosts)
            client.run(set_variables, variables | other, workers=workers)

        yield give


def set_variables(variables: dict[str, str]) -> None:
    """Set environment variables; runs in the worker."""
    os.environ.update(variables)


def forget(dask_worker: Any) -> None:
    """Let a worker lose its client and its credentials; runs in the worker."""
    vars(dask_worker).pop("kayrros", None)
    Kayrros.__init__.__kwdefaults__["retries"] = Retries().max_retries  # type: ignore[index]
    for name in [name for name in os.environ if name.startswith("KAYRROS_")]:
        del os.environ[name]


def without_retries() -> None:
    """Let the client of a worker give up at once; runs in the worker."""
    Kayrros.__init__.__kwdefaults__["retries"] = 0  # type: ignore[index]


def one_process(datasets: list[Dataset], **options: Any) -> pd.DataFrame:
    """Return the rows of datasets as one client reads them, in the types of `read_results`, sorted."""
    frames = []
    with Kayrros() as kayrros:
        for dataset in datasets:
            frame = kayrros.results(dataset.id, progress=False, **options).to_pandas()
            frame.insert(0, "dataset_id", dataset.id)
            frames.append(frame)
    frame = pd.concat(frames)
    frame["value_date"] = frame["value_date"].dt.tz_localize("UTC")
    text = {name: pd.StringDtype("pyarrow") for name in frame if frame[name].dtype == "str"}
    return sort(frame.astype(text))


def sort(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sort_values(KEYS).reset_index(drop=True)


def results_requests(platform: Platform) -> list[Request]:
    return [request for request in platform.requests if request.operation == "getDatasetResults"]


def asset(**dates: float) -> dict[str, Any]:
    return {"tank-1": {date: {"level": value} for date, value in dates.items()}}


# Rows


def test_the_rows_are_those_of_one_process(platform: Platform, serve: Callable[..., None]) -> None:
    """Two datasets by month come value for value, with one login for four processes, and a request for each partition."""
    datasets = [platform.generate(seed=seed, assets=5, dates=50, name=f"D{seed}") for seed in (1, 2)]
    platform.latency_s = LATENCY_S
    serve()
    frame = read_results(datasets, **YEAR, token_from="scheduler")
    assert frame.npartitions == 24
    rows = sort(frame.compute())
    assert platform.logins == 1
    assert len(results_requests(platform)) == 24
    pd.testing.assert_frame_equal(rows, one_process(datasets, **YEAR))


@pytest.mark.parametrize("converts", [True, False])
def test_meta_is_that_of_every_partition(platform: Platform, serve: Callable[..., None], converts: Any) -> None:
    """The types are known without a request, and each partition has them: with rows, without any, and with nulls alone."""
    with dask.config.set({"dataframe.convert-string": converts}):
        check_meta(platform, serve)


def check_meta(platform: Platform, serve: Callable[..., None]) -> None:
    platform.generate(assets=2, dates=10)
    platform.add({"assets": [{"asset_id": "a", "results": [{"value_date": "2024-02-01", "metrics": [{"name": "m"}]}]}]})
    frames = [read_results(platform.datasets, **YEAR)]
    frames += [read_results(key, **YEAR) for key in platform.datasets]
    frames += [frames[0][["value", "asset_categories"]], frames[1][["metric"]]]
    assert platform.requests == []
    serve()
    for frame in frames:
        meta = frame._meta
        for part in dask.compute(*frame.to_delayed()):
            pd.testing.assert_series_equal(part.dtypes, meta.dtypes)
            assert (part.index.dtype, part.index.name) == (meta.index.dtype, meta.index.name)
    types = frames[0].dtypes.astype(str)
    assert types["value_date"] == "datetime64[us, UTC]"
    assert types["asset_version"] == "Int64"
    assert set(types) == {"string", "Int64", "float64", "datetime64[us, UTC]"}
    assert all(kind.storage == "pyarrow" for kind in frames[0].dtypes if kind == "string")


@pytest.mark.parametrize("inclusive", ["both", "left", "right", "neither"])
def test_a_row_on_a_boundary_comes_once(
    platform: Platform, serve: Callable[..., None], inclusive: Any, client: distributed.Client
) -> None:
    """A period ends before the next one begins, to the microsecond, whichever ends of a range the API counts in."""
    platform.inclusive = inclusive
    moments = [
        "2024-01-31T23:59:59.999999Z",
        "2024-02-01T00:00:00Z",
        "2024-02-01T00:00:00.000001Z",
        "2024-02-29T12:00:00Z",
    ]
    dataset = platform.add(asset(**{moment: float(place) for place, moment in enumerate(moments)}))
    serve()
    frame = read_results(dataset, start="2024-01-01", stop=datetime(2024, 2, 29, 12, tzinfo=UTC))
    parts = dask.compute(*frame.to_delayed())
    assert [part["value"].tolist() for part in parts] == [[0], [1, 2, 3]]


class _Shifted(StoredResults):
    """Results of a server that filters in its own time zone, and sends values without a date with each answer."""

    hours = 0

    def body(self, only: ResultsFilter) -> Iterator[bytes]:
        if only.bounds_us:
            shift = self.hours * 3_600_000_000
            only = attrs.evolve(only, bounds_us=(only.bounds_us[0] + shift, only.bounds_us[1] + shift))
        payload = json.loads(b"".join(super().body(only)))
        payload["assets"][0]["results"].append({"metrics": [{"name": "level", "value": -1.0}]})
        yield json.dumps(payload).encode()


@pytest.mark.parametrize("hours", [-12, 0, 14])
def test_a_server_in_another_time_zone_loses_no_row(platform: Platform, serve: Callable[..., None], hours: int) -> None:
    """All rows of the periods come once. Values without a date come with the first period, but not to an index of dates."""
    start = datetime(2024, 1, 1, tzinfo=UTC)
    dates = [(start + timedelta(hours=6 * step)).isoformat() for step in range(4 * 91)]
    dataset = platform.add(asset(**{date: float(place) for place, date in enumerate(dates)}))
    shifted = dataset.source = _Shifted(dataset.source.payload)  # type: ignore[union-attr]
    object.__setattr__(shifted, "hours", hours)
    serve()
    months = [[*range(4 * 31)], [*range(4 * 31, 4 * 60)], [*range(4 * 60, 4 * 91)]]
    by_date = read_results(dataset, start="2024-01", stop="2024-03")
    assert [sorted(part["value"]) for part in dask.compute(*by_date.to_delayed())] == months
    assert len(by_date.repartition(freq="7D")) == 4 * 91
    first, *others = dask.compute(*read_results(dataset, start="2024-01").to_delayed())
    assert sorted(first["value"]) == [-1.0, *months[0]]
    assert not any(-1.0 in [*part["value"]] for part in others)


def test_without_dates_everything_comes(platform: Platform, serve: Callable[..., None]) -> None:
    """A dataset without `start` is one partition, with its rows without a date; without `stop`, the last period is open."""
    values = {"2024-01-05": {"level": 1.0}, "2050-01-01": {"level": 2.0}}
    dataset = platform.add({"a": values, "b": {"2024-01-06": {"level": 3.0}}})
    undated = {"metrics": [{"name": "level", "value": 4.0}]}
    payload = dataset.payload()
    payload["assets"][1]["results"].append(undated)
    dataset = platform.add(payload)
    serve()
    frame = read_results(dataset)
    assert frame.npartitions == 1
    assert sorted(frame["value"].compute()) == [1, 2, 3, 4]
    assert "time_range" not in (results_requests(platform)[0].body or b"").decode()
    frame = read_results(dataset, start="2024-01", freq="YS")
    assert not frame.known_divisions
    assert sorted(frame["value"].compute()) == [1, 2, 3]


def test_divisions_spare_requests(platform: Platform, serve: Callable[..., None]) -> None:
    """One dataset is indexed by date. What asks for two months sends two requests, and a resample needs no shuffle."""
    dataset = platform.generate(assets=3, dates=50)
    serve()
    frame = read_results(dataset, **YEAR)
    assert [str(end)[:10] for end in frame.divisions] == [f"2024-{month:02d}-01" for month in range(1, 13)] + [
        "2024-12-31"
    ]
    march = frame.loc["2024-03":"2024-04"].compute()
    assert len(results_requests(platform)) == 2
    expected = one_process([dataset], start="2024-03", stop="2024-04")
    pd.testing.assert_frame_equal(sort(march), expected)
    means = frame["value"].resample("MS").mean().compute()
    whole = one_process([dataset], **YEAR).set_index("value_date")["value"].resample("MS").mean()
    pd.testing.assert_series_equal(means, whole, check_names=False)
    assert not read_results([dataset, MISSING], **YEAR).known_divisions


def test_columns_are_projected(platform: Platform, serve: Callable[..., None]) -> None:
    """The optimizer passes the columns that are used, so that no others are converted and kept."""
    dataset = platform.generate(assets=2, dates=10)
    serve()
    used = read_results([dataset, dataset.id.upper()], **YEAR)[["metric", "value"]]
    plan = used.optimize(fuse=False)
    [leaf] = [node for node in plan.expr.walk() if "columns" in node._parameters and "iterables" in node._parameters]
    assert set(leaf.operand("columns")) == {"value", "metric"}
    rows = used.compute()
    assert list(rows) == ["metric", "value"]
    assert len(rows) == dataset.row_count


def test_metrics_and_assets_are_selected(platform: Platform, serve: Callable[..., None]) -> None:
    """They are those of `Kayrros.results`, but a period that has only other metrics is empty instead of an error."""
    dataset = platform.generate(assets=4, dates=20)
    late = platform.add({"tank-000001": {"2024-01-05": {"old": 1.0}, "2024-02-05": {"fill_level_pct": 2.0}}})
    serve()
    options: dict[str, Any] = {"metric": "Fill_Level_Pct", "assets": ["tank-000001"]}
    rows = sort(read_results(dataset, **YEAR, **options).compute())
    pd.testing.assert_frame_equal(rows, one_process([dataset], **YEAR, **options))
    assert read_results([dataset, late], **YEAR, **options)["value"].compute().tolist()[-1] == 2.0


def test_names_are_looked_up_by_the_workers(platform: Platform, serve: Callable[..., None]) -> None:
    """A name is as good as an id, and this process sends nothing."""
    dataset = platform.generate(assets=1, dates=3, name="Tanks")
    platform.add_collection("All", [dataset])
    frame = read_results("Tanks")
    assert platform.requests == []
    serve()
    assert frame["dataset_id"].compute().unique().tolist() == [dataset.id]


def test_threads_of_one_process_read_as_well(
    platform: Platform, serve: Callable[..., None], in_flight: InFlight
) -> None:
    """Without a cluster, `concurrency` limits the requests of the process."""
    dataset = platform.generate(assets=2, dates=50)
    serve()
    platform.latency_s = 0.1
    with dask.config.set(scheduler="threads", pool=ThreadPoolExecutor(6)):
        rows = sort(read_results(dataset, **YEAR, concurrency=3).compute())
        with pytest.raises(UsageError, match="needs the scheduler"):
            read_results(dataset, token_from="scheduler").compute()
    pd.testing.assert_frame_equal(rows, one_process([dataset], **YEAR))
    assert in_flight.most == 3
    kayrros_ext.dask._LOCAL.clear()


# Arguments


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"datasets": []}, "datasets is empty"),
        ({"datasets": [3]}, "3 is not a dataset"),
        ({"start": "yesterday"}, "'yesterday' is not an ISO 8601 date"),
        ({"start": "2024-02", "stop": "2024-01"}, "2024-01 lies before 2024-02"),
        ({"start": "2024", "freq": "month"}, "freq is 'month'"),
        ({"start": "2024", "freq": 3}, "freq is 3"),
        ({"start": "2024", "freq": "0D"}, "freq is '0D'"),
        ({"metric": []}, "metric is empty"),
        ({"assets": 3}, "assets is 3"),
        ({"on_gap": "skip"}, "on_gap is 'skip'"),
        ({"concurrency": 0}, "concurrency is 0"),
        ({"token_from": "fake-0123"}, "token_from has another value"),
        ({"password": "hunter2"}, "There is no argument 'password'"),
        ({"begin": "2024"}, "Did you mean start"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], text: str) -> None:
    """An argument that can't work fails at once, and not on a worker. No error shows a secret."""
    with pytest.raises((UsageError, ConfigurationError)) as caught:
        read_results(**{"datasets": [MISSING], **arguments})
    assert text in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "fake-0123" not in str(caught.value)


def test_a_graph_holds_no_secret(platform: Platform, serve: Callable[..., None], client: distributed.Client) -> None:
    """The frame and its graph can be pickled, are the same each time, and hold neither password nor token."""
    dataset = platform.generate(assets=1, dates=3)
    serve()
    frame = read_results(dataset, **YEAR, token_from="scheduler")
    frame.compute()
    graph = pickle.dumps(frame) + pickle.dumps(dict(frame.optimize().__dask_graph__()))
    assert not shows_a_secret(graph)
    assert platform.account.password.encode() not in graph
    assert platform.account.email.encode() not in graph
    copy = pickle.loads(pickle.dumps(frame))  # noqa: S301 - our own bytes
    assert copy._name == read_results(dataset, **YEAR, token_from="scheduler")._name


# Logins


def test_one_worker_renews_the_token(platform: Platform, serve: Callable[..., None]) -> None:
    """When the token expires, one login serves all workers again."""
    dataset = platform.generate(assets=2, dates=50)
    platform.fail_next(Fault.late(0.3), operation="login", times=None)
    serve()
    frame = read_results(dataset, **YEAR, token_from="scheduler")
    frame.compute()
    assert platform.logins == 1
    platform.expire_tokens()
    # Other periods, because Dask may still have the first ones.
    assert len(read_results(dataset, start="2024", stop="2025", token_from="scheduler").compute()) == dataset.row_count
    assert platform.logins == 2


def test_the_token_shows_nowhere(
    platform: Platform, serve: Callable[..., None], client: distributed.Client, tmp_path: Path
) -> None:
    """Neither a dump of the cluster, nor its logs, nor a page of its dashboard holds the token."""
    dataset = platform.generate(assets=2, dates=50)
    serve()
    read_results(dataset, **YEAR, token_from="scheduler").compute()
    [token] = platform.tokens
    assert token in str(client.get_metadata(["kayrros"]))  # it is there
    client.dump_cluster_state(str(tmp_path / "dump"), format="yaml")
    texts = [(tmp_path / "dump.yaml").read_text(), str(client.get_scheduler_logs()), str(client.get_worker_logs())]
    url = client.dashboard_link.removesuffix("/status")
    for page in ("/info/main/workers.html", "/info/main/logs.html", "/json/counts.json", "/metrics", "/status"):
        with urllib.request.urlopen(url + page) as response:  # noqa: S310 - of our own cluster
            texts.append(response.read().decode())
    assert not any(token in text for text in texts)
    assert dataset.id in texts[0] or "kayrros" in texts[0]


def test_a_worker_without_credentials_uses_the_token(
    platform: Platform, serve: Callable[..., None], client: distributed.Client
) -> None:
    """It waits for the login of one that has them. Without `token_from`, its partitions fail, and say why."""
    dataset = platform.generate(assets=2, dates=50)
    serve([next(iter(client.nthreads()))])
    assert len(read_results(dataset, **YEAR, token_from="scheduler").compute()) == dataset.row_count
    assert platform.logins == 1
    with pytest.raises(ConfigurationError, match="no credentials"):
        read_results(dataset, **YEAR).compute()


def test_a_token_of_another_account_is_not_used(
    platform: Platform, serve: Callable[..., None], client: distributed.Client
) -> None:
    """A worker that names another account logs in for itself."""
    dataset = platform.generate(assets=2, dates=50)
    platform.add_account("other@example.com", platform.account.password)
    serve()
    read_results(dataset, **YEAR, token_from="scheduler").compute()
    client.run(forget)
    serve(KAYRROS_EMAIL="other@example.com")
    read_results(dataset, start="2024", stop="2025", token_from="scheduler").compute()
    assert [token.email for token in platform.tokens.values()] == [platform.account.email, "other@example.com"]


def test_a_refused_password_is_tried_once(platform: Platform, serve: Callable[..., None]) -> None:
    """Twelve partitions on four workers do not lock the account."""
    dataset = platform.generate(assets=1, dates=3)
    serve(KAYRROS_PASSWORD="wrong")
    frame = read_results(dataset, **YEAR, token_from="scheduler")
    with pytest.raises(LoginError):
        frame.compute()
    distributed.wait(frame.persist())
    assert [request.status for request in platform.requests] == [401]


# Limits and failures


def test_requests_are_bounded_over_the_cluster(
    platform: Platform, serve: Callable[..., None], in_flight: InFlight
) -> None:
    """Four workers send two requests at a time, also when partitions come in windows; the next number is another limit."""
    dataset = platform.generate(assets=2, dates=50)
    serve()
    platform.latency_s = 0.1
    for concurrency in (2, 3):
        in_flight.most = 0
        frame = read_results(dataset, **YEAR, token_from="scheduler", concurrency=concurrency)
        assert len(frame.compute()) == dataset.row_count
        assert in_flight.most == concurrency
        platform.max_rows = 10


def test_a_refusal_holds_back_the_other_workers(platform: Platform, serve: Callable[..., None]) -> None:
    """After a 429 that one worker gets, no worker sends a request until the time is over that the platform asks for."""
    dataset = platform.generate(assets=2, dates=100, every=timedelta(days=1), start="2024-01-01")
    moments: list[tuple[float, int | None]] = []
    handle = platform.handle

    def record(request: Request) -> Any:
        response = handle(request)
        if request.operation == "getDatasetResults":
            moments.append((time.monotonic(), response.status))
        return response

    platform.handle = record  # type: ignore[method-assign]
    platform.latency_s = 0.05
    # Two workers are refused, and the second one for longer.
    platform.fail_next(Fault.status(429, retry_after=1), operation="getDatasetResults", skip=10)
    platform.fail_next(Fault.status(429, retry_after=3), operation="getDatasetResults", skip=10)
    with platform.serve() as url:
        serve(KAYRROS_BASE_URL=url, KAYRROS_AUTH_URL=url)
        frame = read_results(dataset, start="2024-01-01", stop="2024-04-09", freq="D", token_from="scheduler")
        assert len(frame.compute()) == dataset.row_count
    first, second = [moment for moment, status in moments if status == 429]
    # Some were in flight, or had passed the gate.
    assert second - first < 0.5
    assert sum(first + 0.4 < moment < second + 2.9 for moment, _ in moments) <= 2
    assert sum(moment > second + 2.9 for moment, _ in moments) > 50


def test_a_storm_of_refusals_ends_with_all_rows(platform: Platform, serve: Callable[..., None]) -> None:
    """Of a platform that takes five requests a second, all rows come. Less than half of the requests are refused."""
    dataset = platform.generate(assets=2, dates=50)
    serve()
    platform.max_requests_per_second = 5
    datasets = [dataset, platform.generate(seed=7, assets=2, dates=50)]
    begin = time.monotonic()
    rows = sort(read_results(datasets, **YEAR, token_from="scheduler").compute())
    assert time.monotonic() - begin >= 24 / 5 - 1.1  # the limit was one
    statuses = [request.status for request in results_requests(platform)]
    assert statuses.count(200) == 24
    assert 0 < statuses.count(429) < 24
    platform.max_requests_per_second = None
    pd.testing.assert_frame_equal(rows, one_process(datasets, **YEAR))


@pytest.fixture
def fragile(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Iterator[distributed.Client]:
    """A cluster of its own, whose leases are void after two seconds; its workers have credentials when they restart."""
    settings = {"lease-timeout": "2s", "lease-validation-interval": "200ms"}
    with platform.serve() as url, dask.config.set({"distributed.scheduler.locks": settings}):
        for name, value in platform.environment(url).items():
            monkeypatch.setenv(name, value)
        with start_cluster() as cluster, distributed.Client(cluster) as client:
            yield client


def test_a_killed_worker_loses_nothing(platform: Platform, fragile: distributed.Client) -> None:
    """A worker gets SIGKILL while it holds the only lease, and another one later on: their partitions come again, once."""
    dataset = platform.generate(assets=5, dates=50)
    pids, arrived = [*fragile.run(os.getpid).values()], [threading.Event(), threading.Event()]
    platform.latency_s = LATENCY_S

    def note(_: Request) -> bool:
        count = len(results_requests(platform))
        arrived[0].set()
        if count == 8:
            arrived[1].set()
        return False

    platform.fail_when(note, 503, operation="getDatasetResults")
    future = fragile.compute(read_results(dataset, **YEAR, concurrency=1, token_from="scheduler"))
    assert arrived[0].wait(30)
    port = int(os.environ["KAYRROS_BASE_URL"].rpartition(":")[2])
    [holder] = [pid for pid in pids if any(it.raddr and it.raddr.port == port for it in connections(pid))]
    os.kill(holder, signal.SIGKILL)
    assert arrived[1].wait(30)
    os.kill(next(pid for pid in pids if pid != holder), signal.SIGKILL)
    rows = sort(future.result(timeout=60))
    pd.testing.assert_frame_equal(rows, one_process([dataset], **YEAR))
    assert len(results_requests(platform)) > 13  # the killed ones were sent again


def connections(pid: int) -> list[Any]:
    """Return the connections of a process."""
    return list(psutil.Process(pid).net_connections("tcp4"))


def test_dask_retries_a_partition(platform: Platform, serve: Callable[..., None]) -> None:
    """A partition that fails comes again with `retries`, and nothing comes twice."""
    dataset = platform.generate(assets=2, dates=50)
    serve()
    rule = platform.fail_next(Fault.status(500), operation="getDatasetResults", times=3)
    rows = read_results(dataset, **YEAR).compute(retries=3)
    assert rule.count == 3
    assert len(rows) == dataset.row_count


def test_a_gap_raises_unless_it_may_be_left_out(
    platform: Platform, serve: Callable[..., None], client: distributed.Client
) -> None:
    """The GapError that arrives names the gap and holds neither rows nor a request. With a warning, the rest comes."""
    dataset = platform.generate(assets=2, dates=60, every=timedelta(days=1), start="2024-01-01")
    start_ms = int(datetime(2024, 2, 10, tzinfo=UTC).timestamp() * 1000)

    def has_day(request: Request) -> bool:
        ends = request.json["time_range"] if request.body else None
        return bool(ends and ends["start_date"] <= start_ms <= ends["stop_date"])

    platform.fail_when(has_day, 504, operation="getDatasetResults")
    serve()
    client.run(without_retries)
    period: dict[str, Any] = {"start": "2024-01", "stop": "2024-02"}
    with pytest.raises(GapError) as caught:
        read_results(dataset, **period).compute()
    assert caught.value.results is None
    assert caught.value.gaps[0].start < datetime(2024, 2, 10, tzinfo=UTC) < caught.value.gaps[0].stop
    assert "on_gap" in str(caught.value)
    assert not shows_a_secret(pickle.dumps(caught.value))
    rows = read_results(dataset, **period, on_gap="warn").compute()
    assert 0 < len(rows) < dataset.row_count


def test_errors_travel_without_the_signed_request(
    platform: Platform, serve: Callable[..., None], client: distributed.Client
) -> None:
    """Typed errors keep their text, hint and details on the way, but not the request of their cause, which has the token."""
    dataset = platform.generate(assets=2, dates=3)
    serve()
    client.run(without_retries)
    with pytest.raises(NotFoundError, match="404") as caught:
        read_results(MISSING).compute()
    assert caught.value.operation == "getDatasetResults"
    platform.fail_next(Fault.dropped(), times=None, operation="getDatasetResults")
    future = client.compute(read_results(dataset))
    error = future.exception()
    assert type(error).__name__ == "TransportError"
    assert error.reason == "RemoteProtocolError"
    assert error.__cause__ is error.__context__ is None
    assert not shows_a_secret(pickle.dumps(error))


# Mirrors


def test_the_cluster_keeps_a_mirror(
    platform: Platform, serve: Callable[..., None], client: distributed.Client, tmp_path: Path
) -> None:
    """Each dataset has a report, also one that fails, and a second run finds nothing new. Dask reads the folder."""
    datasets = [platform.generate(seed=seed, assets=2, dates=12, name=f"D{seed}") for seed in range(6)]
    undated = {"asset_id": "a", "results": [{"metrics": [{"name": "m", "value": 1.0}]}]}
    datasets.append(platform.add({"assets": [undated]}))
    serve()
    place = tmp_path / "lake"
    reports = sync_all([*datasets, MISSING], place, token_from="scheduler")
    assert list(reports) == [*(dataset.id for dataset in datasets), MISSING]
    assert isinstance(reports.pop(MISSING), NotFoundError)
    assert {key: report.added for key, report in reports.items() if isinstance(report, SyncReport)} == {
        dataset.id: dataset.row_count for dataset in datasets
    }
    again = sync_all(datasets, place, token_from="scheduler", revisions="30d")
    assert all(isinstance(report, SyncReport) and report.added == 0 for report in again.values())
    assert platform.logins == 1
    hive = {"flavor": "hive", "schema": pa.schema([("dataset", pa.string()), ("month", pa.string())])}
    frame = dd.read_parquet(place / "data", dataset={"partitioning": hive}, dtype_backend="pyarrow")
    for part in dask.compute(*frame.to_delayed()):
        pd.testing.assert_series_equal(part.dtypes, frame.dtypes)
    rows = frame[["dataset", "asset_id", "value_date", "metric", "value"]].compute()
    assert sorted(rows["value"]) == sorted(
        value for dataset in datasets for value in Mirror(place).read(dataset.id).table["value"].to_pylist()
    )
    assert frame.groupby("dataset")["value"].count().compute().to_dict() == {
        dataset.id: dataset.row_count for dataset in datasets
    }


def test_a_worker_syncs_one_dataset_at_a_time(
    platform: Platform, in_flight: InFlight, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Two workers with three threads each have two datasets in progress, not six."""
    datasets = [platform.generate(seed=seed, assets=2, dates=12) for seed in range(8)]
    platform.latency_s = 0.1
    with platform.serve() as url:
        for name, value in platform.environment(url).items():
            monkeypatch.setenv(name, value)
        with start_cluster(2, 3) as cluster, distributed.Client(cluster):
            reports = sync_all(datasets, tmp_path / "lake", token_from="scheduler")
    assert all(isinstance(report, SyncReport) for report in reports.values())
    assert in_flight.most == 2


def test_sync_all_refuses_what_can_not_work(tmp_path: Path) -> None:
    """It needs a client, and options of `Mirror.sync`."""
    with pytest.raises(UsageError, match="There is no Dask client"):
        sync_all(MISSING, tmp_path)
    with pytest.raises(UsageError, match="revisions"):
        sync_all(MISSING, tmp_path, revisions="soon")
    with pytest.raises(UsageError, match="no argument 'revision'"):
        sync_all(MISSING, tmp_path, revision="30d")
