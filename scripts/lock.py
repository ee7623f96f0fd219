"""Write the locks: requirements/ from pyproject.toml, for every Python and platform, and package-lock.json.

Run by `make lock`, in an environment that has uv. No address of a registry ends up in a lock: it installs from
whichever index the machine's pip is set up for.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
LOCKS = {
    "base.txt": ["pyproject.toml"],  # what a user gets from `pip install kayrros-client`
    "dev.txt": ["pyproject.toml", "--group", "dev"],
    "node.txt": ["--group", "node"],
    "bench.txt": ["--group", "bench"],
    "fuzz.txt": ["--group", "fuzz"],
    "audit.txt": ["--group", "audit"],
    "lock.txt": ["--group", "lock"],
}


def main() -> None:
    """Write every lock."""
    for name, sources in LOCKS.items():
        uv = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--upgrade", "--universal", "--generate-hashes"]
        options = ["--python-version", "3.11", "--no-emit-index-url", "--custom-compile-command", "make lock"]
        subprocess.run([*uv, *options, *sources, "--output-file", f"requirements/{name}"], cwd=ROOT, check=True)
        print(f"requirements/{name} written")
    # The Node, too, is in the environment that setup made, not in this one.
    command = [str(ROOT / ".venv" / "bin" / "python"), "scripts/node_folder.py"]
    folder = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    path = os.pathsep.join([folder.stdout.strip(), os.environ.get("PATH", "")])
    npm = ["npm", "install", "--package-lock-only", "--ignore-scripts", "--loglevel=error"]
    subprocess.run(npm, cwd=ROOT, check=True, env={**os.environ, "PATH": path})
    print("package-lock.json written")


if __name__ == "__main__":
    main()
