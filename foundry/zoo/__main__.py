"""`python -m foundry.zoo` is `foundry zoo`."""

import sys

from foundry.cli.zoo import main

if __name__ == "__main__":
    sys.exit(main())
