"""`python -m foundry.lora` is `foundry lora`."""

import sys

from foundry.cli.lora import main

if __name__ == "__main__":
    sys.exit(main())
