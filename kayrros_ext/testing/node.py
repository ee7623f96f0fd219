"""A Node that Prism runs on: the machine's if it is new enough, else the one that setup installed into the environment.

Uses the standard library only, because setup and the linter of the spec read this file by itself.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

# From the package.json of Prism 5.16 (engines.node).
OLDEST = (24, 18)


class Node(NamedTuple):
    """A Node with npm."""

    executable: Path  # the program itself; `node` on the PATH may be a script that starts it, and does not stop with it
    folder: Path  # where `node` and `npm` are


def find_node() -> Node | None:
    """Return the first Node that is new enough and has npm next to it, on the PATH or in the virtual environment."""
    for path in (None, str(Path(sys.prefix) / ("Scripts" if os.name == "nt" else "bin"))):
        node = shutil.which("node", path=path)
        if node and shutil.which("npm", path=str(Path(node).parent)) and (executable := _new_enough(node)):
            return Node(executable, Path(node).parent)
    return None


def environment() -> dict[str, str]:
    """Return our environment for another program, without the user's password and token."""
    return {name: value for name, value in os.environ.items() if name not in {"KAYRROS_PASSWORD", "KAYRROS_TOKEN"}}


def _new_enough(node: str) -> Path | None:
    """Return the program behind a `node`; None if it is too old or does not run."""
    command = [node, "-p", "process.version + ' ' + process.execPath"]
    try:
        run = subprocess.run(  # noqa: S603 - a node
            command, env=environment(), capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.fullmatch(r"v(\d+)\.(\d+)\.\d+\S* (.+)", run.stdout.strip())
    return Path(match[3]) if match and (int(match[1]), int(match[2])) >= OLDEST else None
