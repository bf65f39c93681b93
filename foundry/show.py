"""`python -m foundry.show` is `foundry show`."""

import sys

from foundry.cli.show import main

if __name__ == "__main__":
    sys.exit(main())
