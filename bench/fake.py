"""The platform fake: how long a user's test with a first request takes."""

import json
import statistics
import subprocess
import sys
import time

from bench.processes import ROOT
from bench.reports import Claim, Report

TRIES = 7
METHOD = f"""\
In a fresh process, {TRIES} times: the imports, which a run of tests pays for once; then what each test with the fixtures
does: a fresh fake with a dataset, a client, its login and a first request; then a second test."""


def run() -> Report:
    """Return the medians of some processes."""
    command = [sys.executable, "-m", "bench.fake"]
    runs = [
        json.loads(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout)
        for _ in range(TRIES)
    ]
    names = ["imports", "first test, metadata", "second test, metadata", "first test, results"]
    median = {name: statistics.median(one[name] for one in runs) for name in names}
    rows = [[name, f"{median[name] * 1000:.1f} ms"] for name in names]
    claims = [Claim(f"{name}, ms", median[name] * 1000, most=50) for name in names[1:3]]
    return Report("The platform fake", METHOD, ["what", "time"], rows, claims)


def main() -> None:
    """Measure once and print the seconds as JSON."""
    begin = time.perf_counter()
    from kayrros_ext.testing import Platform

    Platform().connect().close()
    seconds = {"imports": time.perf_counter() - begin}
    for name in ("first test, metadata", "second test, metadata", "first test, results"):
        begin = time.perf_counter()
        platform = Platform()
        dataset = platform.generate(seed=1)
        with platform.connect() as kayrros:
            kayrros.metadata(dataset.id) if "metadata" in name else kayrros.results(dataset.id)
        seconds[name] = time.perf_counter() - begin
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
