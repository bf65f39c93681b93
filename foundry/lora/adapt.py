"""Adapt a model: everything it has is frozen, adapters are attached, and a line says what trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from foundry.keyed import seed_for
from foundry.lora import layer as layers
from foundry.lora.settings import Lora
from foundry.lora.targets import find


@dataclass(frozen=True)
class Adapted:
    """What became of a model."""

    layers: tuple[str, ...]  # with an adapter, by path
    left: Mapping[str, str]  # matrices that no adapter reaches, with the reason
    frozen: frozenset[str]  # names of parameters, as in the state dict
    trained: int  # parameters of all adapters
    params: int  # of model and adapters

    @property
    def share(self) -> float:
        """The part of all parameters that trains."""
        return self.trained / self.params

    def __str__(self) -> str:
        kinds = sorted({name.rpartition(".")[2] for name in self.layers})
        text = (
            f"LoRA: {self.trained:,} of {self.params:,} parameters train ({self.share:.2%}), "
            f"in {len(self.layers)} layers: {', '.join(kinds)}"
        )
        reasons = sorted(set(self.left.values()))
        named = [", ".join(n for n in self.left if self.left[n] == r) + f" ({r})" for r in reasons]
        return f"{text}; left alone: {'; '.join(named)}" if named else text


def adapt(model: nn.Module, settings: Lora, seed: int) -> Adapted:
    """Freeze a model and attach adapters, in place; the function it computes is the same as before.

    An adapter's random matrix depends on `seed` and its layer's path and shape alone.

    Raises:
        UserError: the settings name no layer of this model, or one that cannot be adapted.
    """
    targets = find(model, settings)
    return attach(model, targets.layers, settings, seed, targets.left)


def attach(
    model: nn.Module, chosen: Mapping[str, nn.Linear], settings: Lora, seed: int, left: Mapping[str, str]
) -> Adapted:
    """Do what `adapt` does to layers that are chosen already."""
    model.requires_grad_(False)
    frozen = frozenset(name for name, _ in model.named_parameters())
    for name, layer in chosen.items():
        generator = torch.Generator().manual_seed(seed_for("lora", seed, name))
        layers.attach(layer, settings, generator)
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return Adapted(
        layers=tuple(chosen),
        left=left,
        frozen=frozen,
        trained=sum(size for size, trains in sizes if trains),
        params=sum(size for size, _ in sizes),
    )


def merge(model: nn.Module) -> None:
    """Put every adapter into the weight it belongs to; `unmerge` takes it out again."""
    for _, layer in layers.adapted_layers(model):
        layers.merge(layer)


def unmerge(model: nn.Module) -> None:
    """Put every weight back as it was before `merge`, bit for bit."""
    for _, layer in layers.adapted_layers(model):
        layers.unmerge(layer)


def fold(model: nn.Module) -> None:
    """Merge adapters for good: the model is the plain one again, with other weights that train."""
    for _, layer in list(layers.adapted_layers(model)):
        layers.merge(layer)
        layers.detach(layer)
    model.requires_grad_(True)
