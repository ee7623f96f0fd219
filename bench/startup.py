"""Measure whole processes: the help of the command, and a script that logs in and reads results."""

import subprocess
import sys
import time
from pathlib import Path

from bench.reports import Claim, Report
from kayrros_ext.testing import Platform

RUNS = 15
KAYRROS = Path(sys.executable).with_name("kayrros")
IMPORTS = [sys.executable, "-c", "import httpx, pyarrow"]
SCRIPT = """
import sys
from kayrros_ext import Kayrros

url, email, password, dataset_id = sys.argv[1:]
with Kayrros(email=email, password=password, base_url=url, auth_url=url) as kayrros:
    print(kayrros.results(dataset_id))
assert "pandas" not in sys.modules
"""


def run() -> Report:
    """Run the commands in turn, so that a slow moment of the machine affects all of them."""
    platform = Platform()
    dataset = platform.generate(seed=1, assets=6, dates=12)
    account = platform.account
    with platform.serve() as url:
        commands = {
            'python -c "pass"': [sys.executable, "-c", "pass"],
            'python -c "import httpx"': [sys.executable, "-c", "import httpx"],
            "kayrros --help": [str(KAYRROS), "--help"],
            "kayrros results --help": [str(KAYRROS), "results", "--help"],
            'python -c "import httpx, pyarrow"': IMPORTS,
            "a script with 144 rows": [sys.executable, "-c", SCRIPT, url, account.email, account.password, dataset.id],
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(RUNS):
            for name, command in commands.items():
                begin = time.perf_counter()
                subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
                seconds[name].append(time.perf_counter() - begin)
    best = {name: min(times) for name, times in seconds.items()}
    help_ratio = best["kayrros --help"] / best['python -c "import httpx"']
    script_ratio = best["a script with 144 rows"] / best['python -c "import httpx, pyarrow"']
    return Report(
        "Startup",
        f"Whole processes, the best of {RUNS} runs, with the commands in turn. The script starts, logs in to a fake on "
        "loopback, fetches 144 rows and prints them. It fails if pandas is imported.",
        ["command", "seconds"],
        [[f"`{name}`", f"{time_s:.3f}"] for name, time_s in best.items()],
        [
            Claim("time of `kayrros --help` relative to `import httpx`", help_ratio, most=1.5),
            Claim("time of the script relative to `import httpx, pyarrow`", script_ratio, most=2.0),
        ],
    )
