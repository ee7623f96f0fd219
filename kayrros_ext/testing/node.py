"""A Node that Prism runs on: the machine's, where it is new enough, else the one that setup put into the environment.

Standard library alone: setup and the linter of the spec read this file by itself, whatever state the package is in.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

# What Prism 5.16 asks for in its package.json (engines.node).
OLDEST = (24, 18)


class Node(NamedTuple):
    """A Node with npm.

    Attributes:
        executable: the program itself. What the PATH has may be a script that starts it, and does not stop with it.
        folder: where `node` and `npm` were found.
    """

    executable: Path
    folder: Path


def find_node() -> Node | None:
    """The first Node that is new enough and has npm beside it: on the PATH, then in the running virtual environment."""
    scripts = Path(sys.prefix) / ("Scripts" if os.name == "nt" else "bin")
    for path in (None, str(scripts)):
        found = shutil.which("node", path=path)
        if found and shutil.which("npm", path=str(Path(found).parent)):
            version, executable = _ask(found)
            if version >= OLDEST:
                return Node(executable, Path(found).parent)
    return None


def _ask(node: str) -> tuple[tuple[int, ...], Path]:
    """Version and path of the program behind a `node`."""
    command = [node, "-p", "process.version + ' ' + process.execPath"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)  # noqa: S603 - a node
    except (OSError, subprocess.TimeoutExpired):
        return (0,), Path(node)
    said = re.fullmatch(r"v(\d+)\.(\d+)\.\d+\S* (.+)", answer.stdout.strip())
    return (tuple(map(int, said.groups()[:2])), Path(said[3])) if said else ((0,), Path(node))
