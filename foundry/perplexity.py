"""`python -m foundry.perplexity` is `foundry perplexity`."""

import sys

from foundry.cli.perplexity import main

if __name__ == "__main__":
    sys.exit(main())
