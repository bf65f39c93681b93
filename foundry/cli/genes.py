"""The numbers that births of a run may change, and how far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from operators import numbers
from population.orders import Gene

_FACTOR = 5.0  # up and down, of counts and where a scale is logarithmic
_PART = 0.25  # of the range from scratch, up and down, of all others


def from_scratch() -> dict[str, Gene]:
    """Return every number that a model trained from scratch may have."""
    return {
        name: Gene(low=own.low, high=own.high, log=own.log, whole=own.whole)
        for name, own in numbers.RANGES.items()
    }


def around(present: Mapping[str, float]) -> dict[str, Gene]:
    """Return the numbers that pretrained weights may be trained on with, each near what it is at first.

    Those of the model stay as they are: the weights know no other. A rate that is good from scratch loses
    much of what they know, and the rate that is good for them lies below its range.
    """
    return {
        name: _near(gene, present[name])
        for name, gene in from_scratch().items()
        if name in present and name not in numbers.OF_THE_MODEL
    }


def _near(gene: Gene, value: float) -> Gene:
    if gene.log or gene.whole:
        low, high = value / _FACTOR, value * _FACTOR
        if gene.whole:
            low, high = max(float(gene.log), low // 1), high // 1
        return replace(gene, low=low, high=high)
    away = _PART * (gene.high - gene.low)
    return replace(
        gene, low=min(value, max(gene.low, value - away)), high=max(value, min(gene.high, value + away))
    )
