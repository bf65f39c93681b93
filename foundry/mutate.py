"""`python -m foundry.mutate` is `foundry mutate`."""

import sys

from foundry.cli.mutate import main

if __name__ == "__main__":
    sys.exit(main())
