"""What multiplies the learning rate of one part of a model: operators that differ in the part alone."""

from collections.abc import Iterator
from functools import partial
from typing import ClassVar

from operators.operator import MODEL_UNTOUCHED, Example, ExperimentOperator, Offer
from operators.source import Edit
from operators.syntax.experiment import Experiment, float_text
from operators.syntax.neighbour import written

_FACTORS = (0.3, 0.5, 2, 3)
_RATE = "training.learning_rate"
_LEAST, _MOST = 0.05, 20.0  # beyond, a part learns nothing or explodes


class RateFactor(ExperimentOperator):
    """Scale a factor of the experiment that is 1 where it is not said."""

    key: ClassVar[str]  # of the section `training`
    part: ClassVar[str]  # in words
    preserves = MODEL_UNTOUCHED

    def words(self, edit: Edit) -> str:
        return f"learning rate of {self.part} ×{edit.variant[1:]}"

    def find(self, experiment: Experiment) -> Iterator[Offer]:
        path = f"training.{self.key}"
        current = 1.0 if path not in experiment.scalars else experiment.number(path) or 0.0
        for factor in _FACTORS if (experiment.number(_RATE) or 0) > 0 else ():
            if _LEAST <= current * factor <= _MOST:
                value = float_text(current * factor, like="")
                yield Offer(
                    f"x{factor}", path, partial(written, experiment, path, value, first="learning_rate")
                )


def examples(key: str) -> tuple[Example, ...]:
    """Return examples of an operator on a factor."""
    rate = "training:\n  learning_rate: 0.001\n"
    return (
        Example(f"{rate}  beta1: 0.9\n", f"{rate}  {key}: 3.0\n  beta1: 0.9\n", "x3"),
        Example(f"{rate}  {key}: 3.0  # tuned\n", f"{rate}  {key}: 1.5  # tuned\n", "x0.5"),
        Example("data:\n  dataset: x\n"),
    )
