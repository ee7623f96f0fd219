"""Measure Dask: four workers against one, a platform that limits requests, and the memory of a worker."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from bench.processes import ROOT, _status
from bench.reports import Claim, Report

PYTHON = ROOT / ".venv" / "cluster" / "bin" / "python"
LATENCY_S, WORKERS, PER_SECOND = 0.2, 4, 5
# The fastest try counts, because others may use the machine.
TRIES = 3
ROWS = 20_000_000
# By month. Most of the time of a small partition is latency, and of a large one is work.
SIZES: dict[str, dict[str, Any]] = {
    "small partitions": {"assets": 10, "dates": 10 * 365, "every_h": 24, "stop": "2029-12"},
    "large partitions": {"assets": 1000, "dates": 20 * 30, "every_h": 24, "stop": "2021-08"},
}
METHOD = f"""\
The fake runs in a process of its own on this machine and answers after {LATENCY_S:g} s. A LocalCluster has {WORKERS} worker
processes with a thread each, or one. Both read the same frame in turn, {TRIES} times, and the rows are compared, value for
value, with those that one process reads without Dask. The small partitions have about 600 rows, so that a request is mostly
latency. The large ones have 60,000: this machine's cores are then the limit, and not the platform, so no claim is made.
Then the platform refuses more than {PER_SECOND} requests a second; most of the time beyond the best is random backoff.
Finally, {ROWS:,} rows pass through one worker, by month; its memory is taken after each partition, early (the second tenth
of them) and late (the last tenth)."""


def run() -> Report:
    """Run all measurements in the environment of the tests with Dask."""
    done = subprocess.run([PYTHON, "-m", "bench.cluster"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    it: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    rows = [
        [
            f"{name}: {it[name]['partitions']} partitions, {it[name]['rows']:,} rows",
            f"{it[name]['one']:.1f} s with 1 worker, {it[name]['four']:.1f} s with {WORKERS}",
            f"{it[name]['one'] / it[name]['four']:.2f} times as fast",
        ]
        for name in SIZES
    ]
    storm, memory = it["storm"], it["memory"]
    rows += [
        [
            f"at most {PER_SECOND} requests/s: {storm['sent']} requests for {storm['partitions']} partitions",
            f"{storm['seconds']:.1f} s, {storm['ideal']:.1f} s at best",
            f"{storm['refused']} refused",
        ],
        [
            f"{memory['rows']:,} rows through a worker, {memory['partitions']} partitions",
            f"{memory['seconds']:.0f} s, {memory['cpu'] / memory['rows'] * 1e6:.2f} s of the worker's CPU per million rows",
            f"{memory['early']:.0f} MB early, {memory['late']:.0f} MB late",
        ],
        [
            "a row",
            f"{it['wire']:.0f} bytes of JSON, {it['gzip']:.0f} with gzip",
            f"{it['pandas']:.0f} bytes in a partition, {it['mirror']:.1f} in a mirror",
        ],
        ["a partition without rows", f"{it['overhead'] * 1000:.0f} ms besides the latency", ""],
    ]
    small = it["small partitions"]
    claims = [
        Claim(f"times as fast with {WORKERS} workers, small partitions", small["one"] / small["four"], least=3.2),
        Claim("logins of a cluster", max(it[name]["logins"] for name in SIZES), most=1),
        Claim("memory of a worker, late of early", memory["late"] / memory["early"], most=1.15),
    ]
    return Report("A cluster", METHOD, ["case", "time", "result"], rows, claims)


@contextmanager
def served(**settings: Any) -> Iterator[tuple[str, Any]]:
    """Serve a dataset from a process of its own; yield its id, and a function that returns logins, requests and refusals."""
    import os

    command = [sys.executable, "-m", "bench.cluster", "serve", json.dumps(settings)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin  # noqa: S101 - a pipe
        assert server.stdout  # noqa: S101 - a pipe
        variables, key = json.loads(server.stdout.readline())
        os.environ.update(variables)

        def counts() -> list[int]:
            assert server.stdin  # noqa: S101 - a pipe
            assert server.stdout  # noqa: S101 - a pipe
            server.stdin.write("\n")
            server.stdin.flush()
            numbers: list[int] = json.loads(server.stdout.readline())
            return numbers

        try:
            yield key, counts
        finally:
            server.stdin.close()


def serve(assets: int, dates: int, every_h: int, **settings: Any) -> None:
    """Serve a dataset, and print the counts since the last line, for each line that comes."""
    from kayrros_ext.testing import Platform

    platform = Platform(**settings)
    dataset = platform.generate(assets=assets, dates=dates, every=timedelta(hours=every_h), start="2020-01-01")
    with platform.serve() as url:
        print(json.dumps([platform.environment(url), dataset.id]), flush=True)
        for _ in sys.stdin:
            requests, platform.requests = platform.requests, []
            statuses = [request.status for request in requests if request.operation == "getDatasetResults"]
            print(json.dumps([platform.logins, len(statuses), statuses.count(429)]), flush=True)
            platform.logins = 0


@contextmanager
def cluster(workers: int) -> Iterator[Any]:
    """Start a cluster, whose workers have loaded everything."""
    import distributed

    with (
        distributed.LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as local,
        distributed.Client(local) as client,
    ):
        client.run(__import__, "kayrros_ext.dask")
        yield client


def speed(stop: str, **size: Any) -> dict[str, Any]:
    """Read the same frame with four workers and with one, and compare it with the rows of one process."""
    import pandas as pd

    from kayrros_ext import Kayrros
    from kayrros_ext.dask import read_results

    with served(latency_s=LATENCY_S, **size) as (key, counts):
        period: dict[str, Any] = {"start": "2020-01", "stop": stop}
        frame, logins = read_results(key, **period, token_from="scheduler"), 0
        times: dict[int, list[float]] = {WORKERS: [], 1: []}
        for workers in [WORKERS, 1] * TRIES:
            with cluster(workers):
                begin = time.perf_counter()
                rows = frame.compute()
                times[workers].append(time.perf_counter() - begin)
                logins = max(logins, counts()[0])
        with Kayrros() as kayrros:
            expected = kayrros.results(key, **period, progress=False).to_pandas()
    order = ["asset_id", "value_date", "metric"]
    expected["value_date"] = expected["value_date"].dt.tz_localize("UTC")
    expected = expected.astype({name: rows[name].dtype for name in expected}).sort_values(order, ignore_index=True)
    pd.testing.assert_frame_equal(rows[list(expected)].sort_values(order, ignore_index=True), expected)
    four, one = map(min, times.values())
    return {"one": one, "four": four, "rows": len(rows), "partitions": frame.npartitions, "logins": logins}


def storm() -> dict[str, Any]:
    """Read from a platform that limits requests."""
    from kayrros_ext.dask import read_results

    with (
        served(assets=10, dates=1461, every_h=24, max_requests_per_second=PER_SECOND, latency_s=0.05) as (key, counts),
        cluster(WORKERS),
    ):
        frame = read_results(key, start="2020-01", stop="2023-12", token_from="scheduler")
        begin = time.perf_counter()
        rows = len(frame.compute())
        seconds = time.perf_counter() - begin
        _, sent, refused = counts()
    if rows != 10 * 1461 * 2:
        raise SystemExit(f"{rows:,} rows came")
    best = (frame.npartitions - PER_SECOND) / PER_SECOND
    return {"seconds": seconds, "ideal": best, "sent": sent, "refused": refused, "partitions": frame.npartitions}


def memory() -> dict[str, Any]:
    """Let 20 million rows pass through one worker, and take its memory after each partition."""
    import pandas as pd

    from kayrros_ext.dask import read_results

    with served(assets=1000, dates=ROWS // 2000, every_h=6) as (key, _), cluster(1) as client:
        frame = read_results(key, start="2020-01", stop="2026-12", token_from="scheduler")
        meta = pd.DataFrame({"rows": [0], "rss": [0]})
        [before] = client.run(time.process_time).values()
        begin = time.perf_counter()
        taken = frame.map_partitions(probe, meta=meta).compute()
        seconds = time.perf_counter() - begin
        [after] = client.run(time.process_time).values()
    taken = taken[taken["rows"] > 0]
    rss, tenth = taken["rss"] / 1e6, len(taken) // 10
    early, late = rss[tenth : 2 * tenth].mean(), rss[-tenth:].mean()
    cpu = after - before
    rows = int(taken["rows"].sum())
    return {"rows": rows, "partitions": len(taken), "early": early, "late": late, "seconds": seconds, "cpu": cpu}


def probe(part: Any) -> Any:
    """Return the rows of a partition, and the memory of its worker."""
    import pandas as pd

    return pd.DataFrame({"rows": [len(part)], "rss": [_status("VmRSS")]})


def constants() -> dict[str, float]:
    """Return the bytes of a row in each form, and the seconds of a partition without rows besides the latency."""
    import gzip

    from kayrros_ext import Mirror
    from kayrros_ext.dask import read_results
    from kayrros_ext.testing import Platform
    from kayrros_ext.testing.datasets import EVERYTHING

    platform = Platform()
    dataset = platform.generate(assets=1000, dates=500, every=timedelta(days=1), start="2020-01-01")
    rows, body = dataset.row_count, b"".join(dataset.source.body(EVERYTHING))  # type: ignore[union-attr]
    with platform.connect() as kayrros, tempfile.TemporaryDirectory() as folder:
        Mirror(folder).sync(kayrros, dataset.id, progress=False)
        stored = sum(path.stat().st_size for path in Path(folder, "data").rglob("*.parquet"))
    with served(assets=10, dates=10, every_h=24, latency_s=LATENCY_S) as (key, _), cluster(1):
        read_results(key, token_from="scheduler").compute()
        frame = read_results(key, start="2021-01", stop="2022-12", token_from="scheduler")
        begin = time.perf_counter()
        frame.compute()
        overhead = (time.perf_counter() - begin) / frame.npartitions - LATENCY_S
        part = read_results(key, token_from="scheduler").compute()
    sizes = {"wire": len(body), "gzip": len(gzip.compress(body, 6)), "mirror": stored}
    pandas = part.memory_usage(deep=True).sum() / len(part)
    return {name: size / rows for name, size in sizes.items()} | {"overhead": overhead, "pandas": float(pandas)}


def main() -> None:
    """Serve, or run all measurements and print them as JSON."""
    if len(sys.argv) > 1:
        serve(**json.loads(sys.argv[2]))
        return
    measured: dict[str, Any] = {name: speed(**size) for name, size in SIZES.items()}
    print(json.dumps({**measured, "storm": storm(), "memory": memory(), **constants()}))


if __name__ == "__main__":
    main()
