"""What is known to be unsafe: in our own code (bandit), in the locked packages (pip-audit, npm audit). `make audit`.

Run in an environment that has bandit and pip-audit. Without a network there is no advisory database, and no answer: that is
said in so many words, and fails only with --strict, which is for where one can be reached.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
# A database that knows nothing of this one (CVE-2023-43804 and others) knows nothing at all.
KNOWN_BAD = "urllib3==1.24.1"
# Seconds for an answer, of all packages of a lock together.
PATIENCE_S = 300


class NoAnswerError(Exception):
    """No advisory database could be reached, or it does not know the packages."""


def main() -> int:
    """Audit all, then exit 1 where something was found."""
    parser = argparse.ArgumentParser(prog="make audit", description=__doc__)
    parser.add_argument("--strict", action="store_true", help="fail where no advisory database can be reached")
    strict = parser.parse_args().strict
    # What bandit finds is mended, or marked at its line with the reason; what is off for all is so in pyproject.toml.
    bad = subprocess.run(
        _tool("bandit", "-q", "-c", "pyproject.toml", "-r", "kayrros_ext", "scripts"), cwd=ROOT, check=False
    )
    print(f"bandit: {'see above' if bad.returncode else 'nothing found in kayrros_ext and scripts'}")
    failed = bool(bad.returncode)
    for name, audit in (("pip-audit", _python), ("npm audit", _node)):
        try:
            found = audit()
        except NoAnswerError as error:
            print(f"{name}: NOT AUDITED, no advisory database could be reached ({error})")
            failed |= strict
        else:
            print(
                "\n".join(f"{name}: {line}" for line in found or ["no known vulnerability in what the locks install"])
            )
            failed |= bool(found)
    return 1 if failed else 0


def _python() -> list[str]:
    """Vulnerabilities of all locks."""
    if not _pip_audit("-r", "/dev/stdin", given=KNOWN_BAD):
        raise NoAnswerError(f"it holds {KNOWN_BAD} to be safe")
    locks = sorted(path.name for path in (ROOT / "requirements").glob("*.txt"))
    return [
        f"{lock}: {line}" for lock in locks for line in _pip_audit("--require-hashes", "-r", f"requirements/{lock}")
    ]


def _pip_audit(*arguments: str, given: str = "") -> list[str]:
    """What pip-audit finds in pinned requirements.

    Raises:
        NoAnswerError: it could not ask, or packages are unknown where it asked.
    """
    options = ["--disable-pip", "--no-deps", "--format=json", "--progress-spinner=off"]
    done = _run(_tool("pip_audit", *options, *arguments), given)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        raise NoAnswerError(_last_line(done.stderr)) from None
    if skipped := [package["name"] for package in packages if "skip_reason" in package]:
        raise NoAnswerError(f"it does not know {', '.join(skipped[:3])}, {len(skipped)} of {len(packages)} packages")
    return [
        f"{package['name']} {package['version']}: {flaw['id']}, fixed in {', '.join(flaw['fix_versions']) or 'no version'}"
        for package in packages
        for flaw in package["vulns"]
    ]


def _node() -> list[str]:
    """Vulnerabilities of package-lock.json."""
    node = _run([str(ROOT / ".venv" / "bin" / "python"), "scripts/node_folder.py"]).stdout.strip()
    path = os.pathsep.join([node, os.environ.get("PATH", "")])
    done = _run(["npm", "audit", "--json", "--package-lock-only"], env={**os.environ, "PATH": path})
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
        found = answer["vulnerabilities"]
    except (ValueError, KeyError, TypeError):
        raise NoAnswerError(_last_line(done.stderr)) from None
    return [f"{name}: {flaw['severity']}, {flaw['range']}" for name, flaw in found.items()]


def _tool(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def _run(command: list[str], given: str = "", **options: Any) -> "subprocess.CompletedProcess[str]":
    options |= {"cwd": ROOT, "input": given, "capture_output": True, "text": True, "timeout": PATIENCE_S}
    try:
        return subprocess.run(command, check=False, **options)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoAnswerError(type(error).__name__) from None


def _last_line(words: str) -> str:
    """The last line of a tool's, shortened: it may go on for a page, and name addresses."""
    lines = [line for line in words.splitlines() if line.strip() and "log of this run" not in line]
    return f"{lines[-1].split('http')[0].strip():.120}" if lines else "it said nothing"


if __name__ == "__main__":
    sys.exit(main())
