"""Print the folder of the `node` and `npm` for the mock and the linter of the spec; exit with 1 if no Node is new enough.

This works without importing the package, because the spec is linted before the code is generated from it.
"""

import importlib.util
import sys
from pathlib import Path

FINDER = Path(__file__).parent.parent / "kayrros_ext" / "testing" / "node.py"


def main() -> int:
    """Load the finder from its file and print the folder."""
    spec = importlib.util.spec_from_file_location("node", FINDER)
    if spec is None or spec.loader is None:
        return 1
    finder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(finder)
    node = finder.find_node()
    if node is None:
        return 1
    print(node.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
