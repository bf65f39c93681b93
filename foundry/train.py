"""`python -m foundry.train` is `foundry train`."""

import sys

from foundry.cli.train import main

if __name__ == "__main__":
    sys.exit(main())
