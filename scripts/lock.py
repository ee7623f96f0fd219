"""Write the locks: requirements/ from pyproject.toml, for every Python and platform, and the npm locks.

`make lock` runs this in an environment with uv. The locks contain no address of a registry, so that they install from
the index that the machine's pip is configured for.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
LOCKS = {
    "base.txt": ["pyproject.toml"],  # the dependencies of the package
    "dev.txt": ["pyproject.toml", "--group", "dev"],
    "node.txt": ["--group", "node"],
    "bench.txt": ["--group", "bench"],
    "fuzz.txt": ["--group", "fuzz"],
    "audit.txt": ["--group", "audit"],
    # Installed on top of dev.txt, so a package in both has one version.
    "docs.txt": ["--group", "docs", "--constraint", "requirements/dev.txt"],
    "foreign.txt": ["--group", "foreign"],
    "cluster.txt": ["pyproject.toml", "--group", "cluster"],
    "lock.txt": ["--group", "lock"],
}
USERS = [
    "pyproject.toml",
    *(
        f"--extra={name}"
        for name in ("pandas", "polars", "geo", "keyring", "excel", "cli", "plots", "doctor", "duckdb")
    ),
]


def main() -> None:
    """Write every lock."""
    for name, sources in LOCKS.items():
        compile_lock(Path("requirements") / name, "--universal", *sources)
    with tempfile.TemporaryDirectory() as folder:
        # The oldest versions of what users install, together with new test tools; only for the oldest Python.
        floors = Path(folder) / "floors.txt"
        compile_lock(floors, "--resolution=lowest-direct", *USERS)
        compile_lock(
            Path("requirements/oldest.txt"), *USERS, "--group=oldest", f"--constraint={floors}", "--no-annotate"
        )
    # Node may be in .venv, and not in this environment.
    command = [str(ROOT / ".venv" / "bin" / "python"), "scripts/node_folder.py"]
    node = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    path = os.pathsep.join([node.stdout.strip(), os.environ.get("PATH", "")])
    npm = ["npm", "install", "--package-lock-only", "--ignore-scripts", "--omit-lockfile-registry-resolved"]
    for place in (".", "requirements/foreign"):
        subprocess.run([*npm, "--loglevel=error"], cwd=ROOT / place, check=True, env={**os.environ, "PATH": path})
        print(f"{place}/package-lock.json written")


def compile_lock(target: Path, *sources: str) -> None:
    """Write one lock for Python 3.11, and for newer ones if it is universal."""
    uv = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--upgrade", "--generate-hashes"]
    options = ["--python-version", "3.11", "--no-emit-index-url", "--custom-compile-command", "make lock"]
    subprocess.run([*uv, *options, *sources, "--output-file", str(target)], cwd=ROOT, check=True)
    print(f"{target} written")


if __name__ == "__main__":
    main()
