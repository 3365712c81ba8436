"""The hub's own commands: ``python -m worklore serve`` and what goes with it."""

import sys

from worklore.main import main

if __name__ == "__main__":
    sys.exit(main())
