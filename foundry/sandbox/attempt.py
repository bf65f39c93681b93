"""Try something irrevocable in a child that is thrown away."""

from __future__ import annotations

import os
from collections.abc import Callable


def complaint_about(action: Callable[[], None]) -> str | None:
    """Run `action` in a forked child; return None if it went well, else what it raised, in words."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            action()
            os._exit(0)
        except BaseException as error:
            os.write(writer, (str(error) or type(error).__name__).encode()[:1000])
        finally:
            os._exit(1)  # never back into the caller's own business
    os.close(writer)
    with open(reader, encoding="utf-8", errors="replace") as said:
        complaint = said.read()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return None if code == 0 else complaint or f"status {code}"
