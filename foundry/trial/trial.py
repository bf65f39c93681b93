"""One trial, in its own process: gate, train from the nearest checkpoint, score."""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from torch import nn

from foundry import gates
from foundry.data import dataset
from foundry.source import build_model, load_module
from foundry.training import checkpoint, experiment, init, loop, measure, score
from foundry.trial.job import Job
from foundry.trial.outcome import Crashed, Diverged, Outcome, OutOfMemory, Rejected, Scored


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
        self.model_args: Mapping[str, object] = {
            **self.experiment.model_args,
            "vocab_size": self.dataset.vocab_size,
        }
        self.folder = checkpoints / job.training_key

    def run(self) -> Outcome:
        job = self.job
        if self.dataset.sha256 != job.data:
            return Crashed(reason=f"data {self.dataset.name!r} is no longer what it was when the run began")
        if job.gated:
            batch_size = self.experiment.training.batch_size
            subject = gates.Subject(source=job.model, model_args=self.model_args, batch_size=batch_size)
            if failure := gates.check(subject):
                return Rejected(gate=failure.gate, reason=failure.reason)
        steps = self.experiment.steps_for(job.tokens)
        module = load_module(job.model)
        cost = measure.cost(
            lambda: build_model(module, self.model_args),
            batch_size=self.experiment.training.batch_size,
            block_size=self.experiment.block_size,
        )
        training_started = time.perf_counter()
        model = init.initialised(lambda: build_model(module, self.model_args), job.seed)
        first = self._train(model, steps)
        trained = time.perf_counter()
        loss = self._score(model)
        if loss != loss or loss == float("inf"):
            return Diverged(step=steps)
        split = self.dataset.splits[job.split]
        per_step = self.experiment.tokens_per_step
        ended = time.perf_counter()
        return Scored(
            loss=loss,
            bits_per_byte=score.bits_per_byte(loss, len(split.tokens), split.n_bytes),
            params=cost.params,
            train_flops=cost.flops_per_step * self.experiment.training.gradient_accumulation_steps * steps,
            tokens=steps * per_step,
            tokens_per_second=(steps - first) * per_step / max(trained - training_started, 1e-9),
            seconds=ended - self.started,
            train_seconds=ended - training_started,
            kv_bytes_per_token=cost.kv_bytes_per_token,
            peak_memory=_peak_memory(),
        )

    def _train(self, model: nn.Module, steps: int) -> int:
        """Train to `steps`, from the furthest checkpoint on the way; return the step where that lay."""
        optimizers = loop.build_optimizers(model, self.experiment.training)
        first = 0
        if before := self._furthest(steps):
            with contextlib.suppress(ValueError):  # damaged, by a power cut say: train from the start
                first = checkpoint.load(before, model, optimizers)
        total = self.experiment.steps_for(self.job.budget)
        loop.train(
            model,
            optimizers,
            self.dataset.batches(),
            self.experiment,
            seed=self.job.seed,
            steps=range(first, steps),
            total=total,
        )
        if first < steps < total:  # a full training is never resumed
            with contextlib.suppress(
                OSError, SafetensorError
            ):  # a full disk costs the next rung time, not the candidate its score
                checkpoint.save(self.folder / f"{steps}.safetensors", model, optimizers, steps)
        return first

    def _furthest(self, steps: int) -> Path | None:
        reached = [int(path.stem) for path in self.folder.glob("*.safetensors") if int(path.stem) <= steps]
        return self.folder / f"{max(reached)}.safetensors" if reached else None

    def _score(self, model: nn.Module) -> float:
        tokens = self.dataset.splits[self.job.split].tokens
        return score.cross_entropy(model, tokens, block_size=self.experiment.block_size)


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300]


def _peak_memory() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
