"""Let low-rank adapters count for more, or for less.

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (2021): the product counts alpha / rank times.
"""

from collections.abc import Iterator
from functools import partial

from operators.operator import MODEL_UNTOUCHED, Example, ExperimentOperator, Offer
from operators.source import Edit
from operators.syntax.experiment import Experiment

_ALPHA = "lora.alpha"
_VALUES = ("8", "16", "32", "64", "128")


class LoraAlpha(ExperimentOperator):
    name = "lora_alpha"
    summary = "Set alpha of LoRA's adapters to 8, 16, 32, 64 or 128, where there are any."
    preserves = MODEL_UNTOUCHED
    examples = (
        Example("lora: {rank: 16, alpha: 32}\n", "lora: {rank: 16, alpha: 128}\n", "128"),
        Example("lora:\n  rank: 16\n"),
    )

    def words(self, edit: Edit) -> str:
        return f"LoRA alpha → {edit.variant}"

    def find(self, experiment: Experiment) -> Iterator[Offer]:
        current = experiment.number(_ALPHA)
        for value in _VALUES if current is not None else ():
            if float(value) != current:
                yield Offer(value, _ALPHA, partial(experiment.with_values, {_ALPHA: value}))


OPERATOR = LoraAlpha()
