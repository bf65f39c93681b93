"""Drop a share of the activations in training.

Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting" (2014).
"""

from collections.abc import Iterator
from functools import partial

from operators.operator import MODEL_UNTOUCHED, Example, ExperimentOperator, Offer
from operators.source import Edit
from operators.syntax.experiment import Experiment

_DROPOUT = "model_args.dropout"
_SHARES = {"0": "0.0", "0.05": "0.05", "0.1": "0.1", "0.2": "0.2"}


class Dropout(ExperimentOperator):
    name = "dropout"
    summary = "Set the share of activations that training drops to 0, 0.05, 0.1 or 0.2."
    preserves = MODEL_UNTOUCHED
    examples = (
        Example("model_args:\n  dropout: 0.0  # as yet\n", "model_args:\n  dropout: 0.1  # as yet\n", "0.1"),
        Example("model_args:\n  n_layer: 4\n"),
    )

    def words(self, edit: Edit) -> str:
        return f"dropout → {edit.variant}"

    def find(self, experiment: Experiment) -> Iterator[Offer]:
        current = experiment.number(_DROPOUT)
        for variant, share in _SHARES.items() if current is not None else ():
            if float(share) != current:
                yield Offer(variant, _DROPOUT, partial(experiment.with_values, {_DROPOUT: share}))


OPERATOR = Dropout()
