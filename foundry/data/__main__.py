"""`python -m foundry.data` is `foundry data`."""

import sys

from foundry.cli.data import main

if __name__ == "__main__":
    sys.exit(main())
