"""`python -m foundry.compare` is `foundry compare`."""

import sys

from foundry.cli.compare import main

if __name__ == "__main__":
    sys.exit(main())
