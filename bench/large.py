"""Measure requests, time and memory for datasets above the limit of the gateway."""

import json
import math
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from bench.processes import ROOT, peak
from bench.reports import Claim, Report

# Rows of the large export, and most rows of a response.
ROWS, AT_ONCE = 50_000_000, 1_000_000
LATENCY_S, WINDOWS, CONCURRENCY = 0.2, 64, 8
# The fastest try counts, because others may use the machine.
TRIES = 2
METHOD = f"""\
The data comes from the platform fake, in the process of the client. The first rows fetch N rows with a limit of L rows per
request. Then {WINDOWS} times the limit is fetched with {LATENCY_S} s of latency and a concurrency of {CONCURRENCY}, and
compared with the ideal in which all these requests run concurrently. Finally, {ROWS:,} rows are read and dropped, and
exported to Parquet, with {AT_ONCE:,} rows per response, each in its own process. Its peak memory includes Python and the
fake."""


def run() -> Report:
    """Run the three measurements."""
    rows, claims = [], []
    for ratio in (1, 10, 100, 1000):
        measured = _in_process("requests", ratio)
        bound = 2 * ratio + 2 * math.log2(ratio) + 4
        rows.append([f"N/L = {ratio:,}", f"{measured['requests']:,} requests", f"{measured['seconds']:.2f} s", ""])
        claims.append(Claim(f"requests for N/L = {ratio}", measured["requests"], most=bound))
    measured = min((_in_process("latency", WINDOWS) for _ in range(TRIES)), key=lambda one: one["seconds"])
    ideal = measured["requests"] / CONCURRENCY * LATENCY_S
    rows.append(["64 windows, 0.2 s each", f"{measured['requests']:,} requests", f"{measured['seconds']:.2f} s", ""])
    claims.append(Claim("wall time relative to the ideal", measured["seconds"] / ideal, most=1.3))
    fastest = {}
    for way in ("read", "export"):
        every = [_in_process(way, ROWS) for _ in range(TRIES)]
        fastest[way] = min(one["seconds"] for one in every)
        most = max(one["peak"] for one in every)
        rows.append(
            [f"{ROWS:,} rows, {way}", f"{ROWS / fastest[way]:,.0f} rows/s", f"{fastest[way]:.1f} s", f"{most:,} MB"]
        )
        if way == "export":
            claims.append(Claim("peak memory of the export, in GB", most / 1000, most=1.2))
    claims.append(Claim("throughput of the export relative to reading", fastest["read"] / fastest["export"], least=0.6))
    return Report("Large datasets", METHOD, ["case", "count", "time", "peak memory"], rows, claims)


def _in_process(way: str, size: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.large", way, str(size)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def _requests(ratio: int, **settings: Any) -> dict[str, Any]:
    from kayrros_ext.testing import Platform

    platform = Platform(**settings)
    dataset = platform.generate(assets=20, dates=1024)
    with platform.connect(concurrency=CONCURRENCY if settings else 4) as kayrros:
        kayrros.results(dataset.id)  # logs in and imports, which is not measured
        platform.max_rows = math.ceil(dataset.row_count / ratio)
        start = time.perf_counter()
        results = kayrros.results(dataset.id, progress=False)
        seconds = time.perf_counter() - start
    if results.table.num_rows != dataset.row_count:
        raise SystemExit(f"{results.table.num_rows:,} of {dataset.row_count:,} rows came")
    return {"requests": results.requests, "seconds": seconds}


def _large(way: str, rows: int) -> dict[str, Any]:
    from kayrros_ext.testing import Platform

    platform = Platform(max_rows=AT_ONCE)
    dataset = platform.generate(assets=1000, dates=rows // 2000, every=timedelta(hours=6))
    with platform.connect() as kayrros, tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        if way == "read":
            count = sum(part.table.num_rows for part in kayrros.iter_results(dataset.id, progress=False))
        else:
            import pyarrow.parquet as pq

            path = kayrros.export(dataset.id, Path(folder) / "all.parquet", progress=False)
            count = pq.read_metadata(path).num_rows
        seconds = time.perf_counter() - start
    if count != dataset.row_count:
        raise SystemExit(f"{count:,} of {dataset.row_count:,} rows came")
    return {"seconds": seconds, "peak": round(peak() / 1e6)}


def main() -> None:
    """Run one measurement, and print it as JSON."""
    way, size = sys.argv[1], int(sys.argv[2])
    if way in {"read", "export"}:
        print(json.dumps(_large(way, size)))
    else:
        print(json.dumps(_requests(size, **({"latency_s": LATENCY_S} if way == "latency" else {}))))


if __name__ == "__main__":
    main()
