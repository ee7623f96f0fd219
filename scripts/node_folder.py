"""Print the folder of the `node` and `npm` that the mock and the spec's linter run on; exit with 1 where there is none.

Runs on the Python of .venv, and works while the package does not: a spec is linted before the code follows it.
"""

import importlib.util
import sys
from pathlib import Path

FINDER = Path(__file__).parent.parent / "kayrros_ext" / "testing" / "node.py"


def main() -> int:
    """Load the finder from its file, without the package around it."""
    spec = importlib.util.spec_from_file_location("node", FINDER)
    if spec is None or spec.loader is None:
        return 1
    finder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(finder)
    found = finder.find_node()
    if found is None:
        print("There is no Node that is new enough. Run `make setup`.", file=sys.stderr)
        return 1
    print(found.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
