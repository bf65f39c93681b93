"""One trial, in its own process: gate, train from the nearest checkpoint, score."""

from __future__ import annotations

import contextlib
import math
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import nn

from foundry import gates
from foundry.data import dataset
from foundry.source import build_model, load_module
from foundry.training import checkpoint, experiment, inherit, init, loop, measure, pretrained, score
from foundry.training.fitting import fit
from foundry.trial import functions
from foundry.trial.job import Job
from foundry.trial.outcome import Crashed, Diverged, Outcome, OutOfMemory, Rejected, Scored

KEPT = "val_confirm"  # fully trained weights are kept for the candidates scored on it: the test split is next


def run(job: Job, checkpoints: Path) -> Outcome:
    """Carry out one job. Whatever the candidate does, the answer is an outcome."""
    try:
        return _Trial(job, checkpoints).run()
    except loop.DivergedError as error:
        return Diverged(step=error.step)
    except MemoryError as error:
        return OutOfMemory(reason=_line(error))
    except RuntimeError as error:
        out_of_memory = "memory" in str(error) and "alloc" in str(error)
        return OutOfMemory(reason=_line(error)) if out_of_memory else Crashed(reason=_line(error))
    except BaseException as error:  # sys.exit and the like in candidate code
        return Crashed(reason=_line(error))


class _Trial:
    def __init__(self, job: Job, checkpoints: Path) -> None:
        self.started = time.perf_counter()
        self.job = job
        self.experiment = experiment.parse(job.experiment)
        self.dataset = dataset.load(self.experiment.data)  # preloaded: the same argument
        self.model_args: Mapping[str, object] = self.experiment.sized_for(self.dataset.vocab_size)
        self.checkpoints = checkpoints
        self.folder = checkpoints / job.training_key

    def run(self) -> Outcome:
        job = self.job
        scored_on = dataset.unselected(self.experiment.data)
        if scored_on.sha256 != job.data:
            return Crashed(reason=f"data {self.dataset.name!r} is no longer what it was when the run began")
        if self.dataset.tokenizer.sha256 != scored_on.tokenizer.sha256:
            return Rejected(gate="data", reason="its choice of training text changes the tokenizer")
        if job.gated:
            batch_size = self.experiment.training.batch_size
            subject = gates.Subject(source=job.model, model_args=self.model_args, batch_size=batch_size)
            if failure := gates.check(subject):
                return Rejected(gate=failure.gate, reason=failure.reason)
        module = load_module(job.model)
        training = self.experiment.training
        self.cost = measure.cost(
            lambda: build_model(module, self.model_args),
            training=training,
            block_size=self.experiment.block_size,
        )
        if refusal := self._beyond_bounds():
            return refusal
        self.training_started = time.perf_counter()
        model = init.initialised(lambda: build_model(module, self.model_args), job.seed)
        pretrained.take_over(self.experiment, model, strict=False)  # what an edit has changed starts anew
        if job.inherits:
            inherit.take_over(self.checkpoints / job.inherits, model)
        self.batches = fit(model, self.dataset, self.experiment, job.seed).batches
        return self._trained_and_scored(model)

    def _beyond_bounds(self) -> Rejected | None:
        """Refuse what is larger than a run allows, and what cannot make one update within the rung."""
        needed, given, unit = self.cost.per_step(self.job.unit), self.job.until, self.job.unit
        if unit != "tokens" and needed > given:
            reason = f"one update takes {needed:.2g} {unit}, the rung has {given:.2g}"
            return Rejected(gate="budget", reason=reason)
        for name, most in self.job.bounds.items():
            if (value := getattr(self.cost, name)) > most:
                return Rejected(gate=f"max_{name}", reason=f"{value} {name}, more than the {most} allowed")
        return None

    def _trained_and_scored(self, model: nn.Module) -> Outcome:
        job = self.job
        steps, total = (self.cost.updates(amount, job.unit) for amount in (job.until, job.budget))
        optimizers = loop.build_optimizers(model, self.experiment.training)
        first = self._resume(model, optimizers, steps)
        function = ""
        if first == 0 and steps > functions.UPDATES:
            self._train(model, optimizers, range(functions.UPDATES), total)
            function = functions.fingerprint(model, self.experiment, self.dataset.vocab_size)
            if known := functions.recall(self.checkpoints, function, self.job):
                return replace(known, seconds=time.perf_counter() - self.started)
            first = functions.UPDATES
        began = time.perf_counter()
        self._train(model, optimizers, range(first, steps), total)
        seconds = time.perf_counter() - began
        if first < steps and (steps < total or self.job.split == KEPT):
            self._save(model, optimizers, steps)
        outcome = self._scored(model, steps, (steps - first) * self.cost.tokens_per_step / max(seconds, 1e-9))
        if not math.isfinite(outcome.loss):
            return Diverged(step=steps)
        outcome = replace(outcome, function=function)
        if function:
            functions.remember(self.checkpoints, self.job, outcome)
        return outcome

    def _scored(self, model: nn.Module, steps: int, tokens_per_second: float) -> Scored:
        split = dataset.unselected(self.experiment.data).splits[self.job.split]
        loss, bits = score.of_split(model, split, block_size=self.experiment.block_size)
        ended = time.perf_counter()
        return Scored(
            loss=loss,
            bits_per_byte=bits,
            params=self.cost.params,
            train_flops=self.cost.flops_per_step * steps,
            work=self.cost.work_per_step * steps,
            tokens=steps * self.cost.tokens_per_step,
            tokens_per_second=tokens_per_second,
            seconds=ended - self.started,
            train_seconds=ended - self.training_started,
            kv_bytes_per_token=self.cost.kv_bytes_per_token,
            peak_memory=_peak_memory(),
        )

    def _resume(self, model: nn.Module, optimizers: list[torch.optim.Optimizer], steps: int) -> int:
        """Load the furthest checkpoint on the way to `steps`; return the step where that lay."""
        if before := self._furthest(steps):
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

    def _save(self, model: nn.Module, optimizers: list[torch.optim.Optimizer], steps: int) -> None:
        with contextlib.suppress(
            OSError, SafetensorError
        ):  # a full disk costs the next rung time, not the candidate its score
            checkpoint.save(self.folder / f"{steps}.safetensors", model, optimizers, steps)

    def _furthest(self, steps: int) -> Path | None:
        reached = [int(path.stem) for path in self.folder.glob("*.safetensors") if int(path.stem) <= steps]
        return self.folder / f"{max(reached)}.safetensors" if reached else None


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300]


def _peak_memory() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
