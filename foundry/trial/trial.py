"""One trial, in its own process: gate, train from the nearest checkpoint, answer the examiner.

The process holds neither the data nor the targets of what is scored, and its word counts for nothing but
costs: the score comes from foundry/trial/examiner.py.
"""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import nn

from foundry import gates
from foundry.data.batches import Batches
from foundry.training import checkpoint, loop
from foundry.trial import functions
from foundry.trial.candidate import Candidate
from foundry.trial.desk import Desk
from foundry.trial.job import RUNG, WEIGHTS, Job
from foundry.trial.outcome import Crashed, Diverged, Outcome, OutOfMemory, Rejected, encode

KEPT = "val_confirm"  # fully trained weights are kept for the candidates scored on it: the test split is next


@dataclass(frozen=True)
class _Ended:
    """A training that has come to its end."""

    desk: Desk
    costs: dict[str, object]
    steps: int | None  # after so many updates it is to be examined; None where its score is known


def run(
    job: Job, checkpoints: Path, temporary: Path, connection: socket.socket, say: Callable[[str], None]
) -> None:
    """Carry out one job; say as JSON what it cost, or how it failed, and then have it examined.

    In this order: who asks to be examined is killed before anything is seen of what it is scored on.
    """
    ended = _tried(job, checkpoints, temporary, connection)
    if isinstance(ended, Outcome):
        say(encode(ended))
        return
    say(json.dumps(ended.costs))
    if ended.steps is not None:
        ended.desk.examine(ended.steps)


def _tried(job: Job, checkpoints: Path, temporary: Path, connection: socket.socket) -> Outcome | _Ended:
    try:
        return _Trial(job, checkpoints, temporary, connection).run()
    except loop.DivergedError as error:
        return Diverged(step=error.step)
    except MemoryError as error:
        return OutOfMemory(reason=_line(error))
    except RuntimeError as error:
        out_of_memory = "memory" in str(error) and "alloc" in str(error)
        return OutOfMemory(reason=_line(error)) if out_of_memory else Crashed(reason=_line(error))
    except BaseException as error:  # sys.exit and the like in candidate code
        return Crashed(reason=_line(error))


def answer(job: Job, checkpoints: Path, temporary: Path, connection: socket.socket) -> None:
    """Build the model of a trial anew, give it the weights, and answer the examiner."""
    candidate = Candidate(job, checkpoints, Desk(connection))
    model = candidate.unfilled()
    checkpoint.load(temporary / WEIGHTS, model, [])
    candidate.desk.ready(model, candidate.experiment.decoding.kv_cache)


class _Trial:
    def __init__(self, job: Job, checkpoints: Path, temporary: Path, connection: socket.socket) -> None:
        self.job = job
        self.folder = checkpoints / job.training_key
        self.temporary = temporary
        self.desk = Desk(connection)
        self.candidate = Candidate(job, checkpoints, self.desk)
        self.experiment = self.candidate.experiment

    def run(self) -> Outcome | _Ended:
        """Return what the training cost, or why there was none."""
        if self.job.gated:
            batch_size = self.experiment.training.batch_size
            args = self.candidate.model_args
            subject = gates.Subject(source=self.job.model, model_args=args, batch_size=batch_size)
            if failure := gates.check(subject):
                return Rejected(gate=failure.gate, reason=failure.reason)
        self.cost = self.candidate.cost()
        if refusal := self._beyond_bounds():
            return refusal
        started = time.perf_counter()
        model, fitted = self.candidate.made()
        self.batches: Batches = fitted.batches
        ended = self._trained(model)
        seconds = time.perf_counter() - started
        return replace(ended, costs={**ended.costs, "train_seconds": seconds, "peak_memory": _peak_memory()})

    def _beyond_bounds(self) -> Rejected | None:
        """Refuse what is larger than a run allows, and what cannot make one update within the rung."""
        needed, given, unit = self.cost.per_step(self.job.unit), self.job.until, self.job.unit
        if unit != "tokens" and needed > given:
            reason = f"one update takes {needed / given:.5g} times the {unit} that its rung has"
            return Rejected(gate="budget", reason=reason)
        for name, most in self.job.bounds.items():
            if (value := getattr(self.cost, name)) > most:
                return Rejected(gate=f"max_{name}", reason=f"{value} {name}, more than the {most} allowed")
        return None

    def _trained(self, model: nn.Module) -> _Ended:
        job = self.job
        steps, total = (self.cost.updates(amount, job.unit) for amount in (job.until, job.budget))
        optimizers = loop.build_optimizers(model, self.experiment.training)
        first = self._resume(model, optimizers, steps)
        if first == 0 and steps > functions.UPDATES and not job.begun:
            self._train(model, optimizers, range(functions.UPDATES), total)
            function = functions.fingerprint(model, self.experiment, self.desk.vocab_size)
            if self.desk.is_known(functions.Known(function, steps, total)):
                return _Ended(self.desk, self._costs(steps, tokens_per_second=0.0), None)
            first = functions.UPDATES
        began = time.perf_counter()
        self._train(model, optimizers, range(first, steps), total)
        seconds = time.perf_counter() - began
        if first < steps and (steps < total or self.job.split == KEPT):
            with contextlib.suppress(OSError, SafetensorError):
                # a full disk costs the next rung time, not the candidate its score
                checkpoint.save(self.temporary / RUNG, model, optimizers, steps)
        checkpoint.save(self.temporary / WEIGHTS, model, [], steps)
        speed = (steps - first) * self.cost.tokens_per_step / max(seconds, 1e-9)
        return _Ended(self.desk, self._costs(steps, tokens_per_second=speed), steps)

    def _costs(self, steps: int, *, tokens_per_second: float) -> dict[str, object]:
        return {
            "params": self.cost.params,
            "train_flops": self.cost.flops_per_step * steps,
            "work": self.cost.work_per_step * steps,
            "tokens": steps * self.cost.tokens_per_step,
            "tokens_per_second": tokens_per_second,
            "kv_bytes_per_token": self.cost.kv_bytes_per_token,
            "inherited": self.candidate.inherited,
        }

    def _resume(self, model: nn.Module, optimizers: list[torch.optim.Optimizer], steps: int) -> int:
        """Load the furthest checkpoint on the way to `steps`; return the step where that lay.

        One at `steps` itself is for the test split alone. Elsewhere a trial left it that was cut off before
        its outcome was recorded: repeated from before it, it comes to the same outcome.
        """
        if before := self._furthest(steps if self.job.split == "test" else steps - 1):
            with contextlib.suppress(ValueError):  # damaged, by a power cut say: train from the start
                return checkpoint.load(before, model, optimizers)
        return 0

    def _train(
        self, model: nn.Module, optimizers: list[torch.optim.Optimizer], steps: range, total: int
    ) -> None:
        loop.train(
            model,
            optimizers,
            self.batches,
            self.experiment,
            seed=self.job.seed,
            steps=steps,
            total=total,
        )

    def _furthest(self, steps: int) -> Path | None:
        reached = [int(path.stem) for path in self.folder.glob("*.safetensors") if int(path.stem) <= steps]
        return self.folder / f"{max(reached)}.safetensors" if reached else None


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300]


def _peak_memory() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
