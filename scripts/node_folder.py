"""Print the folder of the `node` and `npm` that the mock and the spec's linter run on; exit with 1 where there is none."""

import sys

from kayrros_ext.testing.node import find_node

if __name__ == "__main__":
    found = find_node()
    if found is None:
        sys.exit(1)
    print(found.folder)
