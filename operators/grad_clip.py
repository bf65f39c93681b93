"""Clip the norm of all gradients together elsewhere, or not at all.

Pascanu et al., "On the Difficulty of Training Recurrent Neural Networks" (2013).
"""

from collections.abc import Iterator
from functools import partial

from operators.operator import MODEL_UNTOUCHED, Example, ExperimentOperator, Offer
from operators.source import Edit
from operators.syntax.experiment import Experiment

_CLIP = "training.grad_clip"
_NORMS = ("0.0", "0.25", "0.5", "1.0", "2.0")


class GradClip(ExperimentOperator):
    name = "grad_clip"
    summary = "Set the norm at which gradients are clipped; 0 turns clipping off."
    preserves = MODEL_UNTOUCHED
    examples = (
        Example("training:\n  grad_clip: 1.0\n", "training:\n  grad_clip: 0.5\n", "0.5"),
        Example("training:\n  batch_size: 12\n"),
    )

    def words(self, edit: Edit) -> str:
        return "clip no gradients" if edit.variant == "0.0" else f"clip gradients at {edit.variant}"

    def find(self, experiment: Experiment) -> Iterator[Offer]:
        current = experiment.number(_CLIP)
        for norm in _NORMS if current is not None else ():
            if float(norm) != current:
                yield Offer(norm, _CLIP, partial(experiment.with_values, {_CLIP: norm}))


OPERATOR = GradClip()
