"""Add or remove layers."""

from collections.abc import Iterator
from functools import partial

from operators.operator import Example, ExperimentOperator, Offer
from operators.source import Edit
from operators.syntax.experiment import Experiment

_LAYERS = "model_args.n_layer"
_STEPS = {"minus-2": -2, "minus-1": -1, "plus-1": 1, "plus-2": 2}


class Depth(ExperimentOperator):
    name = "depth"
    summary = "Add or remove one or two layers."
    preserves = frozenset({"shapes"})
    examples = (
        Example("model_args: {n_layer: 4, n_head: 4}\n", "model_args: {n_layer: 5, n_head: 4}\n", "plus-1"),
        Example("model_args:\n  n_embd: 128\n"),
    )

    def words(self, edit: Edit) -> str:
        return f"depth {_STEPS[edit.variant]:+d}"

    def find(self, experiment: Experiment) -> Iterator[Offer]:
        layers = experiment.integer(_LAYERS)
        for variant, step in _STEPS.items() if layers is not None else ():
            count = (layers or 0) + step
            if count >= 1:
                yield Offer(variant, _LAYERS, partial(experiment.with_values, {_LAYERS: str(count)}))


OPERATOR = Depth()
