"""Keep what candidate code does inside a gate: global state is put back, exceptions become one line."""

from __future__ import annotations

import contextlib
import io
import traceback
import warnings
from collections.abc import Iterator

import torch

from foundry.source import FILENAME

_LONGEST = 300  # characters of what a candidate says


class _Discard(io.TextIOBase):
    """Swallow what candidate code prints."""

    def write(self, text: str) -> int:
        return len(text)


@contextlib.contextmanager
def contained() -> Iterator[None]:
    """Run the block in silence; then restore torch's random state, grad mode, default dtype and threads."""
    grad, dtype, threads = torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads()
    with warnings.catch_warnings(), contextlib.redirect_stdout(_Discard()), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        torch.set_grad_enabled(True)
        try:
            yield
        finally:
            torch.set_grad_enabled(grad)
            torch.set_default_dtype(dtype)
            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)


def describe(error: BaseException) -> str:
    """Say in one line what was raised, and which line of the candidate's source it came from."""
    try:
        message = str(error)
    except Exception:  # a candidate may define its own exceptions
        message = "its message cannot be read"
    if isinstance(error, SyntaxError):
        message = error.msg
    text = one_line(message)
    head = f"{type(error).__name__}: {text}" if text else type(error).__name__
    line = _line(error)
    return f"{head} ({FILENAME}:{line})" if line else head


def one_line(text: str) -> str:
    """Make text that a candidate may have chosen fit to be shown: one line, printable, not endless."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text[: 2 * _LONGEST])
    return " ".join(printable.split())[:_LONGEST]


def _line(error: BaseException) -> int | None:
    if isinstance(error, SyntaxError) and error.filename == FILENAME:
        return error.lineno
    frames = [
        line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == FILENAME
    ]
    return frames[-1] if frames else None
