"""A training that a person watches: evaluations, metrics, checkpoints, and going on after a stop.

Everything lies in one folder: `model.py` and `experiment.yaml` as trained, `metrics.jsonl` with a line per
evaluation, `latest.safetensors` to go on from and `best.safetensors` with the lowest validation loss.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from foundry.data.dataset import Dataset
from foundry.source import build_model, load_module
from foundry.training import checkpoint, init, loop, score
from foundry.training.experiment import Experiment


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One line of metrics.jsonl; losses in nats per token."""

    step: int  # updates done
    tokens: int  # training tokens seen
    train_loss: float  # of the last batch before
    val_loss: float  # over the whole split val_search
    bits_per_byte: float
    tokens_per_second: float  # of training, since the evaluation before; the only figure that may differ


class Session:
    """One training with its folder; `updates` runs it from where the folder says it stands."""

    def __init__(
        self, experiment: Experiment, source: str, dataset: Dataset, folder: Path, seed: int
    ) -> None:
        args = {**experiment.model_args, "vocab_size": dataset.vocab_size}
        module = load_module(source)
        self.experiment = experiment
        self.dataset = dataset
        self.folder = folder
        self.seed = seed
        self.total = experiment.training.max_iters
        self.model = init.initialised(lambda: build_model(module, args), seed)
        self.optimizers = loop.build_optimizers(self.model, experiment.training)
        self.step = 0
        self.evaluations: list[Evaluation] = []

    def resume(self) -> None:
        """Go back to the latest checkpoint, and forget what was measured after it.

        Raises:
            ValueError: the checkpoint is damaged.
        """
        if not (self.folder / "latest.safetensors").exists():
            return
        self.step = checkpoint.load(self.folder / "latest.safetensors", self.model, self.optimizers)
        lines = (self.folder / "metrics.jsonl").read_text().splitlines()
        kept = [line for line in lines if json.loads(line)["step"] <= self.step]
        self.evaluations = [Evaluation(**json.loads(line)) for line in kept]
        (self.folder / "metrics.jsonl").write_text("".join(line + "\n" for line in kept))

    def updates(self) -> Iterator[tuple[int, float]]:
        """Train to the end; yield (updates done, training loss) after each, evaluating on the way.

        Raises:
            DivergedError: the loss was not finite; the latest checkpoint is from before.
        """
        steps = range(self.step, self.total)
        started, since = time.perf_counter(), self.step
        for loss in loop.updates(
            self.model,
            self.optimizers,
            self.dataset.batches(),
            self.experiment,
            seed=self.seed,
            steps=steps,
            total=self.total,
        ):
            self.step += 1
            if self.step % self.experiment.training.eval_interval == 0 or self.step == self.total:
                seconds = time.perf_counter() - started
                self._evaluate(loss, (self.step - since) * self.experiment.tokens_per_step / seconds)
                started, since = time.perf_counter(), self.step
            yield self.step, loss

    def save(self) -> None:
        """Write the checkpoint that `resume` goes on from."""
        checkpoint.save(self.folder / "latest.safetensors", self.model, self.optimizers, self.step)

    @property
    def best(self) -> Evaluation | None:
        """The evaluation with the lowest validation loss, the earlier where equal; None before the first."""
        return min(self.evaluations, key=lambda evaluation: evaluation.val_loss, default=None)

    def sample(self, characters: int) -> str:
        """Let the model as it is write some text."""
        self.model.eval()
        torch.manual_seed(self.seed)
        start = torch.from_numpy(self.dataset.splits["val_search"].tokens[:1].astype("int64"))[None]
        ids = self.model.generate(start, characters, temperature=0.8, top_k=200)[0, 1:]  # type: ignore[operator]
        return self.dataset.decode(ids.tolist())

    def _evaluate(self, train_loss: float, tokens_per_second: float) -> None:
        split = self.dataset.splits["val_search"]
        tokens = torch.from_numpy(split.tokens.astype("int32"))
        loss = score.cross_entropy(self.model, tokens, block_size=self.experiment.block_size)
        evaluation = Evaluation(
            step=self.step,
            tokens=self.step * self.experiment.tokens_per_step,
            train_loss=train_loss,
            val_loss=loss,
            bits_per_byte=score.bits_per_byte(loss, len(tokens), split.n_bytes),
            tokens_per_second=tokens_per_second,
        )
        self.evaluations.append(evaluation)
        with (self.folder / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(asdict(evaluation)) + "\n")
        if self.best is evaluation:
            checkpoint.save(self.folder / "best.safetensors", self.model, self.optimizers, self.step)
        self.save()
