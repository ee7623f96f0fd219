"""Results in processes that can't start threads: those whose main thread has ended, and those at their limit."""

import subprocess
import sys

import pytest

COMMON = """
import atexit, tempfile, threading
from pathlib import Path
import pyarrow.parquet
from kayrros_ext.testing import Platform

platform = Platform(sleep=lambda _: None)
dataset = platform.generate(assets=30, dates=100)
platform.max_rows = 3000


def fetch():
    with platform.connect() as kayrros, tempfile.TemporaryDirectory() as folder:
        path = kayrros.export(dataset.id, Path(folder) / "all.parquet")
        platform.max_rows = None
        results = kayrros.results(dataset.id)
        report = kayrros.export_many([dataset.id], folder, progress=False)
        rows = [results.table.num_rows, pyarrow.parquet.read_metadata(path).num_rows, report[0].rows]
        print(*rows, flush=True)
"""
WAYS = {
    "thread": """
def run():
    threading.main_thread().join()
    fetch()

threading.Thread(target=run).start()
""",
    "atexit": "atexit.register(fetch)",
    "started before": """
started = threading.Event()

def run():
    with platform.connect() as kayrros:
        parts = kayrros.iter_results(dataset.id)
        rows = next(parts).table.num_rows
        started.set()
        threading.main_thread().join()
        print(rows + sum(part.table.num_rows for part in parts), flush=True)
        fetch()

threading.Thread(target=run).start()
started.wait()
""",
    "no threads": """
def fail(self):
    raise RuntimeError("can't start new thread")

threading.Thread.start = fail
fetch()
""",
}


@pytest.mark.parametrize("way", list(WAYS))
def test_no_thread_is_needed(way: str) -> None:
    """The work is done in the calling thread, for one response and for windows, and nothing is written twice."""
    command = [sys.executable, "-c", COMMON + WAYS[way]]
    run = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert run.stderr == ""
    expected = "6000 6000 6000\n"
    assert run.stdout == ("6000\n" if way == "started before" else "") + expected
