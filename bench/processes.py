"""A measurement in a process of its own: seconds, and the memory it took above what the process held before.

Run by `measure`, as `python -m bench.processes bench.reader:ours FILE SECONDS`.
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
    """The best of the runs that fit into some seconds, and the peak of the first above what was held before it, in bytes."""

    seconds: float
    peak: int


def measure(function: str, path: Path, seconds: float) -> Measurement:
    """Measure a function of bytes (`module:name`) on a file's, in a new process."""
    command = [sys.executable, "-m", "bench.processes", function, str(path), str(seconds)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return Measurement(**json.loads(done.stdout))


def main() -> None:
    """Import, warm up on an empty answer, run, and print what was measured."""
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
    """The most that this process has held, in bytes (Linux alone tells)."""
    return _status("VmHWM")


def _reset_peak() -> int:
    """What the process holds now; its peak counts from here (Linux alone has that)."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    main()
