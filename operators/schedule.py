"""Change how the learning rate falls, and for how long.

Hu et al., "MiniCPM" (2024), for warm-up, stable, decay; Loshchilov and Hutter, "SGDR" (2017), for the cosine.
"""

from collections.abc import Iterator
from functools import partial

from operators.operator import MODEL_UNTOUCHED, Example, ExperimentOperator, Offer
from operators.source import Edit
from operators.syntax.experiment import Experiment

_SCHEDULE = "training.schedule"
_FRACTION = "training.decay_fraction"
_SHAPES = ("cosine", "wsd", "linear", "constant")
_FRACTIONS = ("0.2", "0.3", "0.5", "0.7", "0.9")


class Schedule(ExperimentOperator):
    name = "schedule"
    summary = "Change the shape of the learning rate's schedule, or the part in which wsd decays."
    preserves = MODEL_UNTOUCHED
    examples = (
        Example(
            "training:\n  schedule: wsd  # trapezoid\n",
            "training:\n  schedule: linear  # trapezoid\n",
            "linear",
        ),
        Example(
            "training:\n  schedule: wsd\n  decay_fraction: 0.3\n",
            "training:\n  schedule: wsd\n  decay_fraction: 0.5\n",
            "decay-0.5",
        ),
        Example("training:\n  schedule: of-my-own\n"),
    )

    def words(self, edit: Edit) -> str:
        if edit.site == _FRACTION:
            return f"decay over the last {float(edit.variant.removeprefix('decay-')):.0%}"
        return f"schedule → {edit.variant}"

    def find(self, experiment: Experiment) -> Iterator[Offer]:
        current = experiment.get(_SCHEDULE)
        for shape in _SHAPES if current in _SHAPES else ():
            if shape != current:
                yield Offer(shape, _SCHEDULE, partial(experiment.with_values, {_SCHEDULE: shape}))
        fraction = experiment.number(_FRACTION) if current == "wsd" else None
        for value in _FRACTIONS if fraction is not None else ():
            if float(value) != fraction:
                yield Offer(f"decay-{value}", _FRACTION, partial(experiment.with_values, {_FRACTION: value}))


OPERATOR = Schedule()
