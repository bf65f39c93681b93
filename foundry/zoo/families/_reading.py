"""Values of a config.json, none of them left to a default of somebody's class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from foundry.errors import UserError


def need(config: Mapping[str, Any], key: str, where: str = "config.json") -> Any:
    """Return a value that must be there.

    Raises:
        UserError: it is not.
    """
    if key not in config:
        raise UserError(f"{where} does not say {key}: add it, for its default differs between programs")
    return config[key]


def expect(config: Mapping[str, Any], key: str, *wanted: object) -> None:
    """Refuse a value that the seed models do not implement; one that is not there counts as the first wanted.

    Raises:
        UserError: it is another.
    """
    if config.get(key, wanted[0]) not in wanted:
        raise UserError(f"config.json says {key} {config[key]!r}, which the seed models do not implement")
