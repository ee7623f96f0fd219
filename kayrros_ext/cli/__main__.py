"""Support `python -m kayrros_ext.cli`."""

import sys

from kayrros_ext.cli import main

if __name__ == "__main__":
    sys.exit(main())
