"""Shrink weights more, less, or not at all.

Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (2019).
"""

from collections.abc import Iterator
from functools import partial

from operators.operator import MODEL_UNTOUCHED, Example, ExperimentOperator, Offer
from operators.source import Edit
from operators.syntax.experiment import Experiment

_DECAY = "training.weight_decay"
_VALUES = ("0.0", "0.01", "0.03", "0.1", "0.3")


class WeightDecay(ExperimentOperator):
    name = "weight_decay"
    summary = "Set the decay of weights to 0, 0.01, 0.03, 0.1 or 0.3."
    preserves = MODEL_UNTOUCHED
    examples = (
        Example("training:\n  weight_decay: 1.0e-1\n", "training:\n  weight_decay: 0.03\n", "0.03"),
        Example("training:\n  learning_rate: 0.1\n"),
    )

    def words(self, edit: Edit) -> str:
        return f"weight decay → {edit.variant}"

    def find(self, experiment: Experiment) -> Iterator[Offer]:
        current = experiment.number(_DECAY)
        for value in _VALUES if current is not None else ():
            if float(value) != current:
                yield Offer(value, _DECAY, partial(experiment.with_values, {_DECAY: value}))


OPERATOR = WeightDecay()
