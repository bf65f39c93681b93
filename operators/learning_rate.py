"""Scale the peak learning rate, and the floor of its schedule with it."""

from collections.abc import Iterator
from functools import partial

from operators.operator import MODEL_UNTOUCHED, Example, ExperimentOperator, Offer
from operators.source import Edit
from operators.syntax.experiment import Experiment, float_text

_FACTORS = (0.5, 0.7, 1.5, 2, 3)
_RATE = "training.learning_rate"
_FLOOR = "training.min_lr"


class LearningRate(ExperimentOperator):
    name = "learning_rate"
    summary = "Scale the learning rate, and min_lr with it."
    preserves = MODEL_UNTOUCHED
    examples = (
        Example(
            "training:\n  learning_rate: 1.0e-3  # peak\n  min_lr: 0.0001\n",
            "training:\n  learning_rate: 3.0e-3  # peak\n  min_lr: 0.0003\n",
            "x3",
        ),
        Example("training:\n  batch_size: 12\n"),
    )

    def words(self, edit: Edit) -> str:
        return f"learning rate ×{edit.variant[1:]}"

    def find(self, experiment: Experiment) -> Iterator[Offer]:
        rates = [path for path in (_RATE, _FLOOR) if (experiment.number(path) or 0) > 0]
        for factor in _FACTORS if _RATE in rates else ():
            values = {
                path: float_text((experiment.number(path) or 0) * factor, like=experiment.get(path) or "")
                for path in rates
            }
            yield Offer(f"x{factor}", _RATE, partial(experiment.with_values, values))


OPERATOR = LearningRate()
