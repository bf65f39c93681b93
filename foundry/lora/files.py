"""Adapters in files as PEFT writes them: `adapter_model.safetensors` and `adapter_config.json` in a folder.

https://huggingface.co/docs/peft, "PEFT checkpoint format". Each tensor is called by its layer's path in the
model, after a prefix that stands for PEFT's own two wrappers. In transformers the blocks of a Llama lie one
level deeper, below `model`, than in the seed model of that family.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from foundry.errors import UserError
from foundry.lora import layer as layers
from foundry.lora.adapt import Adapted, attach
from foundry.lora.settings import Lora

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
_NEEDED = ("peft_type", "r", "lora_alpha")  # in the configuration
_PREFIX = "base_model.model."
_PARTS = (f"{layers.A}.weight", f"{layers.B}.weight", layers.MAGNITUDE)
# What PEFT's LoRA can be besides, with the value that means it is not.
_PLAIN: Mapping[str, tuple[object, ...]] = {
    "bias": ("none",),
    "modules_to_save": (None, []),
    "rank_pattern": (None, {}),
    "alpha_pattern": (None, {}),
    "layer_replication": (None,),
    "trainable_token_indices": (None,),
    "target_parameters": (None, []),
    "lora_bias": (None, False),
}


def save(folder: Path, model: nn.Module, settings: Lora, *, base: str = "", within: str = "") -> None:
    """Write the adapters of a model.

    `base` says what they belong to, a name or a path; `within` is what stands before the paths of layers
    where that is another program's model, such as `model.` for the Llama of transformers.
    """
    found = dict(layers.adapted_layers(model))
    tensors = {
        f"{_PREFIX}{within}{path}.{name}": tensor.detach().to("cpu", copy=True).contiguous()
        for path, layer in found.items()
        for name, tensor in layers.learned(layer).items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})
    alpha = float(settings.alpha)
    config = {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": base,
        "r": settings.rank,
        "lora_alpha": int(alpha) if alpha.is_integer() else alpha,
        "lora_dropout": settings.dropout,
        "target_modules": _targets(found, model, within),
        "use_rslora": settings.rslora,
        "use_dora": settings.dora,
        "bias": "none",
        "fan_in_fan_out": False,
        "init_lora_weights": True,
        "inference_mode": True,
        "modules_to_save": None,
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", "utf-8")


def load(folder: Path, model: nn.Module) -> tuple[Lora, Adapted]:
    """Attach to a plain model the adapters that lie in a folder.

    Where none of their layers is in the model, the first part of all paths is taken off, see above. Returns
    the settings that they were trained with, their layers as targets, and what became of the model.

    Raises:
        UserError: the files cannot be read, hold more than LoRA, or are of another model.
    """
    tensors = _tensors(folder)
    linear = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    if not any(path in linear for path, _ in tensors):
        tensors = {(path.partition(".")[2], name): tensor for (path, name), tensor in tensors.items()}
    paths = list(dict.fromkeys(path for path, _ in tensors))
    if strange := [path for path in paths if path not in linear]:
        raise UserError(f"{folder}: this model has no linear layer {_some(strange)}")
    settings = _settings(folder, paths)
    adapted = attach(model, {path: linear[path] for path in paths}, settings, 0, {})
    own = {(path, name): t for path in paths for name, t in layers.learned(linear[path]).items()}
    wrong = [f"{path}.{name}" for path, name in {**own, **tensors} if not _fits(own, tensors, (path, name))]
    if wrong:
        raise UserError(f"{folder}: missing, or not of the shape that this model needs: {_some(wrong)}")
    with torch.no_grad():
        for key, parameter in own.items():
            parameter.copy_(tensors[key])
    return settings, adapted


def translate(folder: Path, out: Path, *, base: str, within: str, transposed: bool) -> None:
    """Write the adapters of a folder for another program's model, whose layers lie below `within`.

    `transposed` says that its weights are (in, out), as GPT-2's are in transformers; adapters are the same.

    Raises:
        UserError: the files cannot be read, or hold more than LoRA.
    """
    tensors = _tensors(folder)
    config = _config(folder)
    out.mkdir(parents=True, exist_ok=True)
    named = {f"{_PREFIX}{within}{path}.{name}": tensor for (path, name), tensor in tensors.items()}
    save_file(named, out / WEIGHTS, {"format": "pt"})
    paths = sorted({f"{within}{path}" for path, _ in tensors})
    config |= {"base_model_name_or_path": base, "target_modules": "|".join(map(re.escape, paths))}
    config |= {"fan_in_fan_out": transposed, "task_type": "CAUSAL_LM"}
    (out / CONFIG).write_text(json.dumps(config, indent=2) + "\n", "utf-8")


def _fits(
    own: Mapping[tuple[str, str], Tensor], theirs: Mapping[tuple[str, str], Tensor], key: tuple[str, str]
) -> bool:
    return key in own and key in theirs and own[key].shape == theirs[key].shape


def _settings(folder: Path, targets: Iterable[str]) -> Lora:
    body = _config(folder)
    kind, rank, alpha = (body[key] for key in _NEEDED)
    if kind != "LORA":
        raise UserError(f"{folder}: an adapter of type {kind}, not LORA")
    for key, plain in _PLAIN.items():
        if key in body and body[key] not in plain:
            raise UserError(f"{folder}: {key} is {body[key]!r}, which is not supported here")
    return Lora(
        rank=rank,
        alpha=float(alpha),
        dropout=float(body.get("lora_dropout", 0.0)),
        targets=tuple(targets),
        rslora=bool(body.get("use_rslora", False)),
        dora=bool(body.get("use_dora", False)),
    )


def _config(folder: Path) -> dict[str, Any]:
    try:
        body: dict[str, Any] = json.loads((folder / CONFIG).read_text("utf-8"))
        if missing := set(_NEEDED) - set(body):
            raise KeyError(missing)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder}: {CONFIG} is missing or damaged ({type(error).__name__})") from None
    return body


def _tensors(folder: Path) -> dict[tuple[str, str], Tensor]:
    """Read the tensors, each under the path of its layer and its own name."""
    try:
        stored = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{folder}: {WEIGHTS} is missing or damaged: {error}") from None
    found = {}
    for key, tensor in stored.items():
        match = re.fullmatch(rf"{re.escape(_PREFIX)}(.+)\.({'|'.join(map(re.escape, _PARTS))})", key)
        if match is None:
            raise UserError(f"{folder}: {WEIGHTS} holds {key}, which is no part of LoRA for linear layers")
        found[match[1], match[2]] = tensor
    return found


def _targets(found: Iterable[str], model: nn.Module, within: str) -> list[str] | str:
    """Name the layers for PEFT, which takes every path that ends so; by an expression where that is more."""
    paths = sorted(found)
    ends = tuple(f".{path}" for path in paths)
    more = any(name.endswith(ends) and name not in paths for name, _ in model.named_modules())
    named = [f"{within}{path}" for path in paths]
    return "|".join(map(re.escape, named)) if more else named


def _some(names: list[str]) -> str:
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + rest
