"""Policies that choose a parent, one file each.

A policy is a module with `choose(living, archive, rng)`: from birth numbers in order of age, what is known of
them, and a generator, it names one.
"""

from __future__ import annotations

import importlib
import pkgutil
import random
from collections.abc import Callable, Sequence

from population.archive import Archive

Policy = Callable[[Sequence[int], Archive, random.Random], int]


def names() -> list[str]:
    """List the policies there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def policy(name: str) -> Policy:
    """Return the policy of that name, one of `names()`."""
    choose: Policy = importlib.import_module(f"{__name__}.{name}").choose
    return choose
