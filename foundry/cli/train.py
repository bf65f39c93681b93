"""`foundry train EXPERIMENT [KEY=VALUE ...]`: train one experiment from the shell."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from foundry.cli.edge import guarded
from foundry.cli.prepared import prepare, read_text
from foundry.errors import UserError

if TYPE_CHECKING:
    from foundry.training.session import Evaluation, Session

SAMPLE = 400  # characters of text at the end


def main(argv: Sequence[str] | None = None) -> int:
    """Train; return 0 at the end, 130 after Ctrl-C, 2 for a mistake or a loss that diverged."""
    parser = argparse.ArgumentParser(prog="foundry train", description="Train one experiment.")
    parser.add_argument("experiment", help="a YAML file, such as experiments/baseline.yaml")
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="such as training.max_iters=200")
    parser.add_argument("--out", metavar="DIR", help="where results go (default: runs/train/NAME)")
    parser.add_argument("--resume", action="store_true", help="go on with what lies in that folder")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    parser.add_argument("--threads", type=int, metavar="N", help="of torch (default: one per core)")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_intermixed_args(argv)
    return guarded(lambda: _train(options, Console()), name="foundry train", debug=options.debug)


def _train(options: argparse.Namespace, console: Console) -> int:
    session = _session(options)
    name, params = session.experiment.name, sum(p.numel() for p in session.model.parameters())
    console.print(
        f"{name}: {params:,} parameters, {session.total} updates of "
        f"{session.experiment.tokens_per_step} tokens, in {session.folder}",
        highlight=False,
        markup=False,
    )
    stopped = _watch(session, console)
    if stopped:
        session.save()
        console.print(f"Stopped at update {session.step} of {session.total}; go on with:", highlight=False)
        console.print(f"  {_again(options)}", highlight=False, markup=False, soft_wrap=True)
        return 130
    best = session.best
    assert best is not None
    console.print(
        f"best validation loss {best.val_loss:.4f} at update {best.step}; a sample:\n", highlight=False
    )
    console.print(session.sample(SAMPLE), highlight=False, markup=False)
    return 0


def _session(options: argparse.Namespace) -> Session:
    """Read and check everything before torch is imported and anything is written."""
    ready = prepare(read_text(options.experiment), options.experiment, options.settings)
    folder = Path(options.out or Path("runs", "train", ready.experiment.name))
    _prepare(folder, {"model.py": ready.model, "experiment.yaml": ready.text}, resume=options.resume)

    import torch

    from foundry.training.session import Session

    torch.set_num_threads(options.threads or os.cpu_count() or 1)
    session = Session(ready.experiment, ready.model, ready.dataset, folder, options.seed)
    if options.resume:
        try:
            session.resume()
        except ValueError as error:
            raise UserError(str(error)) from None
    return session


def _prepare(folder: Path, files: dict[str, str], *, resume: bool) -> None:
    """Make the folder of a new training, or check that the one to go on with is the same training."""
    if resume:
        for name, text in files.items():
            if not (folder / name).is_file():
                raise UserError(f"{folder} holds no training to resume")
            if (folder / name).read_text("utf-8") != text:
                raise UserError(
                    f"{folder / name} is of another training: give the same settings, or another --out"
                )
        return
    if (folder / "experiment.yaml").exists():
        raise UserError(
            f"{folder} holds a training already: --resume goes on with it, --out names another folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")


def _watch(session: Session, console: Console) -> bool:
    """Train with a progress bar, or a line per evaluation where there is no terminal; say whether stopped."""
    from foundry.training.loop import DivergedError

    columns = (
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TextColumn("loss {task.fields[loss]:.4f}"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    shown = len(session.evaluations)
    with (
        Progress(*columns, console=console, disable=not console.is_terminal) as progress,
        _interrupts() as asked,
    ):
        bar = progress.add_task("", total=session.total, completed=session.step, loss=float("nan"), rate="")
        try:
            for step, loss in session.updates():
                progress.update(bar, completed=step, loss=loss)
                for evaluation in session.evaluations[shown:]:
                    progress.update(bar, rate=f"{evaluation.tokens_per_second:,.0f} tok/s")
                    progress.console.print(_line(evaluation), highlight=False)
                shown = len(session.evaluations)
                if asked:
                    return step < session.total
        except DivergedError as error:
            kept = (
                "latest.safetensors is from before" if session.evaluations else "there is no checkpoint yet"
            )
            raise UserError(f"{error} of {session.total}: {kept}") from None
    return False


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Note the first Ctrl-C, so that an update is never cut in half; the second is the usual one."""
    asked: list[int] = []

    def note(number: int, _: object) -> None:
        asked.append(number)
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


def _line(e: Evaluation) -> str:
    losses = f"train {e.train_loss:.4f}  val {e.val_loss:.4f}  {e.bits_per_byte:.4f} bpb"
    return f"update {e.step:>6}  {losses}  {e.tokens_per_second:,.0f} tok/s"


def _again(options: argparse.Namespace) -> str:
    parts = ["foundry", "train", options.experiment, *options.settings]
    parts += ["--out", options.out] if options.out else []
    parts += ["--seed", str(options.seed)] if options.seed else []
    parts += ["--threads", str(options.threads)] if options.threads else []
    return shlex.join([*parts, "--resume"])
