"""The configurations of known pretrained models, one YAML file each in `entries/`. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

import yaml

from foundry.errors import unknown

_FOLDER = resources.files("foundry").joinpath("zoo/entries")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One pretrained model as its authors released it."""

    name: str
    about: str
    weights: str  # its repository on Hugging Face
    parameters: int
    base_model: str  # a module of foundry/models
    model_args: Mapping[
        str, object
    ]  # all fields that matter, none left to defaults; block_size is the context
    tokenizer: str | None = None  # a module of foundry/data/tokenizers, where there is one
    conversations: str = "chatml"  # how its relatives that talk were trained to: a conversation format
    package: str | None = None  # PACKAGE/FILE that has weights of such a model, in the Python package index

    @property
    def context(self) -> int:
        """Tokens that it was trained to see."""
        size = self.model_args["block_size"]
        assert isinstance(size, int)
        return size


def names() -> list[str]:
    """List the entries."""
    return sorted(
        file.name.removesuffix(".yaml") for file in _FOLDER.iterdir() if file.name.endswith(".yaml")
    )


def read(name: str) -> Entry:
    """Return one entry.

    Raises:
        UserError: there is none of that name; the message names the nearest.
    """
    if name not in names():
        raise unknown("model of the zoo", name, names())
    return Entry(name=name, **yaml.safe_load(_FOLDER.joinpath(f"{name}.yaml").read_text("utf-8")))
