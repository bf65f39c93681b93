"""`python -m foundry.export` is `foundry export`."""

import sys

from foundry.cli.export import main

if __name__ == "__main__":
    sys.exit(main())
