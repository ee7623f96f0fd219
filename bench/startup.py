"""Measure whole processes: the help of the command, and a script that logs in and reads results."""

import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

from bench.reports import Claim, Report
from kayrros_ext.testing import Platform

RUNS = 15
# A client loads the certificates that these name, even for a server on loopback.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in {"SSL_CERT_FILE", "SSL_CERT_DIR"}}
ROOT = Path(__file__).parent.parent
KAYRROS = Path(sys.executable).with_name("kayrros")
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
    with platform.serve() as url, tempfile.TemporaryDirectory() as folder:
        users_python = install_base(Path(folder))
        arguments = [url, account.email, account.password, dataset.id]
        subprocess.run([sys.executable, "-c", SCRIPT, *arguments], stdout=subprocess.DEVNULL, check=True)
        commands = {
            'python -c "pass"': [sys.executable, "-c", "pass"],
            'python -c "import httpx"': [sys.executable, "-c", "import httpx"],
            "kayrros --help": [str(KAYRROS), "--help"],
            "kayrros results --help": [str(KAYRROS), "results", "--help"],
            'base install: python -c "import httpx, pyarrow"': [users_python, "-c", "import httpx, pyarrow"],
            "base install: a script with 144 rows": [users_python, "-c", SCRIPT, *arguments],
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(RUNS):
            for name, command in commands.items():
                begin = time.perf_counter()
                subprocess.run(command, stdout=subprocess.DEVNULL, env=ENVIRONMENT, check=True)
                seconds[name].append(time.perf_counter() - begin)
    best = {name: min(times) for name, times in seconds.items()}
    *_, imports, script = best.values()
    return Report(
        "Startup",
        f"Whole processes, the best of {RUNS} runs, with the commands in turn. The script starts, logs in to a fake on "
        "loopback, fetches 144 rows and prints them; it fails if it imports pandas, in the project's environment, which has "
        "pandas. The base install has no test tools: httpx would import trio and h2 with them. SSL_CERT_FILE and "
        "SSL_CERT_DIR are not set.",
        ["command", "seconds"],
        [[f"`{name}`", f"{time_s:.3f}"] for name, time_s in best.items()],
        [
            Claim(
                "time of `kayrros --help` relative to `import httpx`",
                best["kayrros --help"] / best['python -c "import httpx"'],
                most=0.8,
            ),
            Claim("time of the script relative to `import httpx, pyarrow`", script / imports, most=2.0),
        ],
    )


def install_base(folder: Path) -> str:
    """Install the dependencies of the package from the wheels that setup keeps; return its Python."""
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    wheels, lock = (
        str(ROOT / ".venv" / "wheels"),
        str(ROOT / "requirements" / "base.txt"),
    )  # an earlier lock may have left others
    subprocess.run(
        [python, "-m", "pip", "-q", "install", "--no-index", "--no-deps", "--find-links", wheels, "-r", lock],
        check=True,
    )
    [packages] = (folder / "lib").glob("python*/site-packages")
    (packages / "kayrros.pth").write_text(os.linesep.join([str(ROOT), str(ROOT / "generated")]))
    return python
