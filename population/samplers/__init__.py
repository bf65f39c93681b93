"""Samplers of the numbers of an experiment, one file each.

A sampler is a module with `propose(genes, observed, rng)`: from the ranges of some numbers, by name, and what
candidates with known numbers scored, oldest first, it gives each a value.
"""

from __future__ import annotations

import importlib
import pkgutil
import random
from collections.abc import Callable, Mapping, Sequence

from population.orders import Gene

Observed = Sequence[tuple[Mapping[str, float], float]]  # numbers of a candidate, and its loss
Sampler = Callable[[Mapping[str, Gene], Observed, random.Random], dict[str, float]]


def names() -> list[str]:
    """List the samplers there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def sampler(name: str) -> Sampler:
    """Return the sampler of that name, one of `names()`."""
    propose: Sampler = importlib.import_module(f"{__name__}.{name}").propose
    return propose
