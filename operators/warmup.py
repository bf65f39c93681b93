"""Reach the full learning rate sooner or later.

Goyal et al., "Accurate, Large Minibatch SGD" (2017), section 2.2.
"""

from collections.abc import Iterator
from functools import partial

from operators.operator import MODEL_UNTOUCHED, Example, ExperimentOperator, Offer
from operators.source import Edit
from operators.syntax.experiment import Experiment

_WARMUP = "training.warmup_iters"
_FACTORS = {"x0.5": 0.5, "x2": 2.0}


class Warmup(ExperimentOperator):
    name = "warmup"
    summary = "Halve or double the updates in which the learning rate rises."
    preserves = MODEL_UNTOUCHED
    examples = (
        Example("training:\n  warmup_iters: 20\n", "training:\n  warmup_iters: 40\n", "x2"),
        Example("training: {warmup_iters: 20, lr: 1}\n", "training: {warmup_iters: 10, lr: 1}\n", "x0.5"),
        Example("training:\n  batch_size: 12\n"),
    )

    def words(self, edit: Edit) -> str:
        return f"warm-up ×{edit.variant[1:]}"

    def find(self, experiment: Experiment) -> Iterator[Offer]:
        updates = experiment.integer(_WARMUP) or 0
        for variant, factor in _FACTORS.items() if updates > 1 else ():
            value = str(int(updates * factor))
            yield Offer(variant, _WARMUP, partial(experiment.with_values, {_WARMUP: value}))


OPERATOR = Warmup()
