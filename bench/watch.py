"""Measure how soon `make watch` responds to a save."""

import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.reports import Claim, Report
from tests.support import checkout as copies
from tests.support.checkout import FIELD, PYTHON, copy_checkout, edit, environment

SAVES = 3
# Text of the lines, in their order, and their meaning.
LINES = {
    "saved": "saved",
    "compatible: field `nickname`": "what changed for a user",
    "mock ready": "client and mock are updated",
}
METHOD = f"""\
Seconds from a save of openapi.yaml with a new field to the lines of `make watch`: the median of {SAVES} saves. The contract
tests of the changed operations run after that, and are not measured."""


def run() -> Report:
    """Measure on a copy of the checkout."""
    with tempfile.TemporaryDirectory() as folder:
        checkout = copy_checkout(Path(folder) / "checkout")
        copies.run(checkout, PYTHON, "scripts/generate.py").check_returncode()
        shutil.rmtree(checkout / "tests")  # so that the tests stop at once
        every = list(_saves(checkout))
    median = {held: statistics.median(one[held] for one in every) for held in LINES}
    first, told, _ = median.values()
    return Report(
        "The watch loop",
        METHOD,
        ["line", "seconds"],
        [[says, f"{median[held]:.1f}"] for held, says in LINES.items()],
        [Claim("seconds to the first line", first, most=3), Claim("seconds to the changes", told, most=3)],
    )


def _saves(checkout: Path) -> Iterator[dict[str, float]]:
    """Yield the seconds to each line, for each save."""
    spec = checkout / "openapi.yaml"
    command = [PYTHON, "-u", "-m", "scripts.watch", "--port", "0"]
    with subprocess.Popen(
        command, cwd=checkout, env=environment(checkout), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:

        def until(held: str) -> None:
            if not any(held in line for line in process.stdout or ()):
                raise SystemExit(f"make watch ended without a line that holds {held!r}")

        try:
            until("watching")
            for _ in range(SAVES):
                begin, seconds = time.perf_counter(), dict[str, float]()
                before = edit(spec, FIELD)
                for held in LINES:
                    until(held)
                    seconds[held] = time.perf_counter() - begin
                yield seconds
                until("tests stopped")
                spec.write_text(before, "utf-8")
                until("tests stopped")
        finally:
            process.terminate()
