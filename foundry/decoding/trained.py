"""Models with their weights: of a folder of `foundry train`, or of a candidate, trained again if need be."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from foundry.data.dataset import Dataset
from foundry.data.material import Held
from foundry.errors import UserError
from foundry.lora.adapt import adapt, fold
from foundry.source import build_model, load_module
from foundry.training import checkpoint, init, loop, measure, pretrained
from foundry.training.experiment import Experiment, parse
from foundry.training.fitting import finish, fit
from foundry.trial.job import Job


def from_checkpoint(path: Path, source: str, experiment: Experiment, dataset: Dataset) -> nn.Module:
    """Build a model from its source and read its weights; adapters are merged into them.

    Raises:
        UserError: the checkpoint is damaged, or of a model of other sizes or another vocabulary.
    """
    model = build_model(load_module(source), experiment.sized_for(dataset.vocab_size))
    try:
        if experiment.lora is None:
            checkpoint.load(path, model, [])
        else:
            checkpoint.load(path.with_name("base.safetensors"), model, [])
            adapted = adapt(model, experiment.lora, 0)
            checkpoint.load(path, model, [], leave_out=adapted.frozen)
            fold(model)
    except ValueError as error:
        raise UserError(f"{path.parent}: {error}") from None
    return model


def from_trial(
    job: Job, dataset: Dataset, *, checkpoints: Path, kept: Path, report: Callable[[int, int], None]
) -> nn.Module:
    """Return the model that a candidate's trial trained: its weights from `kept`, or trained again.

    A trial keeps none for good. Training it again, from the furthest of its `checkpoints` that is left, gives
    the same weights, which are then kept; `report` hears of updates done and all of them.

    Raises:
        UserError: the loss was not finite.
    """
    experiment = parse(job.experiment)
    args = experiment.sized_for(dataset.vocab_size)
    module = load_module(job.model)
    model = init.initialised(lambda: build_model(module, args), job.seed)
    pretrained.take_over(experiment, model, strict=False)
    cost = measure.cost(
        lambda: build_model(module, args),
        training=experiment.training,
        block_size=experiment.block_size,
        lora=experiment.lora,
    )
    total = cost.updates(job.budget, job.unit)
    fitted = fit(model, Held(dataset), experiment, job.seed)
    if _loaded(kept, model, []) == total:
        finish(model)
        return model
    optimizers = loop.build_optimizers(model, experiment.training)
    first = max(
        (int(path.stem) for path in checkpoints.glob("*.safetensors") if int(path.stem) <= total), default=0
    )
    first = _loaded(checkpoints / f"{first}.safetensors", model, optimizers)
    updates = loop.updates(
        model,
        optimizers,
        fitted.batches,
        experiment,
        seed=job.seed,
        steps=range(first, total),
        total=total,
    )
    try:
        for done, _ in enumerate(updates, start=first + 1):
            report(done, total)
    except loop.DivergedError as error:
        raise UserError(f"the candidate cannot be trained: {error}") from None
    checkpoint.save(kept, model, [], total)
    finish(model)
    return model


def _loaded(path: Path, model: nn.Module, optimizers: list[torch.optim.Optimizer]) -> int:
    """Load a checkpoint that is there and whole; return its step, or 0."""
    with contextlib.suppress(ValueError):
        return checkpoint.load(path, model, optimizers) if path.is_file() else 0
    return 0
