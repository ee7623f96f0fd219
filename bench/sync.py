"""Measure a mirror: the first sync, one with nothing new, one with a revision, and reading as of a time 100 runs ago."""

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs

from bench.processes import ROOT, peak
from bench.reports import Claim, Report

# Rows of the large sync, and most rows of a response.
ROWS, AT_ONCE = 50_000_000, 1_000_000
LATENCY_S, RUNS = 1.0, 100
# The fastest try counts, because others may use the machine.
TRIES = 3
METHOD = f"""\
The data comes from the platform fake: 1,000 assets, two metrics, four dates a day. First {ROWS:,} rows are synced, in the
process of the fake; the peak memory includes both and Python. The next measurements are of 5,000,000 rows that a server on
loopback sends with {LATENCY_S:g} s of latency; the time of the requests is that of `iter_results` over the same range. Then
one date is revised. Finally, 24,000 rows are read as they were {RUNS} runs ago; each run has revised 10 values."""


def run() -> Report:
    """Run all measurements."""
    first = _in_process("first", ROWS)
    served = _in_process("served", 5_000_000)
    as_of = _in_process("as_of", RUNS)
    rows = [
        [
            f"first sync, {ROWS:,} rows",
            f"{ROWS / first['seconds']:,.0f} rows/s",
            f"{first['seconds']:.1f} s",
            f"{first['peak']:,} MB",
        ],
        ["nothing new in 90 days", f"{served['rows']:,} rows compared", f"{served['nothing']:.2f} s", ""],
        ["the requests of that alone", f"{served['requests']} requests", f"{served['read']:.2f} s", ""],
        ["a date revised", f"{served['files']} of {served['months']} months written", f"{served['revised']:.2f} s", ""],
        [f"read as of {RUNS} runs ago", f"{as_of['rows']:,} rows", f"{as_of['seconds']:.2f} s", ""],
    ]
    claims = [
        Claim("peak memory of the first sync, in GB", first["peak"] / 1000, most=1.2),
        Claim("time of a sync with nothing new, of that of its requests", served["nothing"] / served["read"], most=1.1),
        Claim("months written for a revision in one month", served["files"], most=1),
    ]
    return Report("A mirror", METHOD, ["case", "count", "time", "peak memory"], rows, claims)


def _in_process(way: str, size: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.sync", way, str(size)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def _first(rows: int) -> dict[str, Any]:
    from kayrros_ext import Mirror
    from kayrros_ext.testing import Platform

    platform = Platform(max_rows=AT_ONCE)
    dataset = platform.generate(assets=1000, dates=rows // 2000, every=timedelta(hours=6), start="1990-01-01")
    with platform.connect() as kayrros, tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        report = Mirror(folder).sync(kayrros, dataset.id, progress=False)
        seconds = time.perf_counter() - start
    if report.added != dataset.row_count:
        raise SystemExit(f"{report.added:,} of {dataset.row_count:,} rows came")
    return {"seconds": seconds, "peak": round(peak() / 1e6)}


def _serve(rows: int) -> None:
    """Serve the dataset until stdin has a line, which starts the revision, and a second one, which ends it."""
    from kayrros_ext.testing import Platform
    from kayrros_ext.testing.generation import GeneratedResults

    class Revised(GeneratedResults):
        """The same results with another value at one date."""

        def body(self, only: Any) -> Iterator[bytes]:
            pattern = re.compile(
                rb'("value_date":"2023-05-02T00:00:00Z","metrics":\[\{"name":"[a-z_]+","value":)[\d.]+'
            )
            return (pattern.sub(rb"\g<1>1.5", chunk) for chunk in super().body(only))

    platform = Platform(max_rows=AT_ONCE, latency_s=LATENCY_S)
    dataset = platform.generate(assets=1000, dates=rows // 2000, every=timedelta(hours=6), start="2021-09-15")
    with platform.serve() as url:
        print(json.dumps([platform.environment(url), dataset.id]), flush=True)
        input()
        dataset.source = Revised(**attrs.asdict(dataset.source, recurse=False))  # type: ignore[arg-type]
        print(flush=True)
        input()


def _served(rows: int) -> dict[str, Any]:
    from kayrros_ext import Kayrros, Mirror
    from kayrros_ext._results.fetch import MAX_SHIFT_MS

    command = [sys.executable, "-m", "bench.sync", "serve", str(rows)]
    server = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdin  # noqa: S101 - a pipe
    assert server.stdout  # noqa: S101 - a pipe
    variables, key = json.loads(server.stdout.readline())
    account = {name.removeprefix("KAYRROS_").lower(): value for name, value in variables.items()}
    with Kayrros(**account) as kayrros, tempfile.TemporaryDirectory() as folder, server:
        mirror = Mirror(folder)
        mirror.sync(kayrros, key, progress=False)
        last = kayrros.metadata(key).stop_date
        start_ms = last - 90 * 86_400_000 - MAX_SHIFT_MS  # type: ignore[operator]
        nothing, read, report = [], [], None
        for _ in range(TRIES):
            begin = time.perf_counter()
            report = mirror.sync(kayrros, key, progress=False)
            nothing.append(time.perf_counter() - begin)
            begin = time.perf_counter()
            for part in kayrros.iter_results(key, start=start_ms, progress=False):
                del part
            read.append(time.perf_counter() - begin)
        files = {path: path.stat().st_mtime_ns for path in Path(folder, "data").rglob("*.parquet")}
        server.stdin.write("\n")
        server.stdin.flush()
        server.stdout.readline()
        begin = time.perf_counter()
        revised = mirror.sync(kayrros, key, progress=False)
        seconds = time.perf_counter() - begin
        count = sum(path.stat().st_mtime_ns != before for path, before in files.items())
        server.stdin.write("\n")
    if not (report and report.unchanged and revised.changed == 1000):
        raise SystemExit(f"{revised.changed:,} of 1,000 values changed")
    measured = {"nothing": min(nothing), "read": min(read), "revised": seconds, "files": count, "months": len(files)}
    return {**measured, "rows": report.unchanged, "requests": report.requests}


def _as_of(runs: int) -> dict[str, Any]:
    from kayrros_ext import Mirror
    from kayrros_ext.testing import Platform

    platform = Platform()
    dataset = platform.generate(assets=100, dates=120)
    with platform.connect() as kayrros, tempfile.TemporaryDirectory() as folder:
        mirror = Mirror(folder)
        mirror.sync(kayrros, dataset.id)
        moment, before = datetime.now(UTC), kayrros.results(dataset.id).table
        for number in range(runs):
            values = {f"tank-{asset:06d}": {"2026-04-14": {"fill_level_pct": number}} for asset in range(10)}
            platform.revise(dataset, values)
            mirror.sync(kayrros, dataset.id)
        start = time.perf_counter()
        table = mirror.read(dataset.id, as_of=moment).table
        seconds = time.perf_counter() - start
    if table.to_pylist() != before.to_pylist():
        raise SystemExit("the rows are not those of that time")
    return {"seconds": seconds, "rows": table.num_rows}


def main() -> None:
    """Run one measurement, and print it as JSON."""
    way, size = sys.argv[1], int(sys.argv[2])
    if way == "serve":
        _serve(size)
    else:
        print(json.dumps({"first": _first, "served": _served, "as_of": _as_of}[way](size)))


if __name__ == "__main__":
    main()
