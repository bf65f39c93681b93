"""Hugging Face's config.json: which seed model it describes, and with which arguments. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foundry.data.pretrained.json_object import read_object
from foundry.errors import UserError, unknown
from foundry.registry import load_part, module_names
from foundry.zoo.families._reading import need

_FAMILIES = "foundry/zoo/families"


@dataclass(frozen=True)
class Described:
    """A seed model and the fields of its GPTConfig."""

    base_model: str
    model_args: Mapping[str, object]


def read(path: Path) -> Described:
    """Read the file.

    Raises:
        UserError: it is no JSON, or describes what no seed model is.
    """
    config = read_object(path)
    families = {name: load_part(_FAMILIES, "family", name) for name in module_names(_FAMILIES)}
    kinds = {kind for family in families.values() for kind in family.MODEL_TYPES}
    try:
        if (kind := need(config, "model_type")) not in kinds:
            raise unknown("model type", str(kind), kinds)
        name = next(name for name, family in families.items() if family.reads(config))
        return Described(name, families[name].model_args(config))
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def write(base_model: str, model_args: Mapping[str, object]) -> dict[str, Any] | None:
    """Make the content for a seed model; None if no model type of theirs is such a model."""
    config: dict[str, Any] | None = load_part(_FAMILIES, "family", base_model).config(model_args)
    return config
