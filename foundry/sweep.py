"""`python -m foundry.sweep` is `foundry sweep`."""

import sys

from foundry.cli.sweep import main

if __name__ == "__main__":
    sys.exit(main())
