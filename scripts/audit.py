"""Look for known vulnerabilities in our code (bandit) and in the locked packages (pip-audit, npm audit): `make audit`.

This runs in an environment with bandit and pip-audit. Without a network no advisory database can be asked; the audit then
says so, and fails only with --strict.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
# A control: a database without the vulnerabilities of this version (CVE-2023-43804 and others) is useless.
VULNERABLE = "urllib3==1.24.1"
# For all packages of a lock together.
TIMEOUT_S = 300


class DatabaseError(Exception):
    """No advisory database was reached, or it does not contain the packages."""


def main() -> int:
    """Run all audits; return 1 if one reports a vulnerability."""
    parser = argparse.ArgumentParser(prog="make audit", description=__doc__)
    parser.add_argument("--strict", action="store_true", help="fail if no advisory database can be reached")
    strict = parser.parse_args().strict
    # A finding of bandit is fixed, or marked at its line with the reason; pyproject.toml turns off two checks.
    bandit = subprocess.run(
        _tool("bandit", "-q", "-c", "pyproject.toml", "-r", "kayrros_ext", "scripts"), cwd=ROOT, check=False
    )
    print(f"bandit: {'see above' if bandit.returncode else 'nothing found in kayrros_ext and scripts'}")
    failed = bool(bandit.returncode)
    for name, audit in (("pip-audit", _python), ("npm audit", _node)):
        try:
            flaws = audit()
        except DatabaseError as error:
            print(f"{name}: NOT AUDITED, no advisory database could be reached ({error})")
            failed |= strict
        else:
            for line in flaws or ["no known vulnerability in the locked packages"]:
                print(f"{name}: {line}")
            failed |= bool(flaws)
    return 1 if failed else 0


def _python() -> list[str]:
    """Return the vulnerabilities of all Python locks."""
    if not _pip_audit("-r", "/dev/stdin", stdin=VULNERABLE):
        raise DatabaseError(f"it reports {VULNERABLE} to be safe")
    locks = sorted(path.name for path in (ROOT / "requirements").glob("*.txt"))
    return [
        f"{lock}: {line}" for lock in locks for line in _pip_audit("--require-hashes", "-r", f"requirements/{lock}")
    ]


def _pip_audit(*arguments: str, stdin: str = "") -> list[str]:
    """Return what pip-audit reports for pinned requirements.

    Raises:
        DatabaseError: no database was reached, or it does not contain all packages.
    """
    options = ["--disable-pip", "--no-deps", "--format=json", "--progress-spinner=off"]
    result = _run(_tool("pip_audit", *options, *arguments), stdin)
    try:
        packages = json.loads(result.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        raise DatabaseError(_last_line(result.stderr)) from None
    if skipped := [package["name"] for package in packages if "skip_reason" in package]:
        raise DatabaseError(f"it does not contain {', '.join(skipped[:3])}, {len(skipped)} of {len(packages)} packages")
    return [
        f"{package['name']} {package['version']}: {flaw['id']}, fixed in {', '.join(flaw['fix_versions']) or 'no version'}"
        for package in packages
        for flaw in package["vulns"]
    ]


def _node() -> list[str]:
    """Return the vulnerabilities of package-lock.json."""
    node = _run([str(ROOT / ".venv" / "bin" / "python"), "scripts/node_folder.py"]).stdout.strip()
    path = os.pathsep.join([node, os.environ.get("PATH", "")])
    result = _run(["npm", "audit", "--json", "--package-lock-only"], env={**os.environ, "PATH": path})
    try:
        report: dict[str, Any] = json.loads(result.stdout)
        flaws = report["vulnerabilities"]
    except (ValueError, KeyError, TypeError):
        raise DatabaseError(_last_line(result.stderr)) from None
    return [f"{name}: {flaw['severity']}, {flaw['range']}" for name, flaw in flaws.items()]


def _tool(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def _run(command: list[str], stdin: str = "", **options: Any) -> "subprocess.CompletedProcess[str]":
    options |= {"cwd": ROOT, "input": stdin, "capture_output": True, "text": True, "timeout": TIMEOUT_S}
    try:
        return subprocess.run(command, check=False, **options)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DatabaseError(type(error).__name__) from None


def _last_line(output: str) -> str:
    """Return the last line of a tool's output, without addresses and at most 120 characters."""
    lines = [line for line in output.splitlines() if line.strip() and "log of this run" not in line]
    return f"{lines[-1].split('http')[0].strip():.120}" if lines else "no output"


if __name__ == "__main__":
    sys.exit(main())
