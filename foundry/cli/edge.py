"""The edge of the program: mistakes end in one sentence and exit code 2, with `--debug` in a traceback."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable

from foundry.errors import UserError


def guarded(command: Callable[[], int], *, name: str, debug: bool) -> int:
    """Run a command; return its exit code, or 2 after saying in one sentence what was wrong."""
    try:
        return command()
    except KeyboardInterrupt:
        print(f"{name}: stopped", file=sys.stderr)
        return 130
    except OSError as error:
        if debug or error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise
        print(f"{name}: {error.strerror}: {error.filename or 'the disk of the arena'}", file=sys.stderr)
    except Exception as error:
        if debug or not isinstance(error, _mistakes()):
            raise
        print(f"{name}: {error}", file=sys.stderr)
    return 2


def _mistakes() -> tuple[type[Exception], ...]:
    """Name what a user can do wrong; imported where it is needed, for it would cost training 6 MiB."""
    from foundry.trial.pool import PoolError
    from genome import ArenaError
    from population.ledger import LedgerError
    from population.search import SeedModelFailed

    return UserError, ArenaError, LedgerError, SeedModelFailed, PoolError
