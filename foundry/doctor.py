"""`python -m foundry.doctor` is `foundry doctor`."""

import sys

from foundry.cli.doctor import main

if __name__ == "__main__":
    sys.exit(main())
