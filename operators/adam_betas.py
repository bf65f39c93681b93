"""Let Adam's averages of gradients and of their squares look further back, or less far.

Kingma and Ba, "Adam: A Method for Stochastic Optimization" (2015).
"""

from collections.abc import Iterator
from functools import partial

from operators.operator import MODEL_UNTOUCHED, Example, ExperimentOperator, Offer
from operators.source import Edit
from operators.syntax.experiment import Experiment

_VALUES = {"beta1": ("0.8", "0.9", "0.95"), "beta2": ("0.95", "0.98", "0.99", "0.999")}


class AdamBetas(ExperimentOperator):
    name = "adam_betas"
    summary = "Set beta1 or beta2 of AdamW."
    preserves = MODEL_UNTOUCHED
    examples = (
        Example(
            "training:\n  beta1: 0.9\n  beta2: 0.99\n",
            "training:\n  beta1: 0.9\n  beta2: 0.95\n",
            "beta2-0.95",
        ),
        Example("training:\n  momentum: 0.9\n"),
    )

    def words(self, edit: Edit) -> str:
        return edit.variant.replace("-", " → ")

    def find(self, experiment: Experiment) -> Iterator[Offer]:
        for name, values in _VALUES.items():
            path = f"training.{name}"
            current = experiment.number(path)
            for value in values if current is not None else ():
                if float(value) != current:
                    yield Offer(f"{name}-{value}", path, partial(experiment.with_values, {path: value}))


OPERATOR = AdamBetas()
