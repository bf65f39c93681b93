"""Open a checkpoint of any layout: names, shapes and settings now, tensors when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from foundry.data.pretrained.json_object import read_object
from foundry.errors import UserError
from foundry.training.experiment import parse
from foundry.zoo import config_json, layouts
from foundry.zoo.containers import Container, Joined, Safetensors, TorchFile
from foundry.zoo.gguf_file import GgufFile
from foundry.zoo.layouts import Stored

_CUT = {"wq": 0, "wk": 0, "wv": 0, "wo": 1, "w1": 0, "w2": 1, "w3": 0, "output": 0}  # Meta's, by module


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by the names of the seed models, and arguments of the model that they do not show."""

    path: Path
    tensors: Mapping[str, Stored]
    settings: Mapping[str, object] = field(default_factory=dict)


def open_checkpoint(path: Path) -> Checkpoint:
    """Open a file, or the folder of a checkpoint or of a training.

    Raises:
        UserError: there is none, it is damaged, or its config.json describes what no seed model is.
    """
    if not path.exists():
        raise UserError(f"checkpoint {path} does not exist")
    folder = path if path.is_dir() else path.parent
    file = _main_file(path) if path.is_dir() else path
    if file.suffix == ".gguf":
        quantised = GgufFile(file)
        tensors = layouts.gguf(quantised, quantised.architecture, quantised.head_dim)
        return Checkpoint(path, tensors, quantised.settings)
    if file.suffix == ".pth":
        return _meta(path, folder, _parts(folder, file))
    if file.name.endswith(".index.json"):
        stored = Safetensors(_shards(file))
    elif file.suffix == ".safetensors":
        stored = Safetensors([file])
    else:
        raise UserError(f"checkpoint {path} is none of .safetensors, .safetensors.index.json, .gguf and .pth")
    if "tok_embeddings.weight" in stored.shapes:
        return _meta(path, folder, [stored])
    if "optimizers" in stored.metadata:
        return Checkpoint(path, layouts.own(stored, "model."), _own_settings(folder))
    if stored.metadata.get("layout") == "foundry":
        return Checkpoint(path, layouts.own(stored), read_object(folder / "model_args.json"))
    described = folder / "config.json"
    settings = config_json.read(described).model_args if described.is_file() else {}
    return Checkpoint(path, layouts.hugging_face(stored), settings)


def _main_file(folder: Path) -> Path:
    """Choose the file that says what the folder holds."""
    patterns = (
        *("model.safetensors.index.json", "model.safetensors", "best.safetensors", "latest.safetensors"),
        *("consolidated*.safetensors", "consolidated*.pth", "*.gguf", "*.safetensors"),
    )
    for pattern in patterns:
        if found := sorted(folder.glob(pattern)):
            if len(found) > 1 and not pattern.startswith("consolidated"):
                raise UserError(f"{folder} holds {len(found)} checkpoints: name one, such as {found[0]}")
            return found[0]
    raise UserError(f"{folder} holds no checkpoint: neither .safetensors nor .gguf nor consolidated.*.pth")


def _shards(index: Path) -> list[Path]:
    names = read_object(index).get("weight_map")
    if not isinstance(names, dict):
        raise UserError(f"{index} has no weight_map")
    paths = [index.parent / name for name in sorted(set(names.values()))]
    if gone := [path.name for path in paths if not path.is_file()]:
        raise UserError(f"{index.parent} lacks {', '.join(gone)}, which {index.name} names")
    return paths


def _parts(folder: Path, file: Path) -> list[Container]:
    """Open all files of a checkpoint that was cut for several devices, or the one that there is."""
    cut = file.name.startswith("consolidated.")
    return [TorchFile(path) for path in (sorted(folder.glob("consolidated.*.pth")) if cut else [file])]


def _meta(path: Path, folder: Path, parts: list[Container]) -> Checkpoint:
    if not (folder / "params.json").is_file():
        raise UserError(
            f"{path} has Meta's layout, and no params.json beside it to say how many heads it has"
        )
    params = read_object(folder / "params.json")
    if not isinstance(params.get("dim"), int) or not isinstance(params.get("n_heads"), int):
        raise UserError(f"{folder / 'params.json'} does not say dim and n_heads")
    stored = parts[0]
    if len(parts) > 1:
        width = stored.shapes.get("tok_embeddings.weight", (0, 0))[1]
        stored = Joined(parts, {**_CUT, "tok_embeddings": 0 if width == params["dim"] else 1})
    names = {
        "n_head": "n_heads",
        "n_kv_head": "n_kv_heads",
        "norm_eps": "norm_eps",
        "rope_theta": "rope_theta",
    }
    settings = {ours: params[theirs] for ours, theirs in names.items() if params.get(theirs) is not None}
    return Checkpoint(path, layouts.meta(stored, params["dim"] // params["n_heads"]), settings)


def _own_settings(folder: Path) -> Mapping[str, object]:
    experiment = folder / "experiment.yaml"
    if not experiment.is_file():
        return {}
    return parse(experiment.read_text("utf-8"), str(experiment)).model_args
