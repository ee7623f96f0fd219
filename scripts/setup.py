"""Set up everything that `make demo`, `make check` and `make test` need, into .venv and node_modules.

Needs Python 3.11 or newer with its standard library, and a package index that pip can reach; nothing else. The Makefile
runs it before every target: where all is there and as the locks say, it does nothing.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / "bin"
PYTHON = BIN / "python"
STAMP = VENV / ".ready"
PRISM = ROOT / "node_modules" / "@stoplight" / "prism-cli" / "package.json"

# Settings of the caller's shell that would install somewhere else, or leave half of it out.
MISLEADING = {"PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_USER", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV", "NODE_ENV"}

# What decides what is installed.
SOURCES = [
    *(f"requirements/{name}.txt" for name in ("base", "dev", "node")),
    *("package-lock.json", ".npmrc", "pyproject.toml", "scripts/setup.py"),
]


def main() -> None:
    """Install what is locked, unless it is there; say each step in a line."""
    if _is_ready():
        return
    with (ROOT / ".setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two at once, in a new checkout, would trip over each other
        if not _is_ready():
            _set_up()


def _is_ready() -> bool:
    """Whether what is installed is what the sources say, for this checkout, on this Python."""
    there = STAMP.is_file() and PYTHON.exists() and PRISM.is_file()
    return there and STAMP.read_text() == _fingerprint()


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for name in SOURCES:
        digest.update((ROOT / name).read_bytes())
    # An environment knows the place of its checkout and the Python that it was made with.
    return f"{digest.hexdigest()}\n{ROOT}\n{sys.version_info[:3]}\n"


def _set_up() -> None:
    _say(f"Python packages into {VENV.name}/ (the first time takes a minute)")
    _make_venv()
    # Wheels of the base install are kept, so that a test can install the package in an empty environment offline.
    _pip(
        "download", "--no-deps", "--require-hashes", "--dest", VENV / "wheels", "--requirement", "requirements/base.txt"
    )
    _pip("install", "--no-deps", "--require-hashes", "--requirement", "requirements/dev.txt")
    _pip("install", "--no-deps", "--no-build-isolation", "--no-index", "--editable", ".")
    _node_packages()
    STAMP.write_text(_fingerprint())


def _make_venv() -> None:
    """A fresh .venv, unless the one that is there works, on this Python, for this checkout."""
    made_for = STAMP.read_text().splitlines()[1:] if STAMP.is_file() else []
    if made_for == _fingerprint().splitlines()[1:]:
        probe = subprocess.run(
            [str(PYTHON), "-m", "pip", "--version"], capture_output=True, check=False, env=_environment()
        )
        if probe.returncode == 0:
            STAMP.unlink()  # until all is done, it is not ready
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
    """Where the node is that the mock will run on; empty where there is none."""
    command = [str(PYTHON), "scripts/node_folder.py"]
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
