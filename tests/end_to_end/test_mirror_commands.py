"""`kayrros sync`, `changes` and `sql`: a collection, its revisions, and queries of both."""

import gzip
import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow.parquet as pq
import pytest

from kayrros_ext import Mirror
from kayrros_ext.mirror._store import Store
from kayrros_ext.testing import Dataset, Fault, Platform, Request
from tests.support.command import Command, Inside
from tests.support.leaks import PASSWORD

RESULTS, FILL = "getDatasetResults", "fill_level_pct"


@pytest.fixture
def command() -> Iterator[Command]:
    """The command for an account that sees a collection of 6 datasets of 24 rows each."""
    platform = Platform()
    email = platform.add_account("canary@example.com", PASSWORD).email
    datasets = [platform.generate(seed=number, name=f"Tanks {number}", assets=3, dates=4) for number in range(6)]
    platform.add_collection("Oil storage", datasets, id="oil")
    with platform.serve() as url:
        environment = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES", "TERM"}}
        account = {"KAYRROS_EMAIL": email, "KAYRROS_PASSWORD": PASSWORD, "PYTHONWARNINGS": "error"}
        yield Command(platform, {**environment, **platform.environment(url), **account})


@pytest.fixture
def kayrros(command: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Inside:
    """The command, called in this process."""
    return Inside(command, monkeypatch, capsys)


@pytest.fixture
def dataset(command: Command) -> Dataset:
    return next(iter(command.platform.datasets.values()))


@pytest.fixture
def lake(tmp_path: Path) -> str:
    return str(tmp_path / "lake")


def test_collection_is_synced(kayrros: Inside, lake: str) -> None:
    """All datasets come, several at a time, with a line for each; without datasets, those of the mirror are synced."""
    platform = kayrros.command.platform
    result = kayrros("sync", "--collection", "Oil storage", lake)
    assert (result.returncode, result.stderr) == (0, "6 datasets: 6 done\n")
    header, *lines = result.stdout.splitlines()
    assert header.split()[:6] == ["dataset", "name", "added", "changed", "gone", "unchanged"]
    assert len(lines) == 6
    assert all(" 24 " in line and line.endswith("done") for line in lines)
    before = len(platform.requests)
    reports = kayrros.json("sync", lake)
    assert {(report["added"], report["unchanged"], report["status"]) for report in reports} == {(0, 24, "done")}
    assert [request.operation for request in platform.requests[before:]].count(RESULTS) == 6


def test_failed_datasets_do_not_stop_the_others(kayrros: Inside, lake: str) -> None:
    """One is refused and one has a gap: exit code 5, and the others are there. If all fail, it is 1."""
    platform = kayrros.command.platform
    refused, broken, *_ = platform.datasets
    platform.fail_when(lambda request: refused in request.path, 403)
    rule = platform.fail_when(lambda request: broken in request.path, 500, operation=RESULTS)
    result = kayrros("sync", "--collection", "Oil storage", lake)
    assert result.returncode == 5
    assert f"kayrros: Tanks 0 ({refused}): getDatasetMetadata: 127.0.0.1 answered 403" in result.stderr
    assert result.stderr.endswith("6 datasets: 2 failed, 4 done\n") or "4 done" in result.stderr
    platform.faults.remove(rule)
    assert kayrros("sync", refused, broken, lake).returncode == 5
    assert kayrros("sync", refused, lake).returncode == 1
    assert kayrros("sync", "nothing", lake).returncode == 4


def test_missing_part_is_fetched_by_the_next_sync(kayrros: Inside, dataset: Dataset, lake: str) -> None:
    """A part that stays unavailable at any size is named, with exit code 5; the next sync has it all."""
    kayrros("sync", dataset.id, lake)

    def days(request: Request) -> int:
        span = request.json["time_range"] if request.body else {"start_date": 0, "stop_date": 10**13}
        return int((span["stop_date"] - span["start_date"]) // 86_400_000)

    kayrros.command.platform.fail_when(lambda request: days(request) > 10, 504, operation=RESULTS)
    kayrros.command.platform.fail_when(lambda request: days(request) <= 10, 500, operation=RESULTS)
    result = kayrros("sync", dataset.id, lake)
    assert result.returncode == 5
    assert "Unavailable, and fetched by the next sync: " in result.stderr
    kayrros.command.platform.faults.clear()
    assert kayrros("sync", dataset.id, lake).returncode == 0


def test_changes_of_the_last_run(kayrros: Inside, dataset: Dataset, lake: str) -> None:
    """`changes` has what the last run of each dataset brought, as a table or JSON; with --exit-code, 10 if anything."""
    platform = kayrros.command.platform
    kayrros("sync", "--collection", "oil", lake)
    assert kayrros("changes", lake, "--exit-code").returncode == 10
    kayrros("sync", lake)
    result = kayrros("changes", lake, "--exit-code")
    assert (result.returncode, result.stdout.count("\n"), result.stderr) == (0, 1, "0 changes\n")
    rows = kayrros.json("results", dataset.id, "--metric", FILL, "--asset", "tank-000000")
    value = rows[1]["value"]
    platform.revise(dataset, {"tank-000000": {"2024-01-09": {FILL: 2.5}}})
    kayrros("sync", dataset.id[:6], lake)
    result = kayrros("changes", lake, "--exit-code")
    assert result.returncode == 10
    line = result.stdout.splitlines()[1].split()
    assert line[:8] == ["Tanks", "0", "tank-000000", "2024-01-09", FILL, "changed", str(value), "2.5"]
    [change] = kayrros.json("changes", lake)
    assert list(change) == ["dataset_id", "asset_id", "value_date", "metric", "kind", "old", "new", "seen_at"]
    assert change | {"seen_at": ""} == {
        "dataset_id": dataset.id,
        "asset_id": "tank-000000",
        "value_date": "2024-01-09T00:00:00Z",
        "metric": FILL,
        "kind": "changed",
        "old": value,
        "new": 2.5,
        "seen_at": "",
    }
    assert len(kayrros.json("changes", lake, "--since", "2020", dataset.id)) == 25
    assert kayrros("changes", lake, "--since", change["seen_at"], "--exit-code").returncode == 10
    assert "40 of 145" in kayrros.in_terminal("changes", lake, "--since", "2020").shown.splitlines()[-1]


def test_mirror_is_queried(kayrros: Inside, dataset: Dataset, lake: str) -> None:
    """The views have rows, assets and changes; the macro has the rows as they were known at a moment."""
    kayrros("sync", "--collection", "oil", lake)
    query = (
        "select dataset_id, asset_id, value_date, metric, unit, asset_name, asset_version, value from {} order by all"
    )
    before = kayrros("sql", lake, query.format("results")).stdout
    kayrros.command.platform.revise(
        dataset, {"tank-000000": {"2024-01-09": {FILL: 2.5}, "2024-01-02": None}, "new": {"2024-02-02": {FILL: 1}}}
    )
    kayrros("sync", lake)
    moment = kayrros.json("sql", lake, "select max(seen_at) as at from changes")[0]["at"]
    just_before = moment[:-1] + "Z"
    after = kayrros("sql", lake, query.format("results")).stdout
    assert before != after
    assert kayrros("sql", lake, query.format(f"results_as_of('{moment}')")).stdout == after
    earlier = f"results_as_of('{just_before}'::timestamptz - interval 1 millisecond)"
    assert kayrros("sql", lake, query.format(earlier)).stdout == before
    counts = kayrros.json("sql", lake, "select kind, count(*) as n from changes group by kind order by kind")
    assert counts == [{"kind": "added", "n": 145}, {"kind": "changed", "n": 1}, {"kind": "gone", "n": 2}]
    assert kayrros.json("sql", lake, "select count(*) as n from assets") == [{"n": 19}]
    assert kayrros.json("sql", lake, "select sum(1) as n, 'nan'::double as x") == [{"n": 1, "x": None}]
    shown = kayrros.in_terminal("sql", lake, "select asset_id, value from results order by all").shown
    assert "40 of 143 rows" in shown


def test_query_before_the_history_is_refused(kayrros: Inside, dataset: Dataset, lake: str) -> None:
    """What was known at a moment whose history was dropped is an error, and not what was known later."""
    kayrros("sync", dataset.id, lake)
    first = kayrros.json("sql", lake, "select max(seen_at) as at from changes")[0]["at"]
    kayrros.command.platform.revise(dataset, {"tank-000000": {"2024-01-09": {FILL: 2.5}}})
    kayrros("sync", lake)
    last = kayrros.json("sql", lake, "select max(seen_at) as at from changes")[0]["at"]
    Mirror(lake).compact(last)
    query = "select count(*) as n from results_as_of('{}')".format
    result = kayrros("sql", lake, query(first))
    assert (result.returncode, "was dropped" in result.stderr) == (2, True), result.stderr
    assert kayrros.json("sql", lake, query(last)) == [{"n": 24}]


def test_commit_that_was_not_completed_is_undone(
    kayrros: Inside, dataset: Dataset, lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When rows are in place and their history is not, results_as_of has the earlier ones."""
    kayrros("sync", dataset.id, lake)
    query = "select asset_id, metric, value from results_as_of('{}') order by all".format
    first = kayrros.json("sql", lake, "select max(seen_at) as at from changes")[0]["at"]
    before = kayrros.json("sql", lake, query(first))
    kayrros.command.platform.revise(dataset, {"tank-000000": {"2024-01-09": {FILL: 2.5}}})
    move = Store._move

    def fail(store: Store, name: str, target: str) -> None:
        if target.startswith("history"):
            raise OSError
        move(store, name, target)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "_move", fail)
        assert kayrros("sync", lake).returncode == 1
    assert kayrros.json("sql", lake, "select count(*) as n from results where value = 2.5") == [{"n": 1}]
    assert kayrros.json("sql", lake, query(first)) == before
    kayrros("sync", lake)
    assert kayrros.json("sql", lake, query(first)) == before


def test_mirror_in_a_hive_partition_is_queried(kayrros: Inside, dataset: Dataset, tmp_path: Path) -> None:
    """The names of folders above the mirror are no values of its columns."""
    lake = str(tmp_path / "dataset=x" / "month=y")
    kayrros("sync", dataset.id, lake)
    listed = kayrros.json("sql", lake, "select distinct dataset_id as id, month from results")
    assert listed == [{"id": str(dataset.id), "month": "2024-01"}]
    assert kayrros.json("sql", lake, "select distinct dataset_id as id from changes") == [{"id": str(dataset.id)}]


def test_query_is_written_to_a_file(kayrros: Inside, lake: str, tmp_path: Path) -> None:
    """Each format of an export holds the rows of a query."""
    kayrros("sync", "--collection", "oil", lake)

    def write(suffix: str, query: str = "from results order by all limit 3") -> Path:
        result = kayrros("sql", lake, query, "-o", tmp_path / f"out{suffix}")
        assert (result.returncode, result.stdout) == (0, f"{tmp_path}/out{suffix}\n"), result.stderr
        return tmp_path / f"out{suffix}"

    assert pq.read_table(write(".parquet")).num_rows == 3
    assert pq.read_table(write(".geoparquet")).column_names[-1] == "geometry"
    lines = write(".csv").read_text().splitlines()
    assert lines[0].startswith("dataset_id,asset_id,asset_name")
    assert gzip.decompress(write(".csv.gz").read_bytes()).decode().splitlines() == lines
    rows: Any = json.loads(write(".json").read_text())
    assert rows[0]["asset_categories"]
    assert [json.loads(line) for line in write(".ndjson").read_text().splitlines()] == rows
    assert len(json.loads(write(".geojson").read_text())["features"]) == 3
    book = openpyxl.load_workbook(
        write(".xlsx", "select metric, max(seen_at) as at, ['a'] as l from changes group by metric")
    )
    assert [cell.value for cell in book.active[1]] == ["metric", "at", "l"]
    result = kayrros("sql", lake, "select 1 as a", "-o", tmp_path / "no.geojson")
    assert (result.returncode, (tmp_path / "no.geojson").exists()) == (2, False)


def test_wrong_calls_are_explained(kayrros: Inside, lake: str, tmp_path: Path) -> None:
    """Each message says what to do."""
    (tmp_path / "notes.txt").touch()
    for arguments, code, message in [
        (("sync", lake), 1, "is not a mirror. `kayrros sync` makes one."),
        (("sync", "--collection", "oil", tmp_path), 1, "is not a mirror, and not empty. Choose an empty folder"),
        (("sync", "x", lake, "--revisions", "30"), 2, "revisions is '30'. Write --revisions 30d, or all."),
        (("changes", lake), 1, "is not a mirror. `kayrros sync` makes one."),
        (("sql", lake, "from results"), 1, "is not a mirror."),
        (("sync", "Tanks 0", "foo://x"), 2, "foo://x can't be opened"),
    ]:
        result = kayrros(*arguments)
        assert (result.returncode, message in result.stderr) == (code, True), result.stderr
    kayrros("sync", "Tanks 0", lake)
    for since in ("", "yesterday"):
        result = kayrros("changes", lake, "--since", since)
        assert (result.returncode, "Write --since like 2024-01-31" in result.stderr) == (2, True), result.stderr
    for query, message in [("from nothing", "Table with name nothing does not exist"), ("", "has no rows")]:
        result = kayrros("sql", lake, query)
        assert (result.returncode, message in result.stderr) == (2, True), result.stderr


def test_damaged_month_is_repaired(kayrros: Inside, dataset: Dataset, lake: str) -> None:
    """The message names the file and the option that rebuilds it."""
    kayrros("sync", dataset.id, lake)
    [path] = Path(lake).rglob("part-0.parquet")
    path.write_bytes(b"damage")
    result = kayrros("sync", dataset.id, lake)
    assert result.returncode == 1
    assert f"Rebuild it with `kayrros sync --repair DATASET {lake}`" in result.stderr
    result = kayrros("sync", "--repair", lake)
    assert (result.returncode, pq.read_table(path, partitioning=None).num_rows) == (0, 24)
    assert "is damaged. It is rebuilt." in result.stderr


def test_ctrl_c_leaves_a_mirror_that_the_next_run_completes(
    command: Command, kayrros: Inside, dataset: Dataset, lake: str
) -> None:
    """Ctrl-C ends the command at once, while a response is awaited, with 130; the next run has everything."""
    came = threading.Event()

    def arrives(request: Request) -> bool:
        came.set()
        return True

    command.platform.fail_when(arrives, Fault.late(60), operation=RESULTS)
    process = command.start("sync", dataset.id, lake)
    assert came.wait(30)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err.strip()) == (130, "kayrros: interrupted")
    command.platform.faults.clear()
    assert kayrros("sync", dataset.id, lake).returncode == 0
    assert pq.read_table(Path(lake) / "data").num_rows == 24
