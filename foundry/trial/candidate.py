"""A candidate in a process of its own: its source executed, its model built and fitted to its data."""

from __future__ import annotations

import types
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from torch import nn

from foundry.source import build_model, load_module
from foundry.training import experiment, inherit, init, measure, pretrained
from foundry.training.fitting import Fitted, fit
from foundry.trial.desk import Desk
from foundry.trial.job import Job


class Candidate:
    """What a trainee and its twin have in common."""

    def __init__(self, job: Job, checkpoints: Path, desk: Desk) -> None:
        self.job = job
        self.desk = desk
        self.experiment = experiment.parse(job.experiment)
        self.model_args: Mapping[str, object] = self.experiment.sized_for(desk.vocab_size)
        self._checkpoints = checkpoints

    def empty(self) -> nn.Module:
        """Build the model as its constructor leaves it."""
        return build_model(self._module, self.model_args)

    def cost(self) -> measure.Cost:
        """Count what training and using it costs."""
        training, block_size = self.experiment.training, self.experiment.block_size
        return measure.cost(
            self.empty,
            training=training,
            block_size=block_size,
            lora=self.experiment.lora,
            kv_cache=self.experiment.decoding.kv_cache,
        )

    def made(self) -> tuple[nn.Module, Fitted]:
        """Build the model with its first weights, and fit it to what it trains on."""
        model = init.initialised(self.empty, self.job.seed)
        fitting = pretrained.inherit(self.experiment, model, strict=False)  # what an edit changed starts anew
        self.inherited = fitting.inherited_parameters if fitting else 0
        if self.job.inherits:
            inherit.take_over(self._checkpoints / self.job.inherits, model)
        return model, fit(model, self.desk, self.experiment, self.job.seed)

    def unfilled(self) -> nn.Module:
        """Build a model for the weights of one that was `made` and trained; it reads none of its own."""
        model = init.unfilled(self.empty, self.job.seed)
        fit(model, self.desk, self.experiment, self.job.seed)
        return model

    @cached_property
    def _module(self) -> types.ModuleType:
        return load_module(self.job.model)
