"""Write a trained model for Hugging Face, where it still is what one of their architectures computes.

Whether it is, is found by running it: a source that evolution has rewritten may compute the same, and one
with the same parameters may not. What is like none of theirs is written as safetensors with `model.py`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from foundry.errors import UserError
from foundry.gates.unfilled import Unfilled
from foundry.registry import load_part, module_names
from foundry.seed import read_model
from foundry.source import build_config, build_model, load_module
from foundry.zoo import config_json

_FAMILIES = "foundry/zoo/families"
_TOLERANCE = 1e-4  # in logits, relative to the largest if that is above 1
_LONGEST = 2048  # tokens that a model is tried on


def export(model: nn.Module, source: str, model_args: Mapping[str, object], folder: Path) -> str | None:
    """Write a model into a folder; return the name of the architecture there, None if it is none of theirs.

    Args:
        source: its model.py.
        model_args: of the model, vocab_size included.

    Raises:
        UserError: the folder holds a model already.
    """
    if (folder / "model.safetensors").exists():
        raise UserError(f"{folder} holds a model already: name another folder")
    fields = dataclasses.asdict(build_config(load_module(source), model_args))
    model = model.eval()
    seed = _seed(model, fields)
    config = config_json.write(seed, fields) if seed else None
    folder.mkdir(parents=True, exist_ok=True)
    if seed is None or config is None:
        _save(folder, _weights(model), {"format": "pt", "layout": "foundry"})
        (folder / "model.py").write_text(source, "utf-8")
        _write_json(folder / "model_args.json", fields)
        return None
    _save(folder, load_part(_FAMILIES, "family", seed).theirs(_weights(model)), {"format": "pt"})
    _write_json(folder / "config.json", config)
    name: str = config["architectures"][0]
    return name


def family(model: nn.Module, source: str, model_args: Mapping[str, object]) -> str | None:
    """Name the seed model that computes what a model does, with the same parameters, if there is one."""
    return _seed(model.eval(), dataclasses.asdict(build_config(load_module(source), model_args)))


def _seed(model: nn.Module, fields: Mapping[str, object]) -> str | None:
    """Find the seed model that computes what a model does, with the same parameters."""
    for name in module_names(_FAMILIES):
        module = load_module(read_model(name))
        known = {field.name for field in dataclasses.fields(module.GPTConfig)}
        args = {key: value for key, value in fields.items() if key in known}
        try:
            with Unfilled():
                twin = build_model(module, args)
        except Exception:  # sizes that the seed model cannot have: heads that do not divide, say
            continue
        if _shares(model, twin) and _agree(model, twin.eval(), fields):
            return name
    return None


def _shares(model: nn.Module, twin: nn.Module) -> bool:
    """Give the twin the model's parameters themselves, if it has the same."""
    theirs, own = dict(model.named_parameters()), dict(twin.named_parameters())
    if {name: p.shape for name, p in theirs.items()} != {name: p.shape for name, p in own.items()}:
        return False
    for name, parameter in own.items():
        parameter.data = theirs[name].data
    return True


@torch.no_grad()
def _agree(model: nn.Module, twin: nn.Module, fields: Mapping[str, Any]) -> bool:
    longest = min(fields["block_size"], _LONGEST)
    generator = torch.Generator().manual_seed(0)
    for length in sorted({1, (longest + 1) // 2, longest}):
        idx = torch.randint(fields["vocab_size"], (1, length), generator=generator)
        ours, theirs = model(idx)[0], twin(idx)[0]
        if ours.shape != theirs.shape:
            return False
        apart = (ours - theirs).abs().max().item()
        if not apart <= _TOLERANCE * max(1.0, theirs.abs().max().item()):
            return False
    return True


def _weights(model: nn.Module) -> dict[str, Tensor]:
    """Name every parameter and persistent buffer once."""
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            found[name] = tensor.detach()
    return found


def _save(folder: Path, tensors: Mapping[str, Tensor], about: dict[str, str]) -> None:
    partial = folder / "model.partial"
    try:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial, about)
        partial.replace(folder / "model.safetensors")
    finally:
        partial.unlink(missing_ok=True)


def _write_json(path: Path, body: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(body, indent=2) + "\n", "utf-8")
