"""A server of its own for the tests: forks children that do as they are told, and says what it did, as JSON.

Arguments: where to note numbers; whether to prepare ("prepare") or to fork plainly ("plain").
Lines in: `fork KIND`, `kin KIND`, `end PID`, `group PID`, `reap PID`, `exit CODE`, `fail`. The numbers noted
are those of /proc.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

from foundry.sandbox import family

NOTES = Path(sys.argv[1])


def note(kind: str, number: str) -> None:
    (NOTES / f"{kind}.part").write_text(number)
    (NOTES / f"{kind}.part").rename(NOTES / kind)


def linger(kind: str) -> None:
    note(kind, os.readlink("/proc/self"))
    while True:
        signal.pause()


def escape(kind: str) -> None:
    """Leave group, session and parent, as a daemon does."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            linger(f"{kind}-escaped")
        os._exit(0)
    os.wait()


def child(kind: str) -> None:
    if kind == "number":
        os._exit(os.getpid() if os.getpid() < 100 else 100)
    if kind == "signals":  # everybody that it can see, from below and from above
        for pid in range(1, 200):
            if pid != os.getpid():
                os.kill(pid, signal.SIGKILL)
    if kind.startswith(("escapes", "leaves")):
        escape(kind)
    if kind == "leaves":
        while not (NOTES / "leaves-escaped").exists():
            time.sleep(0.001)
        os._exit(5)
    linger(kind)


def forked(kind: str, plain: bool) -> int:
    pid = os.fork() if plain else family.fork_apart()
    if pid == 0:
        try:
            if plain:
                os.setpgid(0, 0)
            child(kind)
        except OSError as error:
            note(kind, str(error.errno))
        finally:
            os._exit(9)
    return pid


def main() -> None:
    prepared = sys.argv[2] == "prepare" and family.prepare()
    print(json.dumps([prepared, int(os.readlink("/proc/self"))]), flush=True)
    for line in sys.stdin:
        act, _, rest = line.strip().partition(" ")
        answer: object = None
        if act in ("fork", "kin"):
            answer = forked(rest, plain=act == "kin")
        elif act == "end":
            family.end(int(rest))
        elif act == "group":
            os.killpg(int(rest), signal.SIGKILL)
        elif act == "reap":
            os.waitid(os.P_PID, int(rest), os.WEXITED | os.WNOWAIT)
            ended = family.reap(int(rest))
            assert ended
            answer = os.waitstatus_to_exitcode(ended[0])
        elif act == "exit":
            sys.exit(int(rest))
        elif act == "fail":
            os.kill(os.getpid(), signal.SIGSEGV)
            import ctypes

            ctypes.string_at(0)
        print(json.dumps(answer), flush=True)


main()
