"""The live board on a real pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios

from board_samples import FRAME_80
from test_board import start

RUN_OF_THREE = """
import sys
from dataclasses import replace
from rich.console import Console
from board_samples import RUN
from population.board import board_for
with board_for(Console()) as board:
    board.say("resumed at birth 42")
    board.show(replace(RUN, rows=(), running=(), log="measuring"))
    sys.stdin.readline()
    board.show(RUN)
print("to its end", file=sys.stderr)
"""


def terminal(width: int, height: int = 24) -> tuple[int, int]:
    """Return both ends of a pseudo-terminal: ours and the program's."""
    ours, theirs = pty.openpty()
    resize(ours, width, height)
    return ours, theirs


def resize(descriptor: int, width: int, height: int = 24) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


def read_until(descriptor: int, text: str) -> str:
    """Read what the program writes until this comes, or until it has gone."""
    seen = b""
    while text.encode() not in seen:
        try:
            seen += os.read(descriptor, 65_536)
        except OSError:  # what Linux gives when the other end is closed
            break
    return seen.decode()


def screen(output: str) -> list[str]:
    """Play output on a screen without end: the few sequences that the board may use, and no others."""
    lines, row, column = [""], 0, 0
    for sequence, text in re.findall(r"(\x1b\[\??[0-9;]*[A-Za-z]|\r|\n)|([^\x1b\r\n]+)", output):
        if text:
            lines[row] = lines[row][:column].ljust(column) + text + lines[row][column + len(text) :]
            column += len(text)
        elif sequence == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif sequence == "\r":
            column = 0
        elif sequence == "\x1b[1A":
            row = max(0, row - 1)
        elif sequence == "\x1b[2K":
            lines[row] = ""
        elif sequence == "\x1b[2J":
            lines = [""] * len(lines)
        elif sequence == "\x1b[H":
            row, column = 0, 0
        else:
            assert re.fullmatch(r"\x1b\[(\?25[lh]|[0-9;]*m)", sequence), sequence
    return [line.rstrip() for line in lines]


def finish(process: subprocess.Popen[str], descriptor: int) -> str:
    """Let the program go on, and return the rest of its output."""
    process.stdin.write("\n")
    process.stdin.close()
    rest = read_until(descriptor, "never written")
    assert (process.stderr.read(), process.wait()) == ("to its end\n", 0)
    process.stderr.close()
    os.close(descriptor)
    return rest


def test_the_last_frame_stays_below_what_was_said() -> None:
    ours, theirs = terminal(80)
    process = start(RUN_OF_THREE, stdout=theirs)
    os.close(theirs)
    output = read_until(ours, "measuring\x1b")
    assert "no candidate has a score yet" in screen(output)
    output += finish(process, ours)
    assert screen(output) == ["resumed at birth 42", *FRAME_80.splitlines(), ""]
    assert output.rindex("\x1b[?25h") > output.rindex("\x1b[?25l"), "the cursor is back"


def test_a_narrower_terminal_gets_a_clean_frame() -> None:
    ours, theirs = terminal(110)
    process = start(RUN_OF_THREE, stdout=theirs)
    os.close(theirs)
    output = read_until(ours, "measuring\x1b")
    resize(ours, 80)
    output += finish(process, ours)
    assert [line for line in screen(output) if line] == [line for line in FRAME_80.splitlines() if line]


def test_a_terminal_that_hangs_up_does_not_end_the_run() -> None:
    ours, theirs = terminal(80)
    process = start(RUN_OF_THREE, stdout=theirs)
    os.close(theirs)
    read_until(ours, "measuring\x1b")
    os.close(ours)
    process.stdin.write("\n")
    process.stdin.close()
    assert (process.stderr.read(), process.wait()) == ("to its end\n", 0)
    process.stderr.close()
