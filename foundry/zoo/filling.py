"""Put a checkpoint's weights into a model, without a second copy of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from foundry.errors import UserError
from foundry.gates.unfilled import Unfilled
from foundry.source import build_model, load_module
from foundry.zoo.layouts import Stored
from foundry.zoo.opening import Checkpoint, open_checkpoint

_SILENT = (  # arguments that change what a model computes and the shape of nothing
    *("n_head", "n_kv_head", "window", "norm_eps"),
    *("rope_theta", "rope_factor", "rope_low_freq", "rope_high_freq", "rope_original"),
)


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What of a model a checkpoint has, and what is wrong with the rest; each problem names its tensor."""

    inherited: Mapping[str, Stored]  # by the model's names
    missing: tuple[str, ...]
    misshapen: tuple[str, ...]
    unexpected: tuple[str, ...]
    other_settings: tuple[str, ...]
    parameters: int  # of the model

    @property
    def inherited_parameters(self) -> int:
        """Parameters whose values the checkpoint gives."""
        return sum(math.prod(stored.shape) for stored in self.inherited.values())

    @property
    def words(self) -> str:
        """Say how much is inherited."""
        share = 100 * self.inherited_parameters / max(1, self.parameters)
        return f"{self.inherited_parameters:,} of {self.parameters:,} parameters inherited ({share:.1f}%)"

    def problems(self) -> Iterator[str]:
        """Yield a line for each."""
        for kind in ("missing", "misshapen", "unexpected", "other_settings"):
            for line in getattr(self, kind):
                yield f"{kind.replace('_', ' ')}: {line}"


def compare(model: nn.Module, checkpoint: Checkpoint) -> Fit:
    """Say what of a model a checkpoint has, reading names and shapes alone."""
    theirs = dict(checkpoint.tensors)
    inherited, missing, misshapen = {}, [], []
    for names, tensor in _tensors(model):
        given = [name for name in names if name in theirs]
        if not given:
            missing.append(names[0])
            continue
        stored = theirs.pop(given[0])
        if stored.shape == tuple(tensor.shape):
            inherited[names[0]] = stored
        else:
            misshapen.append(
                f"{names[0]} is {tuple(tensor.shape)}, in the checkpoint {stored.shape} as {stored.name}"
            )
        for name in given[1:]:  # the model ties what the checkpoint stores twice: fine, if it is the same
            if theirs[name].shape == stored.shape and _equal(theirs[name], stored):
                del theirs[name]
    return Fit(
        inherited=inherited,
        missing=tuple(missing),
        misshapen=tuple(misshapen),
        unexpected=tuple(stored.name for stored in theirs.values()),
        other_settings=tuple(_other_settings(model, checkpoint)),
        parameters=sum(p.numel() for p in model.parameters()),
    )


@torch.no_grad()
def fill(
    model: nn.Module, checkpoint: Checkpoint, *, strict: bool = True, dtype: torch.dtype | None = None
) -> Fit:
    """Give a model's tensors the values of a checkpoint; return what it has and what it has not.

    A tensor of the dtype that is stored becomes pages of the file, which are copied when training writes to
    them; others are converted one at a time. Without `strict`, what does not fit stays as it is.

    Args:
        dtype: of all parameters afterwards; by default each keeps its own.

    Raises:
        UserError: something does not fit, and `strict`; the model is as it was.
    """
    fit = compare(model, checkpoint)
    problems = list(fit.problems())
    if strict and problems:
        lines = "\n  ".join([f"checkpoint {checkpoint.path} does not fit the model:", *problems])
        raise UserError(f"{lines}\n(strict: false goes on with what fits)")
    for names, tensor in _tensors(model):
        wanted = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
        if names[0] in fit.inherited:
            tensor.data = fit.inherited[names[0]].tensor(wanted).to(tensor.device)
        else:
            tensor.data = tensor.data.to(wanted)
    return fit


def loaded(
    source: str, model_args: Mapping[str, object], path: Path, *, dtype: torch.dtype | None = None
) -> nn.Module:
    """Build a model from its source with a checkpoint's weights, in no more memory than these take.

    Args:
        dtype: of all parameters; by default float32, whatever the checkpoint stores.

    Raises:
        UserError: the checkpoint cannot be read, or does not fit the model.
    """
    checkpoint = open_checkpoint(path)
    with Unfilled():  # memory that nobody writes to costs nothing
        model = build_model(load_module(source), model_args)
    fill(model, checkpoint, dtype=dtype)
    return model.eval()


def _equal(one: Stored, other: Stored) -> bool:
    """Tell whether two tensors have the same values, as their files store them."""
    return torch.equal(one.container.read(one.name), other.container.read(other.name))


def _tensors(model: nn.Module) -> Iterator[tuple[list[str], Tensor]]:
    """Yield every parameter and persistent buffer once, with all its names."""
    names: dict[int, list[str]] = {}
    tensors: dict[int, Tensor] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        names.setdefault(id(tensor), []).append(name)
        tensors[id(tensor)] = tensor
    for key, tensor in tensors.items():
        yield names[key], tensor


def _other_settings(model: nn.Module, checkpoint: Checkpoint) -> Iterator[str]:
    config = getattr(model, "config", None)
    for name in _SILENT:
        if name in checkpoint.settings and hasattr(config, name):
            ours, theirs = getattr(config, name), checkpoint.settings[name]
            if not _same(ours, theirs):
                yield f"{name} is {ours}, of the checkpoint {theirs}"


def _same(ours: object, theirs: object) -> bool:
    if isinstance(ours, float) and isinstance(theirs, float):
        return math.isclose(ours, theirs, rel_tol=1e-6)  # GGUF stores single precision
    return ours == theirs
