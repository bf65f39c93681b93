"""Run what executes a model file in a process of its own, as confined as this machine allows."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from foundry.sandbox import confine, level
from foundry.sandbox.rlimits import Amounts
from foundry.trial.confinement import Confinement, settle

BESIDE_BUBBLEWRAP = tuple(name for name in level.LEVELS if name != "bwrap")  # which is for whole servers


def confined(work: Callable[[TextIO], int], show: Callable[[str], None]) -> int:
    """Let `work` write lines, show each as it comes, and return what it returns, or 1 if it is killed.

    It can read Python and this package, and write into an empty folder.
    """
    strongest = [name for name in level.available() if name in BESIDE_BUBBLEWRAP][-1]
    with tempfile.TemporaryDirectory() as folder:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            _work(work, strongest, Path(folder), writer)
        os.close(writer)
        try:
            with os.fdopen(reader, encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    show(line.rstrip("\n"))
        except BaseException:
            os.kill(pid, signal.SIGKILL)
            raise
        finally:
            _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        show(f"killed by {signal.Signals(-code).name}")
    return max(code, 1) if code < 0 else code


def _work(work: Callable[[TextIO], int], strongest: str, folder: Path, writer: int) -> None:
    """Never returns: what follows is the parent's business."""
    code = 1
    try:
        settle(folder)
        readable = Confinement(strongest, numbers_hold=True).code
        confine.confine(
            strongest, readable=readable, writable=[folder], amounts=Amounts(), keep=[0, 1, 2, writer]
        )
        with os.fdopen(writer, "w", buffering=1, encoding="utf-8", errors="replace") as out:
            code = work(out)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)
