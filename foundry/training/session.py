"""A training that a person watches: evaluations, metrics, checkpoints, and going on after a stop.

Everything lies in one folder: `model.py` and `experiment.yaml` as trained, `metrics.jsonl` with a line per
evaluation, `latest.safetensors` to go on from and `best.safetensors` with the lowest validation loss. Several
processes that train together each run a session; the first of them writes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import torch

from foundry.data.dataset import Dataset
from foundry.data.material import Held
from foundry.lora import files
from foundry.source import build_model, load_module
from foundry.trackers import Tracker
from foundry.training import checkpoint, distributed, init, loop, pretrained, score
from foundry.training.experiment import Experiment
from foundry.training.explosion import Explosion, starting_loss
from foundry.training.fitting import fit
from foundry.training.placing import place
from foundry.training.record import Evaluation, Record
from foundry.training.world import ALONE, World

CPU = torch.device("cpu")


class Session:
    """One training with its folder; `updates` runs it from where the folder says it stands."""

    def __init__(
        self,
        experiment: Experiment,
        source: str,
        dataset: Dataset,
        folder: Path,
        seed: int,
        *,
        world: World = ALONE,
        device: torch.device = CPU,
    ) -> None:
        args = experiment.sized_for(dataset.vocab_size)
        module = load_module(source)
        self.experiment = experiment
        self.dataset = dataset
        self.folder = folder
        self.seed = seed
        self.world = world
        self.device = device
        self.total = experiment.training.max_iters
        model = init.initialised(lambda: build_model(module, args), seed)
        self.inherited = pretrained.take_over(experiment, model)  # in words
        self.fitted = fit(model, Held(dataset), experiment, seed)
        self.params = sum(p.numel() for p in model.parameters())
        placed = place(model, experiment.training, world, device)
        self.model, self.trained, self.optimizers = placed.model, placed.trained, placed.optimizers
        self.step = 0
        self.saved: int | None = None  # updates done at the latest checkpoint
        self.record = Record(folder / "metrics.jsonl", writes=world.first)
        self.trackers: list[Tracker] = []
        start = starting_loss(self.model, self.fitted.batches, experiment, seed)
        self.explosion = Explosion(max(start, math.log(dataset.vocab_size)), experiment.training.warmup_iters)

    def resume(self) -> None:
        """Go back to the latest checkpoint, and forget what was measured after it.

        Raises:
            ValueError: the checkpoint is damaged or does not fit the model, the data or the optimizer.
        """
        if (self.folder / "latest.safetensors").exists():
            self.step = checkpoint.load(
                self.folder / "latest.safetensors",
                self.model,
                self.optimizers,
                leave_out=self.fitted.frozen,
            )
            self.saved = self.step
        self.record.go_back(self.step)

    def updates(self) -> Iterator[tuple[int, float]]:
        """Train to the end; yield (updates done, training loss) after each, evaluating on the way.

        Raises:
            DivergedError: the loss was not finite or exploded; the latest checkpoint is from before.
        """
        steps = range(self.step, self.total)
        started, since = time.perf_counter(), self.step
        for loss in loop.updates(
            self.trained,
            self.optimizers,
            self.fitted.batches,
            self.experiment,
            seed=self.seed,
            steps=steps,
            total=self.total,
            world=self.world,
        ):
            self.explosion.check(self.step, loss)
            self.step += 1
            self._track({"train_loss": loss})
            if self.step % self.experiment.training.eval_interval == 0 or self.step == self.total:
                seconds = time.perf_counter() - started
                self._evaluate(loss, (self.step - since) * self.experiment.tokens_per_step / seconds)
                started, since = time.perf_counter(), self.step
            yield self.step, loss

    def save(self) -> None:
        """Write the checkpoint that `resume` goes on from, unless the loss is about to explode."""
        if not self.explosion.near:
            self._checkpoint("latest.safetensors")
            self.saved = self.step

    def sample(self, characters: int) -> str:
        """Let the model as it is write some text."""
        self.model.eval()
        torch.manual_seed(self.seed)
        first = self.dataset.splits["val_search"].tokens[:1].astype("int64")
        start = torch.from_numpy(first)[None].to(self.device)
        ids = self.model.generate(start, characters, temperature=0.8, top_k=200)[0, 1:]  # type: ignore[operator]
        return self.dataset.decode(ids.tolist())

    def _evaluate(self, train_loss: float, tokens_per_second: float) -> None:
        """Score the model in float32, every process the whole split; what the first one finds counts."""
        split = self.dataset.splits["val_search"]
        training, block_size = self.experiment.training, self.experiment.block_size
        at_once = min(score.TOKENS, training.batch_size * block_size)  # no more memory than an update takes
        found = score.of_split(self.model, split, block_size=block_size, tokens_per_batch=at_once)
        loss, bits = (distributed.first_says(self.world, figure) for figure in found)
        evaluation = Evaluation(
            step=self.step,
            tokens=self.step * self.experiment.tokens_per_step,
            train_loss=train_loss,
            val_loss=loss,
            bits_per_byte=bits,
            tokens_per_second=tokens_per_second,
        )
        self.record.add(evaluation)
        figures = asdict(evaluation)
        self._track({name: figures[name] for name in ("val_loss", "bits_per_byte", "tokens_per_second")})
        if self.record.best is evaluation:
            self._checkpoint("best.safetensors")
            self._adapter()
        self.save()

    def _checkpoint(self, name: str) -> None:
        """Write what trains; beside it once, where adapters train, the model that they belong to."""
        frozen = self.fitted.frozen
        base = self.folder / "base.safetensors"
        if frozen and not base.exists():
            trained = {name for name, _ in self.model.named_parameters()} - frozen
            checkpoint.save(base, self.model, [], 0, self.world, leave_out=trained)
        path = self.folder / name
        checkpoint.save(path, self.model, self.optimizers, self.step, self.world, leave_out=frozen)

    def _adapter(self) -> None:
        """Write adapters as PEFT has them, too."""
        if self.experiment.lora is not None and self.world.first:
            files.save(
                self.folder / "adapter", self.model, self.experiment.lora, base=self.experiment.base_model
            )

    def _track(self, figures: Mapping[str, float]) -> None:
        for tracker in self.trackers:
            tracker.log(self.step, figures)
