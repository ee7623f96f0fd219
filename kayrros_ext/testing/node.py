"""A Node that Prism runs on: the machine's, where it is new enough, else the one that setup put into the environment.

Standard library only: setup uses this before anything is installed.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

# What Prism 5.16 asks for in its package.json (engines.node).
OLDEST = (24, 18)


def find_node(environment: Path | None = None) -> Path | None:
    """The first Node that is new enough and has npm beside it: on the PATH, then in a virtual environment.

    Args:
        environment: the virtual environment; the running one unless given.
    """
    scripts = (environment or Path(sys.prefix)) / ("Scripts" if os.name == "nt" else "bin")
    for path in (None, str(scripts)):
        found = shutil.which("node", path=path)
        if found and _version(found) >= OLDEST and shutil.which("npm", path=Path(found).parent):
            return Path(found)
    return None


def _version(node: str) -> tuple[int, ...]:
    try:
        answer = subprocess.run(  # noqa: S603 - the node that the PATH gives
            [node, "--version"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return (0,)
    version = re.fullmatch(r"v(\d+)\.(\d+)\.\d+.*", answer.stdout.strip())
    return tuple(map(int, version.groups())) if version else (0,)


if __name__ == "__main__":
    node = find_node()
    print(node or "")
    sys.exit(0 if node else 1)
