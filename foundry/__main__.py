"""`python -m foundry` is `foundry`."""

import sys

from foundry.cli import main

if __name__ == "__main__":
    sys.exit(main())
