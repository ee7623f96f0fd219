"""kayrros_ext.spark in a local Spark with worker processes of its own, against a fake on loopback."""

import contextlib
import itertools
import json
import os
import pickle
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pyarrow as pa
import pytest

from kayrros_ext import Mirror, MissingExtraError, UsageError
from kayrros_ext._results.query import EPOCH
from kayrros_ext.testing import Fault, Platform, Request, Response
from tests.support.leaks import PASSWORD, TOKEN, shows_a_secret
from tests.support.pages import Block, blocks, run_python

pytest.importorskip("pyspark", reason="pyspark is not installed; `make test-cluster` installs it")
if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
    pytest.skip("Spark needs Java 17 or newer, which is not installed", allow_module_level=True)

pytestmark = [
    pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning"),
    pytest.mark.timeout(300),  # a Java machine starts
]
DAY_MS = 86_400_000
PUSHDOWN = "spark.sql.python.filterPushdown.enabled"
MONTHS = [datetime(2024, month, 1, tzinfo=UTC) for month in (1, 2, 3, 4)]
# A row at each moment around each boundary of a month, and one without a date.
MOMENTS = [
    month + timedelta(microseconds=us) for month in MONTHS for us in (-1_000_000, -1, 0, 1, 999, 1000, 1_000_000)
]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The config file of the workers, which each test writes."""
    return tmp_path_factory.mktemp("spark") / "config.toml"


@pytest.fixture(scope="module")
def spark(config: Path) -> Iterator[Any]:
    """One session for the module, with three tasks at a time, each with three attempts."""
    from pyspark.sql import SparkSession

    from kayrros_ext.spark import KayrrosDataSource

    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("KAYRROS_")]:
            patch.delenv(name)
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        builder = SparkSession.builder.master("local[3,3]").appName("tests").config("spark.ui.enabled", "false")
        builder = builder.config("spark.executorEnv.KAYRROS_CONFIG", str(config))
        builder = builder.config("spark.executorEnv.KAYRROS_CACHE_DIR", str(config.parent / "cache"))
        builder = builder.config("spark.executorEnv.KAYRROS_TOKEN_CACHE", "on")  # as it is for hosts of the internet
        builder = builder.config("spark.sql.shuffle.partitions", "2")
        session = builder.getOrCreate()
    session.sparkContext.setLogLevel("FATAL")  # tasks fail on purpose
    session.dataSource.register(KayrrosDataSource)
    yield session
    session.stop()


@contextlib.contextmanager
def serving(platform: Platform, config: Path) -> Iterator[str]:
    """Serve a fake on loopback, and point the workers to it."""
    with platform.serve() as url:
        names = {name.removeprefix("KAYRROS_").lower(): text for name, text in platform.environment(url).items()}
        config.write_text("[default]\n" + "".join(f'{name} = "{text}"\n' for name, text in names.items()))
        config.chmod(0o600)
        yield url


@pytest.fixture
def serve(config: Path) -> Iterator[Callable[[Platform], str]]:
    """Serve a fake during the test."""
    with contextlib.ExitStack() as stack:
        yield lambda platform: stack.enter_context(serving(platform, config))


@pytest.fixture
def session(spark: Any) -> Iterator[Any]:
    """The session with its default settings, but filters are pushed down."""
    settings = {
        PUSHDOWN: "true",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.timestampType": "TIMESTAMP_LTZ",
        "spark.sql.constraintPropagation.enabled": "true",
    }
    for name, value in settings.items():
        spark.conf.set(name, value)
    yield spark
    for name, value in settings.items():
        spark.conf.set(name, value)


def load(session: Any, *datasets: Any, **options: str) -> Any:
    ids = ",".join(str(getattr(dataset, "id", dataset)) for dataset in datasets)
    return session.read.format("kayrros").options(datasets=ids, **options).load()


def expected(platform: Platform, url: str, *datasets: Any, **options: Any) -> list[tuple[Any, ...]]:
    """Return the rows that one process reads, in the columns of the data source."""
    rows = []
    with platform.connect(base_url=url) as kayrros:
        for dataset in datasets:
            table = kayrros.results(dataset.id, progress=False, **options).table
            rows += [(dataset.id, *row) for row in plain(table)]
    return ordered(rows)


def plain(table: pa.Table) -> list[tuple[Any, ...]]:
    """Return rows of Python values, dates in epoch microseconds."""
    place = table.schema.get_field_index("value_date")
    table = table.set_column(place, "value_date", table["value_date"].cast(pa.int64()))
    return [tuple(row.values()) for row in table.to_pylist()]


def ordered(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted(rows, key=repr)


def rows_of(frame: Any) -> list[tuple[Any, ...]]:
    return ordered(plain(frame.toArrow()))


def results_requests(platform: Platform) -> list[Request]:
    return [request for request in platform.requests if request.operation == "getDatasetResults"]


def hard_case() -> dict[str, Any]:
    """Return results with nulls in each column, text of any kind, and dates around the boundaries of months."""
    results = [
        {
            "value_date": moment.isoformat(),
            "metrics": [{"name": "m", "value": place + 0.1}, {"name": "é ✓", "value": None}],
        }
        for place, moment in enumerate(MOMENTS)
    ]
    undated = {"value_date": None, "metrics": [{"name": "m", "value": -1.5}, {"name": None, "value": 1e308}]}
    full = {
        "asset_id": "a'1",
        "asset_name": 'Tank "é"\n1',
        "asset_version": 2**62,
        "asset_categories": ["crude", ""],
        "asset_centroid_latitude": 0.1 + 0.2,
        "asset_surface_area_m2": 5e-324,
        "parent_asset_id": "p",
        "results": [*results, undated],
    }
    empty = {"asset_id": "b", "asset_categories": [], "results": results[3:5]}
    nulls = {"asset_id": None, "asset_categories": None, "results": results[-2:]}
    return {"processing_id": "1", "source_id": None, "assets": [full, empty, nulls]}


def test_rows_are_those_of_one_process(session: Any, serve: Any) -> None:
    """Each dataset and period is a partition, each row comes once, and each value is that of `Kayrros.results`."""
    platform = Platform()
    datasets = [platform.generate(seed=1, assets=3, dates=12), platform.generate(template="methane-hotspots", dates=9)]
    url = serve(platform)
    frame = load(session, *datasets, start="2024-01", stop="2024-03")
    assert frame.rdd.getNumPartitions() == 6
    assert not platform.requests
    assert rows_of(frame) == expected(platform, url, *datasets, start="2024-01", stop="2024-03")


def test_schema_is_exact(session: Any, serve: Any) -> None:
    """Columns are dataset_id and those of the table, timestamps are instants, and there is no large or dictionary type."""
    platform = Platform()
    dataset = platform.add(hard_case())
    url = serve(platform)
    session.conf.set("spark.sql.timestampType", "TIMESTAMP_NTZ")
    frame = load(session, dataset)
    types = {field.name: (field.dataType.simpleString(), field.nullable) for field in frame.schema}
    with platform.connect(base_url=url) as kayrros:
        columns = kayrros.results(dataset.id).table.column_names
    assert [*types] == ["dataset_id", *columns]
    assert types == {
        **dict.fromkeys(columns, ("string", True)),
        "dataset_id": ("string", False),
        **dict.fromkeys(["asset_version", "parent_asset_version"], ("bigint", True)),
        "asset_categories": ("array<string>", True),
        **dict.fromkeys(["asset_centroid_latitude", "asset_centroid_longitude"], ("double", True)),
        **dict.fromkeys(["asset_surface_area_m2", "value"], ("double", True)),
        "value_date": ("timestamp", True),
    }
    assert {str(kind) for kind in frame.toArrow().schema.types} == {
        "string",
        "int64",
        "double",
        "list<element: string>",
        "timestamp[us, tz=UTC]",
    }


def test_a_whole_dataset_has_rows_without_a_date(session: Any, serve: Any) -> None:
    """Without a start, a dataset is one partition, and all of its rows come, also without date, metric or asset id."""
    platform = Platform()
    dataset = platform.add(hard_case())
    url = serve(platform)
    frame = load(session, dataset)
    assert frame.rdd.getNumPartitions() == 1
    assert rows_of(frame) == expected(platform, url, dataset)
    assert frame.where("value_date is null").count() == 2
    assert frame.where("value_date is not null and asset_id is null").count() == 4


def test_rows_without_a_date_come_with_the_first_period(session: Any, serve: Any) -> None:
    """If the API sends rows without a date with each range, they come once, and not if a filter selects dates."""
    platform = PeculiarPlatform(undated=True)
    dataset = platform.add(hard_case())
    serve(platform)
    frame = load(session, dataset, start="2024-01", stop="2024-03")
    assert frame.where("value_date is null").count() == 2
    assert frame.where("value_date is null or value_date >= '2024-02-01'").where("metric = 'm'").count() == 1 + 14
    assert frame.where("value_date > '2024-01-01'").where("value_date is null").count() == 0
    # Otherwise Spark adds `value_date is not null`, and applies this itself.
    session.conf.set("spark.sql.constraintPropagation.enabled", "false")
    for condition in ("value_date in (timestamp'2024-01-01', null)", "value_date = '2024-01-01'"):
        assert frame.where(condition).count() == 2


@attrs.define(eq=False, repr=False, slots=False, kw_only=True)
class PeculiarPlatform(Platform):
    """The fake with a range that a server understands in its own way."""

    zone_h: float = 0
    days: bool = False  # whether ranges are rounded inwards to days
    undated: bool = False  # whether rows without a date come with each range

    def handle(self, request: Request) -> Response:
        body = json.loads(request.body or b"{}") if request.path.startswith("/v1/processingresult") else {}
        if time_range := body.get("time_range"):
            start, stop = (time_range[end] + int(self.zone_h * 3_600_000) for end in ("start_date", "stop_date"))
            if self.days:
                start, stop = -(-start // DAY_MS) * DAY_MS, stop // DAY_MS * DAY_MS
            body["time_range"] = {"start_date": start, "stop_date": stop}
            request = attrs.evolve(request, body=json.dumps(body).encode())
        response = super().handle(request)
        if self.undated and time_range:
            payload = json.loads(b"".join(response.body))
            payload["assets"][0]["results"].append(hard_case()["assets"][0]["results"][-1])
            response = attrs.evolve(response, body=[json.dumps(payload).encode()], length=None)
        return response


@pytest.mark.parametrize(
    ("inclusive", "zone_h", "days"),
    [("both", 0, False), ("neither", 0, False), ("left", 14, False), ("right", -12, True), ("neither", 14, True)],
)
def test_each_row_comes_once_whatever_a_range_means(
    session: Any, serve: Any, inclusive: Any, zone_h: float, days: bool
) -> None:
    """No row is lost or repeated at a boundary, to the microsecond, and those outside of start and stop do not come."""
    platform = PeculiarPlatform(inclusive=inclusive, zone_h=zone_h, days=days)
    dataset = platform.add(hard_case())
    url = serve(platform)
    frame = load(session, dataset, start="2024-01-01", stop="2024-03")
    start, stop = ((month - EPOCH) // timedelta(microseconds=1) for month in (MONTHS[0], MONTHS[-1]))
    place = frame.columns.index("value_date")
    inside = [row for row in expected(platform, url, dataset) if row[place] is not None and start <= row[place] < stop]
    assert rows_of(frame) == inside


def test_stop_is_the_last_moment(session: Any, serve: Any) -> None:
    """A row at the moment `stop` comes, and one in the next millisecond does not."""
    platform = Platform()
    dataset = platform.add(hard_case())
    serve(platform)
    frame = load(session, dataset, start="2024-01", stop="2024-02-01T00:00:00Z", assets="a'1")
    last = frame.selectExpr("max(unix_micros(value_date))").first()[0]
    assert last == (MONTHS[1] + timedelta(microseconds=999) - EPOCH) // timedelta(microseconds=1)


# Conditions, with the requests that remain of those of 2 datasets in 3 months.
CONDITIONS = [
    ("dataset_id = '{0}'", 3),
    ("dataset_id in ('{0}', 'other')", 3),
    ("dataset_id = upper('{0}')", 0),
    ("value_date >= '2024-03-01'", 2),
    ("value_date > timestamp'2024-02-29 23:59:59.999999Z'", 2),
    ("value_date < '2024-02-01T00:00:00Z'", 2),
    ("value_date <= '2024-02-01T00:00:00Z'", 4),
    ("value_date between '2024-01-16' and '2024-02-06'", 4),
    ("value_date = '2024-02-06T00:00:00Z'", 2),
    ("value_date in (timestamp'2024-01-16 00:00:00Z', timestamp'2024-02-06 00:00:00Z')", 4),
    ("cast(value_date as date) = '2024-01-16'", 2),
    ("value_date < '2024-02-01' and value_date > '2024-02-02'", 0),
    ("value_date > '9999-12-31T23:59:59.999999Z'", 0),
    ("asset_id = 'tank-000001'", 6),
    ("asset_id in ('tank-000001', null, '')", 6),
    ("asset_id = 'tank-000001' and asset_id in ('tank-000002')", 0),
    ("metric in ('fill_level_pct', 'Fill_Level_Pct')", 6),
    ("metric <=> 'fill_level_pct' and dataset_id = '{1}' and value_date < '2024-02-01T00:00:00Z'", 1),
    ("metric != 'fill_level_pct'", 6),
    ("not (value_date < '2024-03-01')", 2),
    ("year(value_date) = 2024 and value > 50", 6),
    ("metric = 'fill_level_pct' or asset_id = 'tank-000001'", 6),
    ("asset_name like 'Tank%' and asset_id like '%1'", 6),
]


@pytest.fixture(scope="module")
def tanks() -> tuple[Platform, list[Any]]:
    """A fake with two datasets."""
    platform = Platform()
    return platform, [platform.generate(seed=seed, assets=3, dates=12) for seed in (1, 2)]


@pytest.fixture(scope="module")
def selected(spark: Any, config: Path, tanks: tuple[Platform, list[Any]]) -> dict[str, list[tuple[Any, ...]]]:
    """The rows that Spark selects by each condition, once all rows have come."""
    platform, datasets = tanks
    columns = [f"({condition.format(*(it.id for it in datasets))}) as `{condition}`" for condition, _ in CONDITIONS]
    spark.conf.set("spark.sql.session.timeZone", "America/New_York")
    with serving(platform, config):
        table = load(spark, *datasets, start="2024-01", stop="2024-03").selectExpr("*", *columns).toArrow()
    rows = table.drop_columns([condition for condition, _ in CONDITIONS])
    return {condition: ordered(plain(rows.filter(table[condition]))) for condition, _ in CONDITIONS}


@pytest.mark.parametrize(("condition", "count"), CONDITIONS)
def test_pushed_filter_is_exact_and_saves_requests(
    session: Any, serve: Any, tanks: tuple[Platform, list[Any]], selected: Any, condition: str, count: int
) -> None:
    """With pushdown, Spark has the rows that it selects without, and datasets and periods without a match cost nothing.

    The session is in New York, so that dates without a zone are no UTC.
    """
    platform, datasets = tanks
    serve(platform)
    session.conf.set("spark.sql.session.timeZone", "America/New_York")
    before = len(results_requests(platform))
    frame = load(session, *datasets, start="2024-01", stop="2024-03")
    assert rows_of(frame.where(condition.format(*(dataset.id for dataset in datasets)))) == selected[condition]
    assert len(results_requests(platform)) - before == count


def test_filters_work_without_pushdown(session: Any, serve: Any, tanks: tuple[Platform, list[Any]]) -> None:
    """Where pushdown is off, which is the default of Spark, a filter gives the same rows, and all is requested."""
    platform, datasets = tanks
    serve(platform)
    session.conf.unset(PUSHDOWN)
    before = len(results_requests(platform))
    frame = load(session, *datasets, start="2024-01", stop="2024-03").where(
        "dataset_id = 'other' or value_date < '2024-02-01'"
    )
    assert frame.where("metric = 'fill_level_pct'").count() == 2 * 3 * 5
    assert len(results_requests(platform)) - before == 6


def test_pushed_assets_are_all_that_is_requested(session: Any, serve: Any) -> None:
    """A filter on asset_id, and the option, become ids of the request; no request looks them up, whatever their number."""
    platform = Platform()
    dataset = platform.generate(assets=5, dates=2)
    serve(platform)
    frame = load(session, dataset, start="2024-01", stop="2024-01", assets="tank-000000, tank-000003,other")
    assert frame.where("asset_id in ('tank-000003', 'tank-000004')").count() == 2 * 2
    ids = ", ".join(f"'tank-{number:06}'" for number in range(1200))
    assert load(session, dataset, start="2024-01", stop="2024-01").where(f"asset_id in ({ids})").count() == 5 * 2 * 2
    asked = [request.json["mo_ids"] for request in results_requests(platform)]
    assert asked[0] == ["tank-000003"]
    assert [len(ids) for ids in asked[1:]] == [500, 500, 200]


def test_filter_on_dates_makes_periods(session: Any, serve: Any) -> None:
    """Without the option start, a filter on value_date divides time all the same; requests do not go far beyond it."""
    platform = Platform()
    dataset = platform.generate(assets=1, dates=20)
    serve(platform)
    frame = load(session, dataset).where("value_date >= '2024-02-01' and value_date < '2024-04-01'")
    assert frame.rdd.getNumPartitions() == 2
    assert frame.count() == 2 * 8
    ends = [tuple(request.json["time_range"].values()) for request in results_requests(platform)]
    spans = sorted(ends)
    starts = [1_706_745_600_000, 1_709_251_200_000, 1_711_929_600_000]
    assert len(spans) == 2
    for (first, last), start, stop in zip(spans, starts[:-1], starts[1:], strict=True):
        assert start - 2 * DAY_MS <= first < start
        assert stop < last <= stop + 2 * DAY_MS


@pytest.mark.parametrize(("freq", "count"), [("MS", 4), ("W", 14), ("QS", 2), ("45D", 3), ("YS", 1)])
def test_freq_divides_time(freq: str, count: int) -> None:
    """Periods follow each other without a hole, begin at midnight in UTC, and begin and end with start and stop."""
    from kayrros_ext.spark import KayrrosDataSource

    options = {
        "datasets": "7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4",
        "start": "2024-01-10T12:00Z",
        "stop": "2024-04-09T12:00Z",
    }
    reader = KayrrosDataSource({**options, "freq": freq, "maxConcurrency": "99"}).reader(None)
    partitions = reader.partitions()
    periods = partitions[0].value[2]
    assert len(partitions) == len(periods) == count
    assert periods[0][0] == 1_704_888_000_000_000
    assert periods[-1][1] == 1_712_664_000_001_000
    assert all(last == first for (_, last), (first, _) in itertools.pairwise(periods))
    assert all(first % (DAY_MS * 1000) == 0 for first, _ in periods[1:])


class Busy:
    """Sleeps for the fake, and counts how many requests do so at a time."""

    def __init__(self) -> None:
        self.lock, self.now, self.most = threading.Lock(), 0, 0

    def __call__(self, seconds: float) -> None:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(seconds)
        with self.lock:
            self.now -= 1


@pytest.mark.parametrize("limit", [1, 2])
def test_requests_at_a_time_are_bounded(session: Any, serve: Any, limit: int) -> None:
    """With 3 cores and 18 datasets and periods, no more than maxConcurrency requests run, although days have to be split."""
    busy = Busy()
    platform = Platform(latency_s=0.05, sleep=busy, max_rows=60)
    datasets = [platform.generate(seed=seed, assets=4, dates=60, every=timedelta(days=3)) for seed in range(3)]
    url = serve(platform)
    frame = load(session, *datasets, start="2024-01", stop="2024-06", maxConcurrency=str(limit))
    assert frame.rdd.getNumPartitions() == limit
    rows = rows_of(frame)
    assert busy.most == limit
    assert platform.logins == 1
    platform.latency_s, platform.max_rows = 0, None
    assert rows == expected(platform, url, *datasets, start="2024-01", stop="2024-06")


def test_a_limit_of_requests_ends_with_all_rows(session: Any, serve: Any) -> None:
    """While the platform refuses more than 5 requests a second with a 429, each worker waits, and all rows come."""
    # Its clock goes on with each request, so that the sixth comes too early, however slow the machine is.
    ticks = itertools.count()
    platform = Platform(max_requests_per_second=5, clock=lambda: next(ticks) * 0.07)
    dataset = platform.generate(assets=2, dates=52)
    url = serve(platform)
    rows = rows_of(load(session, dataset, start="2024-01", stop="2024-08"))
    assert {request.status for request in platform.requests} == {200, 429}
    platform.max_requests_per_second = None
    assert rows == expected(platform, url, dataset, start="2024-01", stop="2024-08")


def test_a_failed_partition_is_retried(session: Any, serve: Any) -> None:
    """Spark repeats a task whose request fails for good, in the middle of a partition, and no row comes twice."""
    platform = Platform()
    dataset = platform.generate(assets=2, dates=12)
    url = serve(platform)
    platform.fail_next(500, times=2, skip=2, operation="getDatasetResults")
    frame = load(session, dataset, start="2024-01", stop="2024-03", maxConcurrency="1")
    assert rows_of(frame) == expected(platform, url, dataset, start="2024-01", stop="2024-03")
    statuses = [request.status for request in results_requests(platform)]
    assert statuses[:-1] == [200, 200, 500, 500, 200, 200, 200]


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the workers in /proc")
def test_a_killed_worker_is_replaced(session: Any, serve: Any, config: Path) -> None:
    """SIGKILL for the workers in the middle of their partitions: Spark starts others, and no row is lost or doubled."""
    platform = Platform(latency_s=0.2)
    dataset = platform.generate(assets=2, dates=36)
    url = serve(platform)

    def is_time(_: Request) -> bool:
        if len(results_requests(platform)) == 5:
            killed.extend(kill_workers(config))
        return False

    killed: list[int] = []
    platform.fail_when(is_time, 500, operation="getDatasetResults")
    rows = rows_of(load(session, dataset, start="2024-01", stop="2024-08", maxConcurrency="2"))
    platform.faults.clear()
    assert killed
    assert rows == expected(platform, url, dataset, start="2024-01", stop="2024-08")


def kill_workers(config: Path) -> list[int]:
    """Kill the Python processes of this session's tasks, which are children of a daemon of the same command."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            is_ours = str(config).encode() in (folder / "environ").read_bytes()
            if is_ours and (folder / "cmdline").read_bytes().endswith(b"pyspark.worker\0"):
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    workers = [pid for pid, parent in parents.items() if parent in parents]
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    return workers


def test_a_gap_fails_with_our_error_or_is_left_out(session: Any, serve: Any) -> None:
    """An unavailable day fails the read with our error and its hint; with onGap=warn the other rows come."""
    from pyspark.errors import PythonException

    platform = Platform(max_rows=4)
    dataset = platform.generate(assets=2, dates=12)
    url = serve(platform)
    day_ms = 1_708_387_200_000  # 2024-02-20

    def is_broken(request: Request) -> bool:
        start, stop = request.json["time_range"].values()
        return bool(start <= day_ms <= stop and stop - start < 20 * DAY_MS)

    platform.fail_when(is_broken, Fault.status(500), operation="getDatasetResults")
    options = {"start": "2024-01", "stop": "2024-03"}
    with pytest.raises(PythonException) as caught:
        load(session, dataset, **options).collect()
    text = str(caught.value)
    assert "kayrros_ext.errors.GapError: getDatasetResults: results for 2024-02-" in text
    assert 'Set the option onGap to "warn"' in text
    frame = load(session, dataset, onGap="WARN", **options)
    rows = rows_of(frame)
    platform.faults.clear()
    platform.max_rows = None
    place = frame.columns.index("value_date")
    complete = expected(platform, url, dataset, **options)
    lost = {row[place] for row in complete} - {row[place] for row in rows}
    assert day_ms * 1000 in lost
    assert len(lost) <= 2  # dates of the window that failed
    assert rows == [row for row in complete if row[place] not in lost]


def test_errors_of_the_account_name_themselves(session: Any, serve: Any, config: Path) -> None:
    """A dataset that is not there, and missing credentials, are our errors in what Spark shows."""
    from pyspark.errors import PythonException

    serve(Platform())
    missing = "00000000-0000-0000-0000-000000000000"
    with pytest.raises(PythonException, match=r"kayrros_ext\.errors\.NotFoundError: .*No dataset has this id"):
        load(session, missing).count()
    config.write_text("")
    with pytest.raises(PythonException, match=r"ConfigurationError: There are no credentials\. .*KAYRROS_PASSWORD"):
        load(session, missing).count()


ID = "7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "There is no option datasets"),
        ({"datasets": " , "}, "There is no option datasets"),
        ({"datasets": "Crude oil storage"}, "datasets contains 'Crude oil storage', which is no id. Pass ids"),
        ({"datasets": str([ID])}, "which is no id"),
        ({"datasets": ID, "start": "yesterday"}, "'yesterday' is not an ISO 8601 date"),
        ({"datasets": ID, "start": "2024", "stop": "2023"}, "2023 lies before 2024"),
        ({"datasets": ID, "freq": "month"}, "freq is 'month'. Pass a frequency of pandas"),
        ({"datasets": ID, "freq": "0D"}, "freq is '0D'. Pass a frequency of pandas"),
        ({"datasets": ID, "metric": ","}, "metric is empty"),
        ({"datasets": ID, "maxConcurrency": "0"}, "maxConcurrency is '0'. Pass a number from 1"),
        ({"datasets": ID, "maxConcurrency": "many"}, "maxConcurrency is 'many'"),
        ({"datasets": ID, "onGap": "ignore"}, "onGap is 'ignore'"),
        ({"datasets": ID, "on_gap": "warn"}, "There is no option 'on_gap'. Did you mean onGap?"),
        ({"datasets": ID, "metrics": "m"}, "Did you mean metric?"),
        ({"dataset": ID}, "Did you mean datasets?"),
        ({"datasets": ID, "password": PASSWORD}, "Set KAYRROS_EMAIL and KAYRROS_PASSWORD, or KAYRROS_TOKEN"),
        ({"datasets": ID, "KAYRROS_TOKEN": TOKEN}, "Set KAYRROS_EMAIL and KAYRROS_PASSWORD, or KAYRROS_TOKEN"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, str], text: str) -> None:
    """An option that is missing, unknown, wrong or a secret is refused with a hint, and its secret is not shown."""
    from pyspark.sql.datasource import CaseInsensitiveDict

    from kayrros_ext.spark import KayrrosDataSource

    with pytest.raises(UsageError) as caught:
        KayrrosDataSource(CaseInsensitiveDict(options)).schema()
    assert text in str(caught.value)
    assert not shows_a_secret(str(caught.value))


def test_load_refuses_a_password(session: Any, serve: Any) -> None:
    """`load` fails with our error, shows no value of an option, and sends nothing."""
    from pyspark.errors import AnalysisException

    platform = Platform()
    serve(platform)
    with pytest.raises(
        AnalysisException, match=r"UsageError: There is no option 'password'\. Spark shows options"
    ) as caught:
        # Not one of those that the scan looks for, because py4j logs each call for debugging.
        session.read.format("kayrros").options(datasets=ID, PassWord="correct-horse").load()
    assert "correct-horse" not in str(caught.value)
    assert not platform.requests


def test_plan_and_reader_hold_no_secret(
    session: Any, serve: Any, config: Path, monkeypatch: pytest.MonkeyPatch, tanks: tuple[Platform, list[Any]]
) -> None:
    """Neither the plan of a read, nor what is pickled for the executors, has a credential or where it is from."""
    from pyspark.cloudpickle import dumps, loads

    from kayrros_ext.spark import KayrrosDataSource

    platform, datasets = tanks
    serve(platform)
    monkeypatch.setenv("KAYRROS_PASSWORD", PASSWORD)
    monkeypatch.setenv("KAYRROS_TOKEN", TOKEN)
    options = {"datasets": datasets[0].id, "start": "2024-01", "stop": "2024-03"}
    source = KayrrosDataSource(options)
    reader = source.reader(None)
    pickled = [dumps(each) for each in (source, reader, reader.read, *reader.partitions())]
    assert loads(pickled[1]).partitions()
    plan = load(session, *datasets, start="2024-01").where("metric = 'x'")._jdf.queryExecution().toString()
    secrets = (PASSWORD, TOKEN, platform.account.password, platform.account.email, str(config))
    for text in (*pickled, plan.encode()):
        assert not any(secret.encode() in text for secret in secrets)


def test_batches_come_as_they_arrive(serve: Any, monkeypatch: pytest.MonkeyPatch, config: Path) -> None:
    """A partition yields small batches before the last request, so that a worker never holds all of it."""
    from kayrros_ext.spark import KayrrosDataSource

    platform = Platform(max_rows=20_000)
    dataset = platform.generate(assets=100, dates=300, every=timedelta(days=1))
    serve(platform)
    monkeypatch.setenv("KAYRROS_CONFIG", str(config))
    reader = KayrrosDataSource({"datasets": dataset.id, "start": "2024", "stop": "2024", "freq": "YS"}).reader(None)
    [partition] = reader.partitions()
    batches = reader.read(partition)
    sizes = [next(batches).num_rows]
    before = len(results_requests(platform))
    sizes += [batch.num_rows for batch in batches]
    assert max(sizes) <= 10_000
    assert sum(sizes) == dataset.row_count
    assert len(results_requests(platform)) > before + 3


def test_metric_option_is_forgiving(session: Any, serve: Any) -> None:
    """The option metric ignores case and blanks as `Kayrros.results` does, and a metric that is not there has no rows."""
    platform = Platform()
    dataset = platform.generate(assets=2, dates=4, metrics=["Fill Level", "rate", "Rate"])
    url = serve(platform)
    rows = rows_of(load(session, dataset, dataset, metric=" fill level ,RATE, other"))
    assert rows == expected(platform, url, dataset)
    frame = load(session, dataset, metric="rate")
    assert frame.where("metric = 'Rate'").count() == 2 * 4
    assert load(session, dataset, metric="other").count() == 0


def test_thousands_of_datasets_are_planned_at_once() -> None:
    """10,000 datasets in 120 months are divided in a moment, and a partition is small."""
    from kayrros_ext.spark import KayrrosDataSource

    ids = [f"{number:08d}-0000-0000-0000-000000000000" for number in range(10_000)]
    reader = KayrrosDataSource({"datasets": ",".join(ids), "start": "2014", "stop": "2023"}).reader(None)
    partitions = reader.partitions()
    assert len(partitions) == 8
    assert len(pickle.dumps(reader)) < 1_000_000
    assert len(pickle.dumps(partitions[0].value)) < 10_000


def test_spark_reads_a_mirror(session: Any, tmp_path: Path) -> None:
    """The folder of a mirror is a table partitioned by dataset and month, with the rows of the API."""
    platform = Platform()
    datasets = [platform.add(hard_case()), platform.generate(assets=2, dates=30)]
    with platform.connect() as kayrros:
        for dataset in datasets:
            Mirror(tmp_path).sync(kayrros, dataset.id)
        whole = [(d.id, *row) for d in datasets for row in plain(kayrros.results(d.id, progress=False).table)]
    frame = session.read.parquet(str(tmp_path / "data"))
    columns = [name for name in frame.columns if name not in {"dataset", "month"}]
    assert rows_of(frame.selectExpr("dataset as dataset_id", *columns)) == ordered(whole)
    assert frame.where("month >= '2024-02' and month < '2024-03'").where("month(value_date) != 2").count() == 0
    assert frame.where("month >= '2024-02'").count() > 0
    assert frame.where("month is null").count() == 2


SPARK_BLOCKS = [block for block in blocks("docs/cluster.md", "python") if "spark" in block.code]


@pytest.mark.parametrize("block", SPARK_BLOCKS, ids=lambda block: block.place)
def test_documentation_runs(
    session: Any,
    serve: Any,
    block: Block,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Each block about Spark runs in an empty directory, and prints what the page shows."""
    platform = Platform()
    platform.add_examples()
    for name, value in platform.environment(serve(platform)).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    capfd.readouterr()
    # Java has the working directory in which the session began.
    assert run_python(block.code.replace("lake/", f"{tmp_path}/lake/"), tmp_path) == 0
    assert capfd.readouterr().out == block.printed


def test_missing_pyspark_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pyspark, the import of the module says which extra to install."""
    monkeypatch.delitem(sys.modules, "kayrros_ext.spark", raising=False)
    monkeypatch.setitem(sys.modules, "pyspark.sql.datasource", None)
    with pytest.raises(MissingExtraError, match="pip install") as caught:
        __import__("kayrros_ext.spark")
    assert caught.value.extra == "spark"
