"""Put the training text in an order: easy first, common words first, or short blocks first.

Bengio et al., "Curriculum Learning" (2009); Platanios et al., "Competence-based Curriculum Learning" (2019).
"""

from collections.abc import Iterator
from functools import partial

from operators.operator import MODEL_UNTOUCHED, Example, ExperimentOperator, Offer
from operators.source import Edit
from operators.syntax.experiment import Experiment
from operators.syntax.neighbour import written

_CURRICULUM = "data.curriculum"
_KINDS = ("none", "length", "difficulty", "block_ramp")


class Curriculum(ExperimentOperator):
    name = "curriculum"
    summary = "Order the training text by length or difficulty, or begin with short blocks."
    preserves = MODEL_UNTOUCHED
    examples = (
        Example(
            "data:\n  dataset: x\n  curriculum: none\n",
            "data:\n  dataset: x\n  curriculum: block_ramp\n",
            "block_ramp",
        ),
        Example("data:\n  dataset: x\n", "data:\n  dataset: x\n  curriculum: length\n", "length"),
        Example("data:\n  dataset: x\n  curriculum: other\n"),
        Example("data:\n  dataset: x\n  conversations:\n    format: chatml\n"),
    )

    def words(self, edit: Edit) -> str:
        return f"curriculum → {edit.variant}"

    def find(self, experiment: Experiment) -> Iterator[Offer]:
        if not experiment.has_section("data") or experiment.has_section("data.conversations"):
            return
        current = experiment.get(_CURRICULUM) or "none"
        for kind in _KINDS if current in _KINDS else ():
            if kind != current:
                yield Offer(
                    kind, _CURRICULUM, partial(written, experiment, _CURRICULUM, kind, first="dataset")
                )


OPERATOR = Curriculum()
