"""Change the rank of low-rank adapters; alpha stays, as in the paper, which divides it by the rank.

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (2021).
"""

from collections.abc import Iterator
from functools import partial

from operators.operator import MODEL_UNTOUCHED, Example, ExperimentOperator, Offer
from operators.source import Edit
from operators.syntax.experiment import Experiment

_RANK = "lora.rank"
_VALUES = ("4", "8", "16", "32", "64")


class LoraRank(ExperimentOperator):
    name = "lora_rank"
    summary = "Set the rank of LoRA's adapters to 4, 8, 16, 32 or 64, where there are any."
    preserves = MODEL_UNTOUCHED
    examples = (
        Example("lora:\n  rank: 16  # as yet\n", "lora:\n  rank: 64  # as yet\n", "64"),
        Example("training:\n  batch_size: 12\n"),
    )

    def words(self, edit: Edit) -> str:
        return f"LoRA rank → {edit.variant}"

    def find(self, experiment: Experiment) -> Iterator[Offer]:
        current = experiment.integer(_RANK)
        for value in _VALUES if current is not None else ():
            if int(value) != current:
                yield Offer(value, _RANK, partial(experiment.with_values, {_RANK: value}))


OPERATOR = LoraRank()
