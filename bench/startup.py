"""Measure the startup time of the command, compared with an import of httpx."""

import subprocess
import sys
import time
from pathlib import Path

from bench.reports import Claim, Report

RUNS = 15
KAYRROS = Path(sys.executable).with_name("kayrros")
COMMANDS: dict[str, list[str]] = {
    'python -c "pass"': [sys.executable, "-c", "pass"],
    'python -c "import httpx"': [sys.executable, "-c", "import httpx"],
    "kayrros --help": [str(KAYRROS), "--help"],
    "kayrros results --help": [str(KAYRROS), "results", "--help"],
}


def run() -> Report:
    """Run the commands in turn, so that a slow moment of the machine affects all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(RUNS):
        for name, command in COMMANDS.items():
            begin = time.perf_counter()
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
            seconds[name].append(time.perf_counter() - begin)
    best = {name: min(times) for name, times in seconds.items()}
    httpx = best['python -c "import httpx"']
    ratio = best["kayrros --help"] / httpx
    return Report(
        "Startup of the command",
        f"Whole processes, the best of {RUNS} runs, with the commands in turn.",
        ["command", "seconds", "relative to httpx"],
        [[f"`{name}`", f"{found:.3f}", f"{found / httpx:.2f}"] for name, found in best.items()],
        [Claim("time of `kayrros --help` relative to `import httpx`", ratio, most=1.5)],
    )
