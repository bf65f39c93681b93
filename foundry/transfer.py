"""`python -m foundry.transfer` is `foundry transfer`."""

import sys

from foundry.cli.transfer import main

if __name__ == "__main__":
    sys.exit(main())
