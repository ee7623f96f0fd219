"""A sync that is killed, that finds the disk full, or that meets another one, loses no change and logs none twice."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from kayrros_ext import Mirror
from kayrros_ext.testing import Dataset, Platform

FILL = "fill_level_pct"
RUNS = 6
# A sync in a process of its own. It dies at the file operation with the number in KILL_AT, where that is set.
SYNC = """
import os, signal, sys
import kayrros_ext.mirror._store as store, kayrros_ext.mirror._sync as sync
from kayrros_ext import Kayrros, Mirror
sync.CHECKPOINT_ROWS = int(os.environ.get("CHECKPOINT_ROWS", sync.CHECKPOINT_ROWS))
left = int(os.environ.get("KILL_AT", 10**9))
def dying(function):
    def run(*arguments):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments)
    return run
for name in ("_move", "write", "stage", "delete"):
    setattr(store.Store, name, dying(getattr(store.Store, name)))
with Kayrros() as kayrros:
    report = Mirror(sys.argv[1], lock_timeout=float(sys.argv[3])).sync(kayrros, sys.argv[2], full=True)
print(report.added, report.changed, report.gone)
"""


@pytest.fixture
def platform() -> Platform:
    return Platform(max_rows=400)


@pytest.fixture
def served(platform: Platform) -> Iterator[dict[str, str]]:
    with platform.serve() as url:
        yield {**os.environ, **platform.environment(url)}


@pytest.fixture
def dataset(platform: Platform) -> Dataset:
    """Six tanks with 100 weekly dates, in 1,200 rows and 23 months, which come in several windows."""
    return platform.generate(assets=6, dates=100)


def start(
    folder: Path, dataset: Dataset, env: dict[str, str], wait: float = 30, **more: object
) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SYNC, str(folder), dataset.id, str(wait)]
    env = {**env, **{name: str(value) for name, value in more.items()}}
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def sync(folder: Path, dataset: Dataset, env: dict[str, str]) -> str:
    process = start(folder, dataset, env)
    out, err = process.communicate()
    assert process.returncode == 0, err
    return out


def revise(platform: Platform, dataset: Dataset, seed: int) -> None:
    """Change, add and remove some values."""
    draw = random.Random(seed)
    values: dict[str, Any] = {}
    for asset in dataset.payload()["assets"][:4]:
        old = [draw.choice(asset["results"])["value_date"] for _ in range(3)]
        choices = [None, {FILL: draw.random()}, {FILL: None}]
        values[asset["asset_id"]] = {
            **{date: draw.choice(choices) for date in old},
            f"2025-{1 + seed:02d}-03": {FILL: 1.0},
        }
    platform.revise(dataset, values)


def changes(mirror: Mirror) -> list[str]:
    return sorted(map(str, mirror.changes().drop_columns(["seen_at"]).to_pylist()))


def check_parquet(folder: Path) -> None:
    """Read each file of rows as any program does."""
    for path in (folder / "data").rglob("*.parquet"):
        assert pq.read_table(path, partitioning=None).num_rows


class Pair:
    """A mirror that is killed, and one that is not, of the same dataset in the same states."""

    def __init__(self, folder: Path, platform: Platform, dataset: Dataset, env: dict[str, str]) -> None:
        self.killed, self.calm, self.platform, self.dataset, self.env = (
            folder / "killed",
            folder / "calm",
            platform,
            dataset,
            env,
        )
        self.moments: list[tuple[datetime, datetime]] = []

    def end_run(self) -> None:
        """Complete the run of the one, run the other, and note the time."""
        sync(self.killed, self.dataset, self.env)
        moment = datetime.now(UTC) + timedelta(milliseconds=1)
        sync(self.calm, self.dataset, self.env)
        self.moments.append((moment, datetime.now(UTC) + timedelta(milliseconds=1)))

    def check(self) -> None:
        """Compare both, as they are and as of each run."""
        killed, calm, key = Mirror(self.killed), Mirror(self.calm), self.dataset.id
        with self.platform.connect(base_url=self.env["KAYRROS_BASE_URL"]) as kayrros:
            expected = kayrros.results(key, progress=False).table.to_pylist()
        assert killed.read(key).table.to_pylist() == calm.read(key).table.to_pylist() == expected
        for one, other in self.moments:
            assert killed.read(key, as_of=one).table.to_pylist() == calm.read(key, as_of=other).table.to_pylist()
        assert changes(killed) == changes(calm)
        assert not list((self.killed / ".kayrros" / "pending").iterdir())


@pytest.fixture
def pair(tmp_path: Path, platform: Platform, dataset: Dataset, served: dict[str, str]) -> Pair:
    return Pair(tmp_path, platform, dataset, served)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_sync_survives_60_kills_at_random_moments(pair: Pair) -> None:
    """Killed 60 times, the mirror is equal to one that was never killed, now and as of each run."""
    draw, kills = random.Random(2), 0
    for number in range(RUNS):
        revise(pair.platform, pair.dataset, number)
        begin = time.monotonic()
        process = start(pair.calm.with_name(f"probe{number}"), pair.dataset, pair.env)
        process.communicate()
        longest = time.monotonic() - begin
        while kills < 10 * (number + 1):
            process = start(pair.killed, pair.dataset, pair.env, CHECKPOINT_ROWS=150)
            try:
                process.wait(draw.uniform(0.3, 1.0) * longest)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                kills += 1
            process.communicate()
            if pair.killed.exists():
                check_parquet(pair.killed)
        pair.end_run()
    pair.check()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_sync_survives_a_kill_at_each_file_operation(pair: Pair) -> None:
    """Killed before each write, move and deletion in turn, the mirror is equal to one that was never killed."""
    for number in range(2):
        revise(pair.platform, pair.dataset, number)
        at, code = 0, -signal.SIGKILL
        while code == -signal.SIGKILL:
            process = start(pair.killed, pair.dataset, pair.env, KILL_AT=at, CHECKPOINT_ROWS=400)
            process.communicate()
            code, at = process.returncode, at + 1
            if pair.killed.exists():
                check_parquet(pair.killed)
        assert (code, at > 10) == (0, True)
        pair.end_run()
    pair.check()


def test_full_disk_leaves_the_mirror_as_it_was(
    platform: Platform, dataset: Dataset, served: dict[str, str], tmp_path: Path
) -> None:
    """When a file can't be written, the error says so, nothing has changed, and the next sync succeeds."""
    mirror = Mirror(folder := tmp_path / "lake")
    with platform.connect(base_url=served["KAYRROS_BASE_URL"]) as kayrros:
        mirror.sync(kayrros, dataset.id)
    before = mirror.read(dataset.id).table
    revise(platform, dataset, 1)
    limit = "sys.dont_write_bytecode = True; resource.setrlimit(resource.RLIMIT_FSIZE, (4000, -1))"
    code = f"import resource, sys; {limit}\n{SYNC}"
    command = [sys.executable, "-c", code, str(folder), dataset.id, "5"]
    run = subprocess.run(command, env=served, capture_output=True, text=True, check=False)
    assert "MirrorError" in run.stderr
    assert "can't be read or written (File too large). Raise the limit" in run.stderr
    assert mirror.read(dataset.id).table.equals(before)
    assert not list((folder / ".kayrros" / "pending").iterdir())
    with platform.connect(base_url=served["KAYRROS_BASE_URL"]) as kayrros:
        assert mirror.sync(kayrros, dataset.id, full=True).changed


def test_two_syncs_at_once_do_not_mix(
    platform: Platform, dataset: Dataset, served: dict[str, str], tmp_path: Path
) -> None:
    """Of two processes, one waits, or fails with a message; the mirror has each change once."""
    platform.latency_s = 0.1
    processes = [start(tmp_path / "lake", dataset, served, wait) for wait in (30, 30, 0)]
    outputs = [process.communicate() for process in processes]
    assert [process.returncode for process in processes][:2] == [0, 0]
    assert (
        sorted(out for out, _ in outputs[:2]) == ["0 0 0\n", f"{dataset.row_count} 0 0\n"]
        or "is in use" not in outputs[2][1]
    )
    assert Mirror(tmp_path / "lake").changes().num_rows == dataset.row_count
