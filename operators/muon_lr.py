"""Scale the learning rate that Muon uses for matrices."""

from collections.abc import Iterator
from functools import partial

from operators.operator import MODEL_UNTOUCHED, Example, ExperimentOperator, Offer
from operators.source import Edit
from operators.syntax.experiment import Experiment, float_text

_FACTORS = (0.5, 1.5, 2)
_RATE = "training.muon_lr"


class MuonLearningRate(ExperimentOperator):
    name = "muon_lr"
    summary = "Scale Muon's learning rate, where the optimizer is Muon."
    preserves = MODEL_UNTOUCHED
    examples = (
        Example(
            "training:\n  optimizer: muon\n  muon_lr: 0.02\n",
            "training:\n  optimizer: muon\n  muon_lr: 0.03\n",
            "x1.5",
        ),
        Example("training:\n  optimizer: adamw\n  muon_lr: 0.02\n"),
    )

    def words(self, edit: Edit) -> str:
        return f"Muon learning rate ×{edit.variant[1:]}"

    def find(self, experiment: Experiment) -> Iterator[Offer]:
        rate = experiment.number(_RATE) or 0
        for factor in _FACTORS if rate > 0 and experiment.get("training.optimizer") == "muon" else ():
            values = {_RATE: float_text(rate * factor, like=experiment.get(_RATE) or "")}
            yield Offer(f"x{factor}", _RATE, partial(experiment.with_values, values))


OPERATOR = MuonLearningRate()
