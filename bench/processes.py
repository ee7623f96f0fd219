"""Measure the seconds of a function, and the memory that it needs beyond what its process held before.

`measure` runs this module as `python -m bench.processes bench.reader:ours FILE SECONDS`.
"""

import gc
import importlib
import json
import subprocess
import sys
import time
from pathlib import Path

import attrs

ROOT = Path(__file__).parent.parent


@attrs.frozen
class Measurement:
    """Seconds of the fastest run, and bytes of memory that the first run needed beyond what the process held before."""

    seconds: float
    peak: int


def measure(function: str, path: Path, seconds: float) -> Measurement:
    """Measure a function (`module:name`) on the bytes of a file, in a new process."""
    command = [sys.executable, "-m", "bench.processes", function, str(path), str(seconds)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return Measurement(**json.loads(done.stdout))


def main() -> None:
    """Import the function, warm up on an empty response, run it, and print the measurement."""
    module, name = sys.argv[1].split(":")
    function = getattr(importlib.import_module(module), name)
    body = Path(sys.argv[2]).read_bytes()
    function(importlib.import_module(module).WARM_UP)
    before, peak, times = _reset_peak(), 0, list[float]()
    while not times or sum(times) + min(times) < float(sys.argv[3]):
        gc.collect()
        start = time.perf_counter()
        result = function(body)
        times.append(time.perf_counter() - start)
        peak = peak or _status("VmHWM") - before
        del result
    print(json.dumps({"seconds": min(times), "peak": peak}))


def peak() -> int:
    """Return the peak memory of this process in bytes (only on Linux)."""
    return _status("VmHWM")


def _reset_peak() -> int:
    """Reset the peak memory of this process, and return its memory in bytes (only on Linux)."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    main()
