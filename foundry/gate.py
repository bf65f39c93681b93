"""`python -m foundry.gate` is `foundry gate`."""

import sys

from foundry.cli.gate import main

if __name__ == "__main__":
    sys.exit(main())
