"""`python -m foundry.sample` is `foundry sample`."""

import sys

from foundry.cli.sample import main

if __name__ == "__main__":
    sys.exit(main())
