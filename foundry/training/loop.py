"""The training loop. What is random in it depends on (seed, step): stopping and going on changes nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from foundry.data.batches import Batch, Batches
from foundry.keyed import seed_for
from foundry.registry import load_part
from foundry.training import device as devices
from foundry.training import distributed, ramp
from foundry.training.experiment import Experiment, Training
from foundry.training.world import ALONE, World


class DivergedError(ArithmeticError):
    """The training loss was not finite, or is beyond hope."""

    def __init__(self, step: int, what: str = "was not finite") -> None:
        super().__init__(f"the loss {what} at step {step}")
        self.step = step


def build_optimizers(model: nn.Module, training: Training) -> list[torch.optim.Optimizer]:
    """Make the optimizers that the experiment names, each group remembering its full learning rate."""
    part = load_part("foundry/training/optimizers", "optimizer", training.optimizer)
    optimizers: list[torch.optim.Optimizer] = part.build(model, training)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["full_lr"] = group["lr"]
    return optimizers


def train(
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    batches: Batches,
    experiment: Experiment,
    *,
    seed: int,
    steps: range,
    total: int,
) -> None:
    """Train in place on what `batches` gives for the updates in `steps` out of a schedule of `total`.

    Raises:
        DivergedError: the loss was NaN or infinite.
    """
    for _ in updates(model, optimizers, batches, experiment, seed=seed, steps=steps, total=total):
        pass


def updates(
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    batches: Batches,
    experiment: Experiment,
    *,
    seed: int,
    steps: range,
    total: int,
    world: World = ALONE,
) -> Iterator[float]:
    """Do what `train` does one update at a time, yielding the training loss of each after it is done.

    Several processes share the batch: each computes its part, all make the same update and yield the same
    loss.
    """
    training = experiment.training
    schedule = load_part("foundry/training/schedules", "schedule", training.schedule)
    parameters = [p for p in model.parameters() if p.requires_grad]
    for step in steps:
        model.train()
        _set_rate(optimizers, schedule.factor(step, total, training))
        losses = []
        for part, batch in enumerate(_parts(batches, experiment, seed, step, total)):
            losses.append(_backward(model, batch, experiment, (seed, step, part), world))
            if training.grad_clip:
                torch.nn.utils.clip_grad_norm_(parameters, training.grad_clip)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
        yield sum(losses) / len(losses)


def _set_rate(optimizers: Sequence[torch.optim.Optimizer], factor: float) -> None:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["full_lr"] * factor


def _parts(batches: Batches, experiment: Experiment, seed: int, step: int, total: int) -> list[Batch]:
    """Draw the sequences of a step: one batch, or where batches are still growing several small ones."""
    training = experiment.training
    inputs, targets = batches.draw(
        seed=seed,
        step=step,
        total=total,
        batch_size=training.gradient_accumulation_steps * training.batch_size,
        block_size=experiment.block_size,
    )
    n = ramp.updates(step / total, training)
    return list(zip(inputs.chunk(n), targets.chunk(n), strict=True))


def _backward(
    model: nn.Module, batch: Batch, experiment: Experiment, place: tuple[int, int, int], world: World
) -> float:
    """Leave the gradients of one batch on the model; return its mean loss. `place` is seed, step and part."""
    training = experiment.training
    device = next(model.parameters()).device
    seed, step, part = place
    further = (part, world.rank) if part else (world.rank,) if world.rank else ()
    devices.seed_generators(device, seed_for("step", seed, step, *further))  # dropout
    n = training.gradient_accumulation_steps
    pairs = list(zip(*(tensor.chunk(n) for tensor in batch), strict=True))[world.rank :: world.size]
    losses = []
    for i, (x, y) in enumerate(pairs, start=1):
        distributed.synchronise(world, model, now=i == len(pairs))
        with devices.precision(device, training.dtype):
            loss = model(x.to(device), y.to(device))[1] / len(pairs)
        loss.backward()
        losses.append(loss.detach())
    mean = distributed.mean(world, sum(loss.item() for loss in losses))
    if not math.isfinite(mean):
        raise DivergedError(step)
    return mean
