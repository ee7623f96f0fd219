"""A mirror holds what the API sent, now and as of earlier runs, and marks as gone only what is certain to be gone."""

import json
import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest

from kayrros_ext import Kayrros, Mirror, MirrorError, NotFoundError, SyncReport, UsageError
from kayrros_ext.mirror import _store, _sync
from kayrros_ext.testing import Dataset, Fault, Platform

FILL = "fill_level_pct"


@pytest.fixture
def fake() -> Platform:
    return Platform()


@pytest.fixture
def kayrros(fake: Platform) -> Iterator[Kayrros]:
    with fake.connect(retries=0) as client:
        yield client


@pytest.fixture
def mirror(tmp_path: Path) -> Mirror:
    return Mirror(tmp_path / "lake")


@pytest.fixture
def tanks(fake: Platform) -> Dataset:
    """Six tanks with 60 weekly dates, from January 2024 to February 2025."""
    return fake.generate(assets=6, dates=60)


def rows(table: pa.Table) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = table.to_pylist()
    return listed


def counts(report: SyncReport) -> tuple[int, int, int]:
    return report.added, report.changed, report.gone


def now() -> datetime:
    """Return a moment that no change before or after shares; those of changes have milliseconds."""
    time.sleep(0.002)
    moment = datetime.now(UTC)
    time.sleep(0.002)
    return moment


def tank(dataset: Dataset, number: int = 0) -> str:
    return str(dataset.payload()["assets"][number]["asset_id"])


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Return inode and time of each Parquet file."""
    files = folder.rglob("*.parquet")
    return {str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def duckdb_folder(folder: Path) -> Any:
    return duckdb.read_parquet(f"{folder}/*/*/*.parquet", hive_partitioning=True)


def test_first_sync_fetches_everything(kayrros: Kayrros, mirror: Mirror, tanks: Dataset) -> None:
    """The mirror has the rows, the assets and the metadata that the API sends."""
    report, results = mirror.sync(kayrros, tanks.id), kayrros.results(tanks.id)
    assert (counts(report), report.requests, report.oldest_revision) == ((tanks.row_count, 0, 0), 1, None)
    copy = mirror.read(tanks.id)
    assert copy.table.equals(results.table)
    assert rows(copy.assets) == rows(results.assets)
    assert copy.metadata == kayrros.metadata(tanks.id)
    assert (copy.dataset_id, copy.units, copy.attribution) == (results.dataset_id, results.units, copy.attribution)
    assert copy.processing_ids == results.processing_ids


def test_sync_without_news_touches_no_file(kayrros: Kayrros, mirror: Mirror, tanks: Dataset, tmp_path: Path) -> None:
    """A second sync writes neither rows nor history nor assets, and takes one request."""
    mirror.sync(kayrros, tanks.id)
    before = snapshot(tmp_path)
    report = mirror.sync(kayrros, tanks.id)
    assert (counts(report), report.requests) == ((0, 0, 0), 1)
    assert 0 < report.unchanged < tanks.row_count
    assert snapshot(tmp_path) == before


def test_revision_is_seen_by_everyone(
    fake: Platform, kayrros: Kayrros, mirror: Mirror, tanks: Dataset, tmp_path: Path
) -> None:
    """A change, an addition and a removal are in `changes`, in `as_of`, and in the folder as other programs read it."""
    mirror.sync(kayrros, tanks.id)
    before, first = kayrros.results(tanks.id), now()
    one, two = tank(tanks), tank(tanks, 1)
    fake.revise(
        tanks, {one: {"2025-02-18": {FILL: 1.5}, "2025-02-11": None}, two: {"2025-02-25": {FILL: 2.5, "new": None}}}
    )
    report = mirror.sync(kayrros, tanks.id)
    assert counts(report) == (1, 1, 2)
    assert report.oldest_revision == timedelta(days=7)
    after = kayrros.results(tanks.id)
    assert rows(mirror.read(tanks.id).table) == rows(after.table)
    assert rows(mirror.read(tanks.id, as_of=first).table) == rows(before.table)
    assert rows(mirror.read(tanks.id, as_of=now()).table) == rows(after.table)
    assert not mirror.read(tanks.id, as_of="2020")
    changes = mirror.changes(since=first).to_pylist()
    assert [(c["asset_id"], c["metric"], c["kind"], c["new"]) for c in changes if c["metric"] == FILL] == [
        (one, FILL, "gone", None),
        (one, FILL, "changed", 1.5),
        (two, FILL, "added", 2.5),
    ]
    assert {c["dataset_id"] for c in changes} == {tanks.id}
    assert {c["processing_id"] for c in changes} == {after.processing_id}
    [old] = [c["old"] for c in changes if c["kind"] == "changed"]
    [same] = [row["value"] for row in rows(before.table) if (row["asset_id"], row["metric"]) == (one, FILL)][-1:]
    assert old == same
    data, total = tmp_path / "lake" / "data", after.table["value"].to_pylist()
    sums = {
        "duckdb": duckdb.read_parquet(f"{data}/*/*/*.parquet", hive_partitioning=True)
        .filter(f"dataset = '{tanks.id}'")
        .sum("value")
        .fetchall()[0][0],
        "polars": pl.scan_parquet(data).filter(pl.col("month") > "2000").select("value").sum().collect()[0, 0],
        "pandas": pd.read_parquet(data)["value"].sum(),
        "pyarrow": sum(pads.dataset(data, partitioning="hive").to_table()["value"].to_pylist()),
    }
    assert sums == pytest.approx(dict.fromkeys(sums, sum(total)))
    assert pd.read_parquet(data).columns.tolist() == [*after.table.column_names, "dataset", "month"]


def test_revision_rewrites_its_month_only(
    fake: Platform, kayrros: Kayrros, mirror: Mirror, tanks: Dataset, tmp_path: Path
) -> None:
    """Of the months, only the one with the revision is written."""
    mirror.sync(kayrros, tanks.id)
    before = snapshot(tmp_path / "lake" / "data")
    fake.revise(tanks, {tank(tanks): {"2025-01-07": {FILL: 1.5}}})
    mirror.sync(kayrros, tanks.id)
    after = snapshot(tmp_path / "lake" / "data")
    assert {name for name in after if after[name] != before[name]} == {
        f"dataset={tanks.id}/month=2025-01/part-0.parquet"
    }


def test_revision_before_the_window_is_seen_by_a_full_sync(
    fake: Platform, kayrros: Kayrros, mirror: Mirror, tanks: Dataset
) -> None:
    """A sync looks back 90 days, or as far as it is told, and the report says how old a revision was."""
    mirror.sync(kayrros, tanks.id)
    fake.revise(tanks, {tank(tanks): {"2024-06-04": {FILL: 1.5}, "2024-12-03": {FILL: 2.5}}})
    assert counts(mirror.sync(kayrros, tanks.id, revisions="30d")) == (0, 0, 0)
    report = mirror.sync(kayrros, tanks.id)
    assert (counts(report), report.oldest_revision) == ((0, 1, 0), timedelta(days=77))
    report = mirror.sync(kayrros, tanks.id, full=True)
    assert (counts(report), report.oldest_revision) == ((0, 1, 0), timedelta(days=259))
    assert rows(mirror.read(tanks.id).table) == rows(kayrros.results(tanks.id).table)


def test_many_runs_can_be_read_as_of_each(fake: Platform, kayrros: Kayrros, mirror: Mirror) -> None:
    """After random revisions in many runs, the mirror has exactly the results of each run as of its time."""
    draw = random.Random(7)
    dataset = fake.generate(assets=4, dates=30)
    seen = []
    for _ in range(12):
        mirror.sync(kayrros, dataset.id, full=True)
        seen.append((now(), rows(kayrros.results(dataset.id).table)))
        existing = dataset.payload()["assets"]
        dates = [f"2024-{draw.randint(1, 9):02d}-{draw.randint(1, 28):02d}" for _ in range(3)]
        dates.append(draw.choice(existing[0]["results"])["value_date"])
        cells = [None, {FILL: None}, {FILL: draw.random()}, {FILL: 0.5, "other": draw.random()}]
        fake.revise(
            dataset, {asset["asset_id"]: {date: draw.choice(cells) for date in dates} for asset in existing[:3]}
        )
    for moment, expected in seen:
        assert rows(mirror.read(dataset.id, as_of=moment).table) == expected
    kinds = mirror.changes()["kind"].to_pylist()
    assert {"added", "changed", "gone"} == set(kinds)


def test_gap_marks_nothing_as_gone(fake: Platform, kayrros: Kayrros, mirror: Mirror) -> None:
    """A 504 for some days leaves their rows, is in the report, and is fetched by the next sync; the rest is compared."""
    dataset = fake.generate(assets=3, dates=40, every=timedelta(days=1), start="2025-01-01")
    mirror.sync(kayrros, dataset.id)
    name = tank(dataset)
    fake.revise(dataset, {name: {"2025-01-10": None, "2025-01-30": None, "2025-01-05": {FILL: 7.0}}})
    bad = int(datetime(2025, 1, 10, tzinfo=UTC).timestamp() * 1000)

    def is_bad(request: Any) -> bool:
        span = (request.json if request.body else {}).get("time_range", {"start_date": 0, "stop_date": 2**60})
        return bool(span["start_date"] <= bad <= span["stop_date"])

    rule = fake.fail_when(is_bad, 504, operation="getDatasetResults")
    with fake.connect(retries=0) as client:
        report = mirror.sync(client, dataset.id)
    assert counts(report) == (0, 1, 2)
    assert {gap.start.day for gap in report.gaps} == {9}
    assert not report.withheld
    fake.faults.remove(rule)
    report = mirror.sync(kayrros, dataset.id, revisions="1d")
    assert (counts(report), report.gaps) == ((0, 0, 2), ())
    assert rows(mirror.read(dataset.id).table) == rows(kayrros.results(dataset.id).table)


def test_lost_network_keeps_complete_months(fake: Platform, mirror: Mirror) -> None:
    """A first sync that fails half-way keeps its complete months, and the next one fetches only the rest."""
    dataset = fake.generate(assets=3, dates=400, every=timedelta(days=1))
    fake.max_rows = 200
    rule = fake.fail_next(Fault.dropped(), times=None, operation="getDatasetResults", skip=12)
    with (
        fake.connect(retries=0, concurrency=1) as client,
        pytest.raises(Exception, match="answers nothing|unavailable"),
    ):
        mirror.sync(client, dataset.id, progress=False)
    part = mirror.read(dataset.id).table.num_rows
    assert 0 < part < dataset.row_count
    fake.faults.remove(rule)
    with fake.connect(retries=0) as client:
        assert mirror.sync(client, dataset.id, progress=False).added == dataset.row_count - part
        assert rows(mirror.read(dataset.id).table) == rows(client.results(dataset.id, progress=False).table)
    assert mirror.changes().num_rows == dataset.row_count


def test_interrupted_full_sync_is_completed_by_a_usual_one(fake: Platform, mirror: Mirror) -> None:
    """What a full sync had not compared when it failed is compared by the next one, whatever its window."""
    dataset = fake.generate(assets=3, dates=400, every=timedelta(days=1))
    fake.max_rows = 200
    with fake.connect(retries=0, concurrency=1) as kayrros:
        mirror.sync(kayrros, dataset.id, progress=False)
        fake.revise(
            dataset, {tank(dataset): {"2024-01-20": {FILL: 1.0}, "2024-10-20": {FILL: 2.0}, "2024-10-21": None}}
        )
        rule = fake.fail_next(Fault.dropped(), times=None, operation="getDatasetResults", skip=12)
        with pytest.raises(Exception, match="answers nothing|unavailable"):
            mirror.sync(kayrros, dataset.id, full=True, progress=False)
        fake.faults.remove(rule)
        assert mirror.changes(since="last")["new"].to_pylist() == [1.0]
        assert counts(mirror.sync(kayrros, dataset.id, revisions="1d", progress=False)) == (0, 1, 2)
        assert mirror.changes(since="last").num_rows == 4
        assert rows(mirror.read(dataset.id).table) == rows(kayrros.results(dataset.id, progress=False).table)


def test_checkpoints_change_nothing(
    fake: Platform, kayrros: Kayrros, mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sync that commits in between has the same rows and changes as one that does not, also where rows are gone."""
    dataset = fake.generate(assets=3, dates=200, every=timedelta(days=1))
    fake.max_rows = 100
    other = Mirror(tmp_path / "other")
    mirror.sync(kayrros, dataset.id, progress=False)
    monkeypatch.setattr(_sync, "CHECKPOINT_ROWS", 50)
    other.sync(kayrros, dataset.id, progress=False)
    assert len(list((tmp_path / "other" / "history").rglob("*.parquet"))) > 3
    fake.revise(
        dataset, {tank(dataset, number): {"2024-01-20": None, "2024-03-20": {FILL: 1.0}} for number in range(3)}
    )
    for each in (mirror, other):
        assert counts(each.sync(kayrros, dataset.id, full=True, progress=False)) == (0, 3, 6)
    hidden = ["seen_at"]
    first, second = (each.changes().drop_columns(hidden).to_pylist() for each in (mirror, other))
    key = lambda change: str(sorted(change.items(), key=str))  # noqa: E731
    assert sorted(first, key=key) == sorted(second, key=key)
    assert rows(mirror.read(dataset.id).table) == rows(other.read(dataset.id).table)


def test_halved_list_of_assets_needs_consent(fake: Platform, kayrros: Kayrros, mirror: Mirror, tanks: Dataset) -> None:
    """When more than half of the assets are missing, their rows stay until removals are accepted."""
    mirror.sync(kayrros, tanks.id)
    fake.revise(tanks, {tank(tanks, number): None for number in range(4)})
    for _ in range(2):
        report = mirror.sync(kayrros, tanks.id, full=True)
        assert (report.gone, report.withheld) == (0, 480)
    assert mirror.sync(kayrros, tanks.id, full=True, accept_removals=True).gone == 480
    assert rows(mirror.read(tanks.id).table) == rows(kayrros.results(tanks.id).table)
    assert mirror.sync(kayrros, tanks.id, full=True).withheld == 0


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(lambda payload: {**payload, "assets": []}, id="no assets"),
        pytest.param(
            lambda payload: {**payload, "assets": payload["assets"][1:]}, id="an asset less than the metadata has"
        ),
        pytest.param(
            lambda payload: {**payload, "assets": [{**a, "results": []} for a in payload["assets"]]}, id="no rows"
        ),
        pytest.param(
            lambda payload: {**payload, "assets": [{**a, "results": a["results"][:-1]} for a in payload["assets"]]},
            id="without the last date of the metadata",
        ),
    ],
)
def test_short_answer_marks_nothing_as_gone(
    fake: Platform, kayrros: Kayrros, mirror: Mirror, tanks: Dataset, body: Callable[[Any], Any]
) -> None:
    """An answer that has less than the metadata says, or nothing, removes no row."""
    mirror.sync(kayrros, tanks.id)
    fake.fail_next(Fault.body(json.dumps(body(tanks.payload())).encode()), operation="getDatasetResults")
    report = mirror.sync(kayrros, tanks.id, full=True)
    assert counts(report) == (0, 0, 0)
    assert report.withheld > 0
    assert counts(mirror.sync(kayrros, tanks.id, full=True)) == (0, 0, 0)


@pytest.mark.parametrize("fault", [Fault.truncated(2000), Fault.cut(2000), Fault.status(403), Fault.status(500)])
def test_failed_answer_changes_nothing(
    fake: Platform, mirror: Mirror, tanks: Dataset, tmp_path: Path, fault: Fault
) -> None:
    """An answer that breaks off, or is an error, leaves the mirror as it is."""
    with fake.connect(retries=0) as client:
        mirror.sync(client, tanks.id)
        before = snapshot(tmp_path)
        fake.fail_next(fault, times=None, operation="getDatasetResults")
        try:
            report = mirror.sync(client, tanks.id)
        except Exception as error:
            assert "getDatasetResults" in str(error)  # noqa: PT017 - a gap, or an error
        else:
            assert report.gaps
            assert counts(report) == (0, 0, 0)
    assert snapshot(tmp_path) == before


def test_server_of_another_time_zone_removes_nothing(fake: Platform, kayrros: Kayrros, mirror: Mirror) -> None:
    """Rows at the edge of the range do not come from a server that filters in its own time zone, and are not gone."""
    dataset = fake.generate(assets=2, dates=60, every=timedelta(days=1), start="2024-01-01")  # to 2024-02-29
    mirror.sync(kayrros, dataset.id)
    payload = dataset.payload()
    for asset in payload["assets"]:  # a range from 2024-02-20T10:00 on, 14 hours late
        asset["results"] = [result for result in asset["results"] if result["value_date"] > "2024-02-21T00:00:00Z"]
    fake.fail_next(Fault.body(json.dumps(payload).encode()), operation="getDatasetResults")
    report = mirror.sync(kayrros, dataset.id, revisions="7d")
    assert (counts(report), report.withheld) == ((0, 0, 0), 0)


def test_new_asset_comes_with_its_history(fake: Platform, kayrros: Kayrros, mirror: Mirror, tanks: Dataset) -> None:
    """An asset that is new has values before the window, which a usual sync fetches too."""
    mirror.sync(kayrros, tanks.id)
    fake.revise(tanks, {"tank-new": {"2024-01-02": {FILL: 1.0}, "2024-07-02": {FILL: 2.0}, "2025-02-18": {FILL: 3.0}}})
    report = mirror.sync(kayrros, tanks.id)
    assert (counts(report), report.oldest_revision) == ((3, 0, 0), None)
    assert rows(mirror.read(tanks.id).table) == rows(kayrros.results(tanks.id).table)


def test_renamed_asset_is_no_change_of_values(fake: Platform, kayrros: Kayrros, mirror: Mirror, tanks: Dataset) -> None:
    """Rows follow the description of their asset, without an entry in the history."""
    mirror.sync(kayrros, tanks.id)
    payload = tanks.payload()
    payload["assets"][0] |= {"asset_name": "Renamed", "asset_version": 9}
    fake.add(payload, id=tanks.id)
    start = now()
    assert counts(mirror.sync(kayrros, tanks.id, full=True)) == (0, 0, 0)
    assert rows(mirror.read(tanks.id).table) == rows(kayrros.results(tanks.id).table)
    assert not mirror.changes(since=start).num_rows


def test_version_of_an_asset_is_known_as_of_a_time(
    fake: Platform, kayrros: Kayrros, mirror: Mirror, tanks: Dataset
) -> None:
    """A revision with another version of the asset is undone with the version."""
    mirror.sync(kayrros, tanks.id)
    before, start = rows(kayrros.results(tanks.id).table), now()
    payload = tanks.payload()
    payload["assets"][0]["asset_version"] = 9
    for result in payload["assets"][0]["results"]:
        for metric in result["metrics"]:
            metric["value"] += 1
    fake.add(payload, id=tanks.id)
    assert mirror.sync(kayrros, tanks.id, full=True).changed == 120
    assert rows(mirror.read(tanks.id, as_of=start).table) == before


def test_rows_without_a_date_are_kept(fake: Platform, kayrros: Kayrros, mirror: Mirror, tmp_path: Path) -> None:
    """Values without a date, or null, are mirrored; those without a date are in the partition that Hive has for null."""
    dates: list[dict[str, Any]] = [{"value_date": "2024-01-02T00:00:00Z", "metrics": [{"name": "a", "value": None}]}]
    dates += [
        {"value_date": None, "metrics": [{"name": "a", "value": 1.0}]},
        {"metrics": [{"name": "b", "value": 2.0}]},
    ]
    payload = {"assets": [{"asset_id": "x", "results": dates}]}
    dataset = fake.add(payload)
    mirror.sync(kayrros, dataset.id)
    assert rows(mirror.read(dataset.id).table) == rows(kayrros.results(dataset.id).table)
    assert counts(mirror.sync(kayrros, dataset.id)) == (0, 0, 0)
    # Older versions of DuckDB do not take that partition for null.
    month = "nullif(month, '__HIVE_DEFAULT_PARTITION__')"
    months = duckdb_folder(tmp_path / "lake" / "data").project(month).fetchall()
    assert sorted(months, key=str) == [("2024-01",), (None,), (None,)]
    del dates[1]
    fake.add(payload, id=dataset.id)
    assert counts(mirror.sync(kayrros, dataset.id)) == (0, 0, 0)
    assert counts(mirror.sync(kayrros, dataset.id, full=True)) == (0, 0, 1)


def test_repeated_key_is_named(
    fake: Platform, kayrros: Kayrros, mirror: Mirror, caplog: pytest.LogCaptureFixture
) -> None:
    """Of two values with the same asset, date and metric, one is kept, and a warning counts the others."""
    results = [{"value_date": "2024-01-02T00:00:00Z", "metrics": [{"name": "a", "value": v}]} for v in (1.0, 2.0)]
    dataset = fake.add({"assets": [{"asset_id": "x", "results": results}]}, name="Twice")
    report = mirror.sync(kayrros, dataset.id)
    assert (report.added, mirror.read(dataset.id).table["value"].to_pylist()) == (1, [2.0])
    assert "1 row of Twice in 2024-01 share asset, date and metric" in caplog.text
    assert counts(mirror.sync(kayrros, dataset.id)) == (0, 0, 0)


def test_part_of_a_dataset_is_read(kayrros: Kayrros, mirror: Mirror, tanks: Dataset) -> None:
    """`read` selects dates, metrics and assets as `results` does, by name too."""
    mirror.sync(kayrros, tanks.id)
    name = kayrros.results(tanks.id).assets["asset_name"][0].as_py()
    arguments: Any = {"start": "2024-05", "stop": "2024-06-04"}
    copy = mirror.read(tanks.metadata["name"], metrics=FILL, assets=name.upper(), as_of=now(), **arguments)
    expected = kayrros.results(tanks.id, metric=FILL, assets=name, **arguments)
    assert rows(copy.table) == rows(expected.table)
    assert rows(copy.assets) == rows(expected.assets)
    assert copy.query["start"] == "2024-05-01T00:00:00+00:00"
    with pytest.raises(UsageError, match=r"No row has the metric 'level'.*fill_level_pct"):
        mirror.read(tanks.id, metrics="level")
    with pytest.raises(UsageError, match="The dataset has no asset 'nothing'"):
        mirror.read(tanks.id, assets="nothing")
    with pytest.raises(NotFoundError, match=r"There is no dataset 'x'.*lake has: Crude oil storage"):
        mirror.read("x")
    with pytest.raises(UsageError, match="There is no argument 'metric'"):
        mirror.read(tanks.id, metric=FILL)  # type: ignore[arg-type]


def test_folder_of_something_else_is_refused(kayrros: Kayrros, tanks: Dataset, tmp_path: Path) -> None:
    """A folder that is not empty and no mirror is not filled; nor is one that does not exist read."""
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(MirrorError, match="is not a mirror, and not empty. Choose an empty folder"):
        Mirror(tmp_path).sync(kayrros, tanks.id)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    for read in (lambda it: it.read(tanks.id), lambda it: it.changes(), lambda it: it.compact("2024"), Mirror.datasets):
        with pytest.raises(MirrorError, match="is not a mirror"):
            read(Mirror(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("location", ["", "foo://x", "lake.parquet", 5])
def test_location_that_is_none_is_refused(location: Any) -> None:
    """A location is a folder, or a URL of a file system that Arrow knows."""
    with pytest.raises(UsageError):
        Mirror(location)


def test_credentials_of_a_location_are_not_shown() -> None:
    """Neither an error nor the name of a mirror has the key and the secret of its URL."""
    mirror = Mirror("s3://KEY:SECRET@bucket/x?region=us-east-1")
    with pytest.raises(UsageError, match="s3://bucket/a b can't be opened") as caught:
        Mirror("s3://KEY:SECRET@bucket/a b?region=us-east-1")
    assert mirror.location == "s3://bucket/x"
    assert not {"KEY", "SECRET"} & {word for word in ("KEY", "SECRET") if word in f"{mirror!r}{caught.value}"}


def test_other_account_or_host_is_refused(fake: Platform, kayrros: Kayrros, mirror: Mirror, tanks: Dataset) -> None:
    """A mirror belongs to a host and an account. With a token alone, whose account is unknown, nothing is gone."""
    mirror.sync(kayrros, tanks.id)
    other = fake.add_account("other@example.com", "p")
    with (
        fake.connect(email=other.email, password="p") as client,
        pytest.raises(MirrorError, match="of the account analyst@example.com, not of other@example.com"),
    ):
        mirror.sync(client, tanks.id)
    with (
        fake.serve() as url,
        fake.connect(base_url=url) as client,
        pytest.raises(MirrorError, match="is a mirror of the host https://platform.api.kayrros.com, not of http://127"),
    ):
        mirror.sync(client, tanks.id)
    fake.revise(tanks, {tank(tanks): {"2025-02-18": None}})
    with fake.connect(token=fake.give_token(), email=None) as client:
        assert mirror.sync(client, tanks.id).withheld == 2
    assert mirror.sync(kayrros, tanks.id).gone == 2


def test_mirror_of_a_token_alone_has_no_account(fake: Platform, mirror: Mirror, tanks: Dataset) -> None:
    """Two tokens may be of two accounts, so that nothing is gone."""
    with fake.connect(token=fake.give_token(), email=None) as client:
        mirror.sync(client, tanks.id)
    fake.revise(tanks, {tank(tanks): {"2025-02-18": None}})
    with fake.connect(token=fake.give_token(), email=None) as client:
        report = mirror.sync(client, tanks.id)
    assert (report.gone, report.withheld) == (0, 2)


def test_mirror_without_its_state_is_refused(kayrros: Kayrros, mirror: Mirror, tanks: Dataset, tmp_path: Path) -> None:
    """A mirror that was copied without hidden files, or has a damaged state, is named, and nothing is logged twice."""
    mirror.sync(kayrros, tanks.id)
    before, [state] = snapshot(tmp_path), (tmp_path / "lake/.kayrros/state").iterdir()
    for content in (b"", b"{"):
        state.write_bytes(content)
        for use in (lambda: mirror.sync(kayrros, tanks.id), lambda: mirror.read(tanks.id), mirror.changes):
            with pytest.raises(MirrorError, match="can't be read or written"):
                use()
    state.unlink()
    with pytest.raises(MirrorError, match="has lost the state of the dataset"):
        mirror.sync(kayrros, tanks.id)
    assert snapshot(tmp_path) == before


def test_last_run_is_known_after_the_clock_went_back(
    fake: Platform, kayrros: Kayrros, mirror: Mirror, tanks: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run at an earlier time comes after those before it."""
    mirror.sync(kayrros, tanks.id)
    an_hour_ago = time.time_ns() - 3600 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: an_hour_ago)
    fake.revise(tanks, {tank(tanks): {"2025-02-18": {FILL: 1.5}}})
    mirror.sync(kayrros, tanks.id)
    assert [change["new"] for change in rows(mirror.changes("last"))] == [1.5]


def test_newer_mirror_is_refused(kayrros: Kayrros, mirror: Mirror, tanks: Dataset, tmp_path: Path) -> None:
    """A mirror that a newer version has written is neither read nor written."""
    mirror.sync(kayrros, tanks.id)
    marker = tmp_path / "lake" / _store.MARKER
    marker.write_text(json.dumps(json.loads(marker.read_text()) | {"format": 2, "client": "kayrros-ext 9"}))
    for use in (lambda: mirror.sync(kayrros, tanks.id), lambda: mirror.read(tanks.id), mirror.changes):
        with pytest.raises(
            MirrorError, match="written by a newer version .kayrros-ext 9.*Install kayrros-ext 9 or a later"
        ):
            use()
    marker.write_text("{")
    with pytest.raises(MirrorError, match="has a damaged kayrros-mirror.json"):
        mirror.sync(kayrros, tanks.id)


@pytest.mark.parametrize(
    ("damage", "is_compacted"),
    [("garbage", False), ("truncated", False), ("missing", False), ("flipped", False), ("flipped", True)],
)
def test_damaged_month_is_named_and_rebuilt(
    fake: Platform, kayrros: Kayrros, mirror: Mirror, tanks: Dataset, tmp_path: Path, damage: str, is_compacted: bool
) -> None:
    """A damaged file is named. A repair fetches its month, finds what has changed, and leaves the history as it was."""
    mirror.sync(kayrros, tanks.id)
    start = now()
    if is_compacted:
        mirror.compact(now())
    before = rows(kayrros.results(tanks.id).table)
    fake.revise(tanks, {tank(tanks): {"2025-02-18": {FILL: 1.5}}})
    mirror.sync(kayrros, tanks.id)
    second, middle = now(), rows(kayrros.results(tanks.id).table)
    history = mirror.changes().to_pylist()
    for month in ("2024-05", "2025-02"):
        path = tmp_path / "lake" / "data" / f"dataset={tanks.id}" / f"month={month}" / "part-0.parquet"
        content = bytearray(path.read_bytes())
        content[60] ^= 4  # within a page
        path.write_bytes({"garbage": b"PAR1xxxxPAR1", "truncated": bytes(content[:900])}.get(damage, bytes(content)))
        if damage == "missing":
            path.unlink()
    fake.revise(tanks, {tank(tanks): {"2025-02-18": {FILL: 2.5}}})
    for use in (lambda: mirror.sync(kayrros, tanks.id), lambda: mirror.read(tanks.id)):
        with pytest.raises(
            MirrorError, match=r"lake has a damaged file, data/dataset=.*/part-0.parquet.*repair=True"
        ) as caught:
            use()
        assert caught.value.file
    report = mirror.sync(kayrros, tanks.id, repair=True)
    assert counts(report) == (0, 1, 0)
    assert rows(mirror.read(tanks.id).table) == rows(kayrros.results(tanks.id).table)
    assert mirror.changes().to_pylist()[:-1] == history
    assert rows(mirror.read(tanks.id, as_of=second).table) == middle
    if not is_compacted:
        assert rows(mirror.read(tanks.id, as_of=start).table) == before


def test_one_writer_at_a_time(kayrros: Kayrros, tanks: Dataset, tmp_path: Path) -> None:
    """A second sync of the same dataset fails with a message; one of another dataset does not."""
    mirror = Mirror(tmp_path / "lake", lock_timeout=0)
    mirror.sync(kayrros, tanks.id)
    with (
        mirror._store.lock(tanks.id),
        pytest.raises(MirrorError, match=f"is in use: another process writes the dataset {tanks.id}"),
    ):
        mirror.sync(kayrros, tanks.id)
    with mirror._store.lock("other"):
        mirror.sync(kayrros, tanks.id)


def test_old_history_is_dropped(fake: Platform, kayrros: Kayrros, mirror: Mirror, tanks: Dataset) -> None:
    """After `compact`, `as_of` works from that moment on, and says so before."""
    mirror.sync(kayrros, tanks.id)
    early, middle = now(), now()
    before = rows(kayrros.results(tanks.id).table)
    fake.revise(tanks, {tank(tanks): {"2025-02-18": {FILL: 1.5}}})
    mirror.sync(kayrros, tanks.id)
    assert mirror.compact(middle) == 1
    assert mirror.changes()["kind"].to_pylist() == ["changed"]
    assert rows(mirror.read(tanks.id, as_of=middle).table) == before
    with pytest.raises(UsageError, match="was dropped. Pass a later as_of"):
        mirror.read(tanks.id, as_of=early)
    assert counts(mirror.sync(kayrros, tanks.id)) == (0, 0, 0)


def test_commit_that_was_not_completed_is_readable(
    fake: Platform, kayrros: Kayrros, mirror: Mirror, tanks: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the list of a commit and its end, `read` and `changes` see all of it, and the next sync completes it."""
    mirror.sync(kayrros, tanks.id)
    before, start = rows(kayrros.results(tanks.id).table), now()
    fake.revise(tanks, {tank(tanks): {"2025-02-18": {FILL: 1.5}, "2025-01-07": {FILL: 1.5}, "2024-12-03": None}})
    move, moved = _store.Store._move, list[str]()

    def stop_after_one(store: _store.Store, name: str, target: str) -> None:
        if target.startswith("data"):
            moved.append(target)
            if len(moved) > 1:
                raise SystemExit
        move(store, name, target)

    with monkeypatch.context() as patch:
        patch.setattr(_store.Store, "_move", stop_after_one)
        with pytest.raises(SystemExit):
            mirror.sync(kayrros, tanks.id)
    assert rows(mirror.read(tanks.id).table) == rows(kayrros.results(tanks.id).table)
    assert rows(mirror.read(tanks.id, as_of=start).table) == before
    assert mirror.changes(since=start).num_rows == 4
    assert counts(mirror.sync(kayrros, tanks.id)) == (0, 0, 0)
    assert mirror.changes(since=start).num_rows == 4


@pytest.mark.parametrize("revisions", ["30", "x", -1, timedelta(days=-1), None, "9999999d"])
def test_wrong_window_is_refused(kayrros: Kayrros, mirror: Mirror, tanks: Dataset, revisions: Any) -> None:
    """The window is a timedelta, a number of days, or all; nothing is sent for anything else."""
    with pytest.raises(UsageError, match="revisions is"):
        mirror.sync(kayrros, tanks.id, revisions=revisions)


def test_files_say_what_they_are(kayrros: Kayrros, mirror: Mirror, tanks: Dataset, tmp_path: Path) -> None:
    """The metadata of each file of rows has the units, the attribution and the processing."""
    mirror.sync(kayrros, tanks.id)
    [path] = (tmp_path / "lake" / "data").rglob("month=2024-05/*.parquet")
    metadata = {name.decode(): text.decode() for name, text in pq.read_metadata(path).metadata.items()}
    assert json.loads(metadata["units"]) == {FILL: "%", "stored_volume_bbl": "bbl"}
    assert metadata["attribution"]
    assert metadata["dataset_id"] == tanks.id
    assert pq.ParquetFile(path).schema_arrow.equals(kayrros.results(tanks.id).table.schema)


def test_synced_revisions_reach_the_fake(fake: Platform, kayrros: Kayrros, tanks: Dataset) -> None:
    """`Platform.revise` changes, adds and removes values, dates and assets, with a new processing."""
    one, two = tank(tanks), tank(tanks, 1)
    before = kayrros.results(tanks.id)
    fake.revise(
        tanks, {one: {"2025-02-18": {FILL: 1.5, "stored_volume_bbl": None}}, two: None, "new": {"2024": {"a": 1}}}
    )
    after = kayrros.results(tanks.id)
    assert after.processing_id != before.processing_id
    assert after.table.num_rows == before.table.num_rows - 1 - 120 + 1
    assert kayrros.metadata(tanks.id).asset_count == 6
    with pytest.raises(UsageError, match="dataset is"):
        fake.revise("nothing", {})
