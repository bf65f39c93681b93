"""How far a training is: a bar in a terminal, nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(total: int, done: int) -> Iterator[Callable[..., object]]:
    """Yield what moves the bar: `completed` in updates, `loss`, and `rate` in words.

    What is printed meanwhile comes above it. rich, which draws it, is imported nowhere else in a training:
    it takes 5 MiB.
    """
    if not sys.stdout.isatty():
        yield lambda **_: None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TextColumn("loss {task.fields[loss]:.4f}"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress:
        bar = progress.add_task("", total=total, completed=done, loss=float("nan"), rate="")
        yield lambda **fields: progress.update(bar, **fields)
