"""Write the locks in requirements/ from pyproject.toml, with hashes, for every Python and platform that we support.

Run by `make lock`, in an environment that has uv. No address of a registry ends up in a lock: it installs from
whichever index the machine's pip is set up for.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
LOCKS = {
    "base.txt": ["pyproject.toml"],  # what a user gets from `pip install kayrros-client`
    "dev.txt": ["pyproject.toml", "--group", "dev"],
    "node.txt": ["--group", "node"],
    "lock.txt": ["--group", "lock"],
}


def main() -> None:
    """Write every lock, or, with names as arguments, only those."""
    for name in sys.argv[1:] or LOCKS:
        uv = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--upgrade", "--universal", "--generate-hashes"]
        options = ["--python-version", "3.11", "--no-emit-index-url", "--custom-compile-command", "make lock"]
        subprocess.run([*uv, *options, *LOCKS[name], "--output-file", f"requirements/{name}"], cwd=ROOT, check=True)
        print(f"requirements/{name} written")


if __name__ == "__main__":
    main()
