"""Weights that an experiment starts from instead of random ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from foundry.training.experiment import Experiment

if TYPE_CHECKING:
    from foundry.zoo.filling import Fit


def inherit(experiment: Experiment, model: nn.Module, *, strict: bool | None = None) -> Fit | None:
    """Fill a model from the checkpoint that its experiment names; return what fits, None without one.

    `strict` as the experiment says, unless given.

    Raises:
        UserError: the checkpoint cannot be read, or where strict does not fit; tensors are listed by name.
    """
    if experiment.checkpoint is None:
        return None
    from foundry.zoo.filling import fill  # most trainings start from scratch
    from foundry.zoo.opening import open_checkpoint

    opened = open_checkpoint(Path(experiment.checkpoint))
    return fill(model, opened, strict=experiment.strict if strict is None else strict)


def take_over(experiment: Experiment, model: nn.Module, *, strict: bool | None = None) -> str:
    """Do what `inherit` does; say in words what was inherited, or nothing."""
    fit = inherit(experiment, model, strict=strict)
    return fit.words if fit is not None else ""
