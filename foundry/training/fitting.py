"""A model made to fit what its experiment trains and trains on: adapters, rows of conversations."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from foundry.data.batches import Batches
from foundry.data.conversations.arrange import read_by
from foundry.data.conversations.ignored import Translated
from foundry.data.conversations.isolate import release
from foundry.data.material import Material
from foundry.lora.adapt import Adapted, adapt, fold
from foundry.training.experiment import Experiment


@dataclass(frozen=True)
class Fitted:
    """What to draw batches from, and what became of the model."""

    batches: Batches
    adapted: Adapted | None  # where adapters train
    notes: tuple[str, ...]  # what a person should know

    @property
    def frozen(self) -> frozenset[str]:
        """The parameters that do not train."""
        return self.adapted.frozen if self.adapted else frozenset()


def fit(model: nn.Module, material: Material, experiment: Experiment, seed: int) -> Fitted:
    """Change an initialised model in place, on the CPU, before it is placed and has optimizers.

    Raises:
        UserError: the model cannot be adapted, or cannot be trained on conversations.
    """
    adapted = adapt(model, experiment.lora, seed) if experiment.lora is not None else None
    notes = [str(adapted)] if adapted else []
    if (marks := material.marks) is None:
        return Fitted(material.batches(), adapted, tuple(notes))
    block_size = experiment.block_size
    ignored, single = read_by(model, marks, block_size=block_size, single=_single(experiment))
    rows = material.rows(block_size=block_size, single=single)
    return Fitted(Translated(rows.batches, ignored), adapted, (*notes, *rows.notes))


def finish(model: nn.Module) -> None:
    """Make a fitted model a plain one again, in place: adapters are merged, rows are one text each."""
    release(model)
    fold(model)


def _single(experiment: Experiment) -> str:
    """Say why each conversation is to have a row of its own, if it is."""
    assert experiment.data.conversations is not None
    if not experiment.data.conversations.packed:
        return "data.conversations.packed is false"
    for name in ("gradient_checkpointing", "compile"):
        if getattr(experiment.training, name):
            return f"training.{name} does not go with several"
    return ""
