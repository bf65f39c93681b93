"""`python -m foundry.board` is `foundry board`."""

import sys

from foundry.cli.board import main

if __name__ == "__main__":
    sys.exit(main())
