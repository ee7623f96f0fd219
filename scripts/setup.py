"""Set up everything that `make demo`, `make check` and `make test` need, into .venv and node_modules.

Needs Python 3.11 or newer with its standard library, and a package index that pip can reach; nothing else. The Makefile
runs it again when a lock changes.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / "python"

# Settings of the caller's shell that would install somewhere else, or leave half of it out.
MISLEADING = {"PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_USER", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV", "NODE_ENV"}


def main() -> None:
    """Install what is locked; say each step in a line."""
    if sys.version_info < (3, 11):
        version = ".".join(map(str, sys.version_info[:3]))
        sys.exit(
            f"Python 3.11 or newer is needed, and python3 is {version}. Run make with PYTHON=/path/to/a/newer/python3."
        )
    _say(f"Python packages into {VENV.name}/ (the first time takes a minute)")
    _make_venv()
    # Wheels of the base install are kept, so that a test can install the package in an empty environment offline.
    _pip(
        "download", "--no-deps", "--require-hashes", "--dest", VENV / "wheels", "--requirement", "requirements/base.txt"
    )
    _pip("install", "--no-deps", "--require-hashes", "--requirement", "requirements/dev.txt")
    _pip("install", "--no-deps", "--no-build-isolation", "--no-index", "--editable", ".")
    _node_packages()
    (VENV / ".ready").touch()


def _make_venv() -> None:
    """A fresh .venv, unless the one that is there runs on this Python."""
    probe = "import sys, pip; print(sys.version_info[:2])"
    if PYTHON.exists():
        answer = subprocess.run(
            [str(PYTHON), "-c", probe], capture_output=True, text=True, check=False, env=_environment()
        )
        if answer.returncode == 0 and answer.stdout.strip() == str(tuple(sys.version_info[:2])):
            return
    shutil.rmtree(VENV, ignore_errors=True)
    _run(sys.executable, "-m", "venv", VENV)


def _node_packages() -> None:
    """Prism and redocly from package-lock.json, with the machine's Node where it will do, else with one from PyPI."""
    folder = _node_folder()
    if not folder:
        _say("Node for the mock into .venv/ (the machine has none that is new enough)")
        _pip("install", "--no-deps", "--require-hashes", "--requirement", "requirements/node.txt")
        folder = _node_folder()
    if not folder:
        sys.exit(
            "No Node that the mock can run on, not even from PyPI. Install Node 24.18 or newer and run make again."
        )
    _say("the mock and the linter into node_modules/")
    path = os.pathsep.join([folder, os.environ.get("PATH", "")])
    npm = shutil.which("npm", path=folder)
    _run(npm, "ci", "--include=dev", "--ignore-scripts", "--loglevel=error", env={"PATH": path})


def _node_folder() -> str:
    """Where the node is that the mock will run on; the package is asked, in the environment where it is installed."""
    command = [str(PYTHON), "-m", "scripts.node_folder"]
    return subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False, env=_environment()
    ).stdout.strip()


def _pip(*arguments: object) -> None:
    _run(PYTHON, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments)


def _run(*command: object, env: dict[str, str] | None = None) -> None:
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=ROOT, check=False, env={**_environment(), **(env or {})})
    if done.returncode:
        sys.exit(f"Setting up stopped at `{' '.join(words)}` (exit {done.returncode}); its own words are above.")


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in MISLEADING}


def _say(step: str) -> None:
    print(f"setup: {step}", flush=True)


if __name__ == "__main__":
    main()
