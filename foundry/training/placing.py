"""A model made ready to train: on its device, over the processes, compiled, with its optimizers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from foundry.training import distributed, loop
from foundry.training.blocks import recompute
from foundry.training.compiled import compiled
from foundry.training.experiment import Training
from foundry.training.world import World


@dataclass(frozen=True)
class Placed:
    """Two faces of one model, which share their parameters."""

    model: nn.Module  # to evaluate, to save and to sample from
    trained: nn.Module  # to train: compiled and copied to all processes, where that is wanted
    optimizers: list[torch.optim.Optimizer]


def place(model: nn.Module, training: Training, world: World, device: torch.device) -> Placed:
    """Move a model, the same in every process, to where it trains; it is changed in place.

    Raises:
        UserError: the model or the machine cannot do what the experiment asks for.
    """
    shared_out = world.size > 1 and sum(p.numel() for p in model.parameters()) > training.fsdp_above
    if training.gradient_checkpointing:
        recompute(model)
    if shared_out:
        distributed.shard(model, world, device)
    else:
        model.to(device)
    optimizers = loop.build_optimizers(model, training)
    trained = compiled(model, device) if training.compile else model
    if world.size > 1 and not shared_out:
        trained = distributed.replicate(trained, device)
    return Placed(model, trained, optimizers)
