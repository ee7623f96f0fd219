"""Run the unit and fault tests with each other Python of this machine: `make test-pythons`.

It looks for CPython 3.11 and newer in /usr/bin, on the PATH and in the folders of pyenv, and installs the locked packages
for each version into .venv/pythons/. It leaves out the Python of .venv, because `make test` uses that one.
"""

import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

from scripts.setup import ROOT, environment

OLDEST_MINOR = 11
SYSTEM = Path("/usr/bin")
# Prints the version of a released CPython.
PROBE = """
import platform, sys
if sys.implementation.name == "cpython" and sys.version_info.releaselevel == "final": print(platform.python_version())
"""


class StepError(Exception):
    """A command failed; the message holds its output."""


def main() -> int:
    """Test with one Python after the other; return 1 if one fails."""
    pythons = installed()
    say("Pythons of this machine: " + ", ".join(f"{version} ({python})" for version, python in pythons.items()))
    failed = False
    for version, python in pythons.items():
        if version == platform.python_version():
            say(f"{version}: `make test` uses it")
            continue
        started = time.monotonic()
        try:
            result = test(version, python, sys.argv[1:])
        except StepError as error:
            say(str(error))
            result, failed = "FAILED, see above", True
        say(f"{version}: {result}; {time.monotonic() - started:.0f} s with the installation")
    return int(failed)


def installed() -> dict[str, Path]:
    """Return a Python of each version, oldest first."""
    path = [SYSTEM, *map(Path, os.get_exec_path())]
    # The scripts in `shims` start only the version that is selected. HOME may be elsewhere.
    pyenv = [Path(os.environ.get("PYENV_ROOT") or f"{os.environ.get('HOME')}/.pyenv")]
    pyenv += [folder.parent for folder in path if folder.name == "shims"]
    folders = [folder for folder in path if folder.name != "shims"]
    folders += [folder for root in pyenv for folder in root.glob("versions/*/bin")]
    programs = [file for folder in folders for file in folder.glob("python3.*") if is_new_enough(file.name)]
    versions = {version_of(program): program for program in reversed(programs)}  # the first of a version stays
    versions.pop("", None)
    return dict(sorted(versions.items(), key=lambda item: [int(number) for number in item[0].split(".")]))


def is_new_enough(name: str) -> bool:
    """Return whether a file name is that of a supported Python."""
    match = re.fullmatch(r"python3\.(\d+)", name)
    return match is not None and int(match[1]) >= OLDEST_MINOR


def version_of(python: Path) -> str:
    """Return the version, or an empty string if it is not a release of CPython, or does not run."""
    try:
        probe = subprocess.run([python, "-I", "-c", PROBE], capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "" if probe.returncode else probe.stdout.strip()


def test(version: str, python: Path, arguments: list[str]) -> str:
    """Install the locked packages and run the tests.

    Returns:
        The last line of pytest.

    Raises:
        StepError: a command failed.
    """
    if subprocess.run([python, "-I", "-c", "import ensurepip"], capture_output=True, check=False).returncode:
        return f"NOT TESTED, because it has no ensurepip (on Debian: apt install {python.name}-venv)"
    folder = ROOT / ".venv" / "pythons" / version
    own = folder / "bin" / "python"
    if not (folder / "bin" / "pip").exists():  # the last file of a new environment
        run(python, "-m", "venv", folder)
    pip = [own, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-deps", "--no-compile"]
    run(*pip, "--require-hashes", "--requirement", "requirements/dev.txt")
    run(*pip, "--no-build-isolation", "--no-index", "--editable", ".")
    # The tests of the spec need the Node that setup found or installed.
    finder = [sys.executable, "scripts/node_folder.py"]
    node = subprocess.run(finder, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    pytest = [own, "-m", "pytest", "--quiet", "--numprocesses", "auto", "--dist", "worksteal"]
    output = run(*pytest, "tests/unit", "tests/faults", *arguments, PATH=os.pathsep.join([node, *os.get_exec_path()]))
    return output.splitlines()[-1]


def run(*command: object, **variables: str) -> str:
    """Run a command and return its output."""
    result = subprocess.run(
        [str(argument) for argument in command],
        cwd=ROOT,
        env={**environment(), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if result.returncode:
        raise StepError(f"{result.stdout}`{' '.join(map(str, command))}` exited with {result.returncode}.")
    return result.stdout


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
