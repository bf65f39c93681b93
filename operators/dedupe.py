"""Train on text without its duplicates, exact or nearly so, or with them.

Lee et al., "Deduplicating Training Data Makes Language Models Better" (2022).
"""

from collections.abc import Iterator
from functools import partial

from operators.operator import MODEL_UNTOUCHED, Example, ExperimentOperator, Offer
from operators.source import Edit
from operators.syntax.experiment import Experiment
from operators.syntax.neighbour import child_of, set_beside

_DEDUPE = "data.dedupe"
_KINDS = ("none", "exact", "near")


class Dedupe(ExperimentOperator):
    name = "dedupe"
    summary = "Leave duplicates out of the training text: exact ones, near ones, or none."
    preserves = MODEL_UNTOUCHED
    examples = (
        Example("data:\n  dataset: x\n  dedupe: none\n", "data:\n  dataset: x\n  dedupe: exact\n", "exact"),
        Example("data:\n  dataset: x\n", "data:\n  dataset: x\n  dedupe: near\n", "near"),
        Example("training:\n  batch_size: 12\n"),
        Example("data:\n  dataset: x\n  conversations:\n    format: chatml\n"),
    )

    def words(self, edit: Edit) -> str:
        return f"duplicates left out of the training text: {edit.variant}"

    def find(self, experiment: Experiment) -> Iterator[Offer]:
        if experiment.has_section("data.conversations"):
            return
        current = experiment.get(_DEDUPE)
        beside = child_of(experiment, "data", first="dataset")
        for kind in _KINDS:
            if current in _KINDS and kind != current:
                yield Offer(kind, _DEDUPE, partial(experiment.with_values, {_DEDUPE: kind}))
            elif current is None and beside is not None and kind != "none":
                yield Offer(kind, _DEDUPE, partial(set_beside, experiment, beside, "dedupe", kind))


OPERATOR = Dedupe()
