"""Install everything that `make demo`, `make check` and `make test` need into .venv and node_modules.

This needs only Python 3.11 or newer and a package index that pip can reach. The Makefile runs it before every target; it
does nothing if the installation matches the locks.
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

MISLEADING = {"PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_USER", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV", "NODE_ENV"}

# The files that determine what is installed.
SOURCES = [
    *(f"requirements/{name}.txt" for name in ("base", "dev", "node")),
    *("package-lock.json", ".npmrc", "pyproject.toml", "scripts/setup.py"),
]


def main() -> None:
    """Install what the locks list, unless it is installed; print one line for each step."""
    if _is_ready():
        return
    with (ROOT / ".setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs at once would write to the same folders
        if not _is_ready():
            _set_up()


def _is_ready() -> bool:
    """Return whether the installation matches the sources, the checkout and the Python."""
    exists = STAMP.is_file() and PYTHON.exists() and PRISM.is_file()
    return exists and STAMP.read_text() == _fingerprint()


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for name in SOURCES:
        digest.update((ROOT / name).read_bytes())
    # An environment contains absolute paths, and depends on the Python that made it.
    return f"{digest.hexdigest()}\n{ROOT}\n{sys.version_info[:3]}\n"


def _set_up() -> None:
    _say(f"Python packages into {VENV.name}/ (this takes a minute the first time)")
    _make_venv()
    # A test installs the package in an empty environment offline, from these wheels.
    _pip(
        "download", "--no-deps", "--require-hashes", "--dest", VENV / "wheels", "--requirement", "requirements/base.txt"
    )
    _pip("install", "--no-deps", "--require-hashes", "--requirement", "requirements/dev.txt")
    _pip("install", "--no-deps", "--no-build-isolation", "--no-index", "--editable", ".")
    _node_packages()
    STAMP.write_text(_fingerprint())


def _make_venv() -> None:
    """Make a new .venv, unless the existing one works for this Python and checkout."""
    made_for = STAMP.read_text().splitlines()[1:] if STAMP.is_file() else []
    if made_for == _fingerprint().splitlines()[1:]:
        probe = subprocess.run(
            [str(PYTHON), "-m", "pip", "--version"], capture_output=True, check=False, env=environment()
        )
        if probe.returncode == 0:
            STAMP.unlink()  # not ready until all steps are done
            return
    shutil.rmtree(VENV, ignore_errors=True)
    _run(sys.executable, "-m", "venv", VENV)


def _node_packages() -> None:
    """Install Prism and redocly with the machine's Node if it is new enough, else with one from PyPI."""
    folder = _node_folder()
    if not folder:
        _say("Node for the mock into .venv/ (the machine has no Node that is new enough)")
        _pip("install", "--no-deps", "--require-hashes", "--requirement", "requirements/node.txt")
        folder = _node_folder()
    if not folder:
        sys.exit(
            "The mock needs Node 24.18 or newer, and none could be installed from PyPI. Install one and run make again."
        )
    _say("the mock and the linter into node_modules/")
    path = os.pathsep.join([folder, os.environ.get("PATH", "")])
    npm = shutil.which("npm", path=folder)
    _run(npm, "ci", "--include=dev", "--ignore-scripts", "--loglevel=error", env={"PATH": path})


def _node_folder() -> str:
    """Return the folder of a suitable Node, or an empty string."""
    command = [str(PYTHON), "scripts/node_folder.py"]
    return subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False, env=environment()
    ).stdout.strip()


def _pip(*arguments: object) -> None:
    _run(PYTHON, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments)


def _run(*command: object, env: dict[str, str] | None = None) -> None:
    arguments = [str(argument) for argument in command]
    result = subprocess.run(arguments, cwd=ROOT, check=False, env={**environment(), **(env or {})})
    if result.returncode:
        sys.exit(f"Setup failed: `{' '.join(arguments)}` exited with {result.returncode}; see its output above.")


def environment() -> dict[str, str]:
    """Return the variables of the caller without those that would install elsewhere or only in part."""
    return {name: value for name, value in os.environ.items() if name not in MISLEADING}


def _say(step: str) -> None:
    print(f"setup: {step}", flush=True)


if __name__ == "__main__":
    main()
