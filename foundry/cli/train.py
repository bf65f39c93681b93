"""`foundry train EXPERIMENT [KEY=VALUE ...]`: train one experiment, in one process or by torchrun."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from foundry.cli.edge import guarded
from foundry.cli.prepared import Prepared, prepare, read_text
from foundry.cli.progress import progress_bar
from foundry.errors import UserError
from foundry.training import folder as folders
from foundry.training.world import World

if TYPE_CHECKING:
    from foundry.training.record import Evaluation
    from foundry.training.session import Session


def main(argv: Sequence[str] | None = None) -> int:
    """Train; return 0 at the end, 130 after Ctrl-C, 2 for a mistake or a loss that diverged."""
    parser = argparse.ArgumentParser(
        prog="foundry train",
        description="Train one experiment.",
        epilog="In several processes: torchrun --nproc-per-node 2 -m foundry.train EXPERIMENT ...",
    )
    parser.add_argument("experiment", help="a YAML file, such as experiments/baseline.yaml")
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="such as training.max_iters=200")
    parser.add_argument("--out", metavar="DIR", help="where results go (default: runs/train/NAME)")
    parser.add_argument("--resume", action="store_true", help="go on with what lies in that folder")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    parser.add_argument("--threads", type=int, metavar="N", help="of torch (default: one per core)")
    parser.add_argument(
        "--tracker", action="append", default=[], metavar="NAME", help="show figures there too: tensorboard"
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_intermixed_args(argv)
    return guarded(lambda: _train(options, World.of()), name="foundry train", debug=options.debug)


def _train(options: argparse.Namespace, world: World) -> int:
    """Train, in this process or in this one of several, of which the first alone reports."""
    try:
        ready = prepare(read_text(options.experiment), options.experiment, options.settings)
        world.require(ready.experiment.training)
        with ExitStack() as stack:
            session = _session(options, ready, world, stack)
            return _run(session, options, _say if world.first else _silent)
    except UserError:
        if world.local_rank == 0 or options.debug:
            raise
        return 2  # said once on each machine


def _say(text: str) -> None:
    print(text, flush=True)  # for those who follow a file


def _silent(_: str) -> None:
    """Take the place of `_say` in all processes but the first."""


def _run(session: Session, options: argparse.Namespace, say: Callable[[str], None]) -> int:
    say(
        f"{session.experiment.name}: {session.params:,} parameters, {session.total} updates of "
        f"{session.experiment.tokens_per_step} tokens, in {session.folder}"
    )
    for note in (session.inherited, *session.dataset.notes, *session.fitted.notes):
        if note:
            say(note)
    if session.inherited and session.step == 0:
        say(_at_first(session))
    if _watch(session, say):
        session.save()
        say(f"Stopped at update {session.step} of {session.total}; go on with:")
        say(f"  {_again(options, session.world)}")
        return 130
    best = session.record.best
    assert best is not None
    say(f"best validation loss {best.val_loss:.4f} at update {best.step}; a sample:\n")
    from foundry.cli.specimen import specimen
    from foundry.training import pages

    pages.give_back()
    say(specimen(session))
    return 0


def _at_first(session: Session) -> str:
    """Say what the weights are worth that the training starts from."""
    from foundry.training import score

    split = session.dataset.splits["val_search"]
    loss, bits = score.of_split(session.model, split, block_size=session.experiment.block_size)
    return f"update      0  val {loss:.4f}  {bits:.4f} bpb"


def _session(options: argparse.Namespace, ready: Prepared, world: World, stack: ExitStack) -> Session:
    """Set the training up, or go on with it; nothing is written before everything is checked."""
    folder = Path(options.out or Path("runs", "train", ready.experiment.name))
    origin = {"seed": options.seed, "data_sha256": ready.dataset.sha256}
    files = {
        "model.py": ready.model,
        "experiment.yaml": ready.text,
        "origin.json": json.dumps(origin, indent=1) + "\n",
    }
    if world.first and options.resume:
        folders.require_same(folder, files)
    elif world.first:
        folders.require_free(folder)

    import torch

    from foundry import trackers
    from foundry.training import device as devices
    from foundry.training import distributed, pages
    from foundry.training.session import Session

    pages.keep()
    torch.set_num_threads(options.threads or max(1, (os.cpu_count() or 1) // world.local_size))
    device = devices.choose(ready.experiment.training, world.local_rank)
    stack.enter_context(distributed.joined(world, device))
    session = Session(
        ready.experiment, ready.model, ready.dataset, folder, options.seed, world=world, device=device
    )
    if options.resume:
        try:
            session.resume()
        except ValueError as error:
            raise UserError(str(error)) from None
    elif world.first:
        folders.make(folder, files)
    for name in options.tracker if world.first else []:
        session.trackers.append(stack.enter_context(closing(trackers.start(name, folder, session.step))))
    return session


def _watch(session: Session, say: Callable[[str], None]) -> bool:
    """Train with a progress bar and a line per evaluation; say whether it was stopped."""
    from foundry.training import distributed
    from foundry.training.loop import DivergedError

    shown = len(session.record.evaluations)
    with (
        progress_bar(session.total, session.step) as advance,
        _interrupts(again=session.world.size > 1) as asked,
    ):
        try:
            for step, loss in session.updates():
                advance(completed=step, loss=loss)
                for evaluation in session.record.evaluations[shown:]:
                    advance(rate=f"{evaluation.tokens_per_second:,.0f} tok/s")
                    say(_line(evaluation))
                shown = len(session.record.evaluations)
                if distributed.first_says(session.world, bool(asked)):
                    return step < session.total
        except DivergedError as error:
            raise UserError(f"{error} of {session.total}: {_last_good(session)}") from None
    return False


@contextmanager
def _interrupts(*, again: bool) -> Iterator[list[int]]:
    """Note the first Ctrl-C, so that an update is never cut in half; the second is the usual one.

    Note them all where one comes `again`: torchrun sends what the terminal has sent already.
    """
    asked: list[int] = []

    def note(number: int, _: object) -> None:
        asked.append(number)
        if not again:
            signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield asked
    finally:
        if not again:
            signal.signal(signal.SIGINT, before)


def _last_good(session: Session) -> str:
    if session.saved is None:
        return "there is no checkpoint yet"
    return f"the last good checkpoint is {session.folder / 'latest.safetensors'}, of update {session.saved}"


def _line(e: Evaluation) -> str:
    losses = f"train {e.train_loss:.4f}  val {e.val_loss:.4f}  {e.bits_per_byte:.4f} bpb"
    return f"update {e.step:>6}  {losses}  {e.tokens_per_second:,.0f} tok/s"


def _again(options: argparse.Namespace, world: World) -> str:
    torchrun = ["torchrun", "--nproc-per-node", str(world.local_size), "-m", "foundry.train"]
    parts = ["foundry", "train"] if world.size == 1 else torchrun
    parts += [options.experiment, *options.settings]
    parts += ["--out", options.out] if options.out else []
    parts += ["--seed", str(options.seed)] if options.seed else []
    parts += ["--threads", str(options.threads)] if options.threads else []
    parts += [f"--tracker={name}" for name in options.tracker]
    return shlex.join([*parts, "--resume"])
