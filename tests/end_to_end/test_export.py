"""`kayrros export`: a collection on real sockets, under faults, with Ctrl-C, and on a full disk."""

import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from kayrros_ext.testing import Fault, Platform, Request
from tests.support.command import KAYRROS, Command, Inside
from tests.support.leaks import PASSWORD

RESULTS = "getDatasetResults"


@pytest.fixture
def kayrros() -> Iterator[Command]:
    """The command as a process, for an account that sees a collection of 20 datasets of 24 rows each."""
    platform = Platform()
    email = platform.add_account("canary@example.com", PASSWORD).email
    datasets = [
        platform.generate(seed=number, name=f"Tanks {number}", assets=3, dates=4, metrics=2) for number in range(20)
    ]
    platform.add_collection("Oil storage", datasets, id="oil")
    with platform.serve() as url:
        environment = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES", "TERM"}}
        account = {"KAYRROS_EMAIL": email, "KAYRROS_PASSWORD": PASSWORD, "PYTHONWARNINGS": "error"}
        yield Command(platform, {**environment, **platform.environment(url), **account})


@pytest.fixture
def inside(kayrros: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Inside:
    """The same command, called in this process."""
    return Inside(kayrros, monkeypatch, capsys)


def files(folder: Path) -> list[Path]:
    """Return the files of datasets. There are no hidden ones, such as the lock."""
    assert not list(folder.glob(".*"))
    return sorted(folder.glob("Tanks*"))


def test_a_collection_under_faults_is_exported_but_for_what_is_refused(inside: Inside, tmp_path: Path) -> None:
    """Large datasets come in windows, one is refused: exit code 5 and its name. The next run requests that one alone."""
    platform, lake = inside.command.platform, tmp_path / "lake"
    ids = [*platform.datasets]
    platform.fail_when(lambda request: ids[3] in request.path, 403)
    large = {dataset_id for dataset_id in ids if int(dataset_id[0], 16) % 2}
    assert large

    def is_large(request: Request) -> bool:
        return request.path.rpartition("/")[2] in large and not (request.body and request.json.get("time_range"))

    platform.fail_when(is_large, 504, operation=RESULTS)
    platform.fail_at_random(Fault.cut(after=100), probability=0.1, seed=1, operation=RESULTS)
    done = inside("export", "oil", "-o", lake)
    assert done.returncode == 5, done.stderr
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["dataset", "name", "rows", "file", "status"]
    assert [row.split()[0] for row in rows] == ids
    assert rows[3].split() == [ids[3], "Tanks", "3", "failed"]
    assert rows[0].split() == [ids[0], "Tanks", "0", "24", "Tanks", f"0-{ids[0][:8]}.parquet", "written"]
    *_, failed, summary = done.stderr.splitlines()
    assert failed.startswith(f"kayrros: Tanks 3 ({ids[3]}): getDatasetMetadata: 127.0.0.1 answered 403")
    assert summary == f"20 datasets: 19 written to {lake}, 1 failed"
    assert "was not exported" not in done.stderr  # the log
    assert [pq.read_table(path).num_rows for path in files(lake)] == [24] * 19
    platform.requests.clear()
    again = inside("export", "oil", "-o", lake, "--skip-existing", "--json")
    assert again.returncode == 5
    assert [row["status"] for row in json.loads(again.stdout)].count("unchanged") == 19
    assert RESULTS not in {request.operation for request in platform.requests}
    platform.faults.clear()
    platform.requests.clear()
    last = inside("export", "oil", "-o", lake, "--skip-existing", "-q")
    assert (last.returncode, last.stderr) == (0, "")
    assert [request.path.rpartition("/")[2] for request in platform.requests if request.operation == RESULTS] == [
        ids[3]
    ]
    assert len(files(lake)) == 20


def test_datasets_are_those_of_collections_and_single_ones(inside: Inside, tmp_path: Path) -> None:
    """--all is all that the account sees, and goes alone. Without any of them, nothing is sent."""
    platform = inside.command.platform
    ids = [*platform.datasets]
    platform.add_collection("Others", ids[:2], id="others")
    for arguments, expected in (
        (["others", "--dataset", "Tanks 7"], [*ids[:2], ids[7]]),
        (["--dataset", ids[5], "--dataset", ids[6], "--from", "2024"], ids[5:7]),
        (["others", "Oil storage"], ids),
        (["--all"], ids),
    ):
        report = inside.json("export", *arguments, "-o", tmp_path)
        assert [row["dataset"] for row in report] == expected
        assert all(Path(row["file"]).is_file() for row in report)
    platform.requests.clear()
    for arguments, problem in (([], "nothing to export"), (["oil", "--all"], "can't be combined")):
        refused = inside("export", *arguments, "-o", tmp_path)
        assert (refused.returncode, platform.requests) == (2, [])
        assert problem in refused.stderr
    lake = tmp_path / "lake"
    for options, output, problem in (
        (["--format", "nope"], lake, "no known suffix"),
        ([], tmp_path / "x.parquet", "the name of a file"),
        (["--from", "2024-13"], lake, "is not an ISO 8601 date"),
        (["--metric", ""], lake, "metric contains ''"),
    ):
        refused = inside("export", "Oil", *options, "-o", output)
        assert (refused.returncode, platform.requests) == (2, []), refused.stderr
        assert problem in refused.stderr
    assert not lake.exists()
    missing = inside("export", "Oil storge", "-o", tmp_path / "x")
    assert missing.returncode == 4
    assert "'Oil storage'" in missing.stderr
    assert "use --dataset" in missing.stderr
    assert not (tmp_path / "x").exists()


def test_nothing_but_failures_is_1(inside: Inside, tmp_path: Path) -> None:
    """A cron job that checks for 5 does not take it for a success in part."""
    platform = inside.command.platform
    platform.fail_next(403, times=None, operation="getDatasetMetadata")
    done = inside("export", "oil", "-o", tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "20 datasets: 20 failed"
    [first, *_] = platform.datasets
    assert f"kayrros: {first}: getDatasetMetadata" in inside("export", "--dataset", first, "-o", tmp_path).stderr


def test_the_table_fits_a_terminal_and_the_bar_leaves_nothing(
    inside: Inside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Id and name are omitted, because the file has both. The last line has the directory."""
    monkeypatch.chdir(tmp_path)
    done = inside.in_terminal("export", "oil", "-o", "lake/", columns=45, NO_COLOR="1")
    assert done.code == 0
    lines = re.sub(r"\x1b\[[?\d;]*[a-zA-Z]", "", done.shown).splitlines()
    head = next(line for line in lines if line.startswith("rows"))
    assert head.split() == ["rows", "file", "status"]
    rows = [line for line in lines if line.endswith("written")]
    assert len(rows) == 20
    assert "…" not in rows[0]
    assert lines[-1] == "20 datasets: 20 written to lake/"
    assert max(map(len, rows)) <= 45


def test_ctrl_c_keeps_complete_files_and_no_others(kayrros: Command, inside: Inside, tmp_path: Path) -> None:
    """It ends at once while all requests hang, and --skip-existing continues."""
    platform, hanging = kayrros.platform, threading.Semaphore(0)
    done = [*platform.datasets][:9]

    def is_late(request: Request) -> bool:
        if request.path.rpartition("/")[2] in done:
            return False
        hanging.release()
        return True

    rule = platform.fail_when(is_late, Fault.late(30), operation=RESULTS)
    process = kayrros.start("export", "oil", "-o", tmp_path)
    for _ in range(4):  # all slots
        assert hanging.acquire(timeout=60)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=10)
    assert (process.returncode, stdout) == (130, "")
    assert len(files(tmp_path)) == 9
    assert stderr.splitlines()[0].endswith("With --skip-existing, this command skips them.")
    assert stderr.splitlines()[-1] == "kayrros: interrupted"
    platform.faults.remove(rule)
    report = inside.json("export", "oil", "-o", tmp_path, "--skip-existing")
    assert [row["status"] for row in report] == ["unchanged"] * 9 + ["written"] * 11


def test_a_file_beyond_the_limit_fails_alone(kayrros: Command, tmp_path: Path) -> None:
    """`ulimit -f` concerns the large dataset, and the others are written."""
    large = kayrros.platform.generate(name="Large", assets=100, dates=40)
    kayrros.platform.add_collection("All", [*list(kayrros.platform.datasets)[:3], large.id], id="all")
    script = f"ulimit -f 40; PYTHONDONTWRITEBYTECODE=1 {KAYRROS} export all --format csv -o {tmp_path}"
    done = subprocess.run(["bash", "-c", script], env=kayrros.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 5, done.stderr
    assert "Large" in done.stderr
    assert "(File too large)" in done.stderr
    assert len(files(tmp_path)) == 3
