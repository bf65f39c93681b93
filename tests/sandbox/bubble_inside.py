"""What a process within bubblewrap can do: reads names of acts with paths, says how each went, as JSON.

Argument: the descriptor of a socket that was handed down.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from foundry.sandbox import bubblewrap, family


def connect(port: str) -> None:
    socket.create_connection(("127.0.0.1", int(port)), 5).close()


ACTS: dict[str, Callable[[str], object]] = {
    "read": lambda path: Path(path).read_text(),
    "write": lambda path: Path(path).write_text("mine"),
    "list": lambda path: sorted(os.listdir(path)),
    "connect": connect,
    "see": lambda pid: Path(f"/proc/{pid}").exists(),
    "around": lambda _: bubblewrap.around_us(),
    "prepare": lambda _: family.prepare(),
}


def main() -> None:
    with socket.socket(fileno=int(sys.argv[1])) as connection, connection.makefile("rw") as lines:
        for line in lines:
            act, argument = json.loads(line)
            try:
                said = ACTS[act](argument)
            except OSError as error:
                said = type(error).__name__
            lines.write(json.dumps(said) + "\n")
            lines.flush()


main()
