"""Drop a share of what goes into low-rank adapters in training.

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (2021), appendix D.
"""

from collections.abc import Iterator
from functools import partial

from operators.operator import MODEL_UNTOUCHED, Example, ExperimentOperator, Offer
from operators.source import Edit
from operators.syntax.experiment import Experiment

_DROPOUT = "lora.dropout"
_SHARES = {"0": "0.0", "0.05": "0.05", "0.1": "0.1", "0.2": "0.2"}


class LoraDropout(ExperimentOperator):
    name = "lora_dropout"
    summary = "Set the share that LoRA's adapters drop to 0, 0.05, 0.1 or 0.2, where there are any."
    preserves = MODEL_UNTOUCHED
    examples = (
        Example("lora:\n  dropout: 0.0\n  rank: 8\n", "lora:\n  dropout: 0.05\n  rank: 8\n", "0.05"),
        Example("model_args:\n  dropout: 0.0\n"),
    )

    def words(self, edit: Edit) -> str:
        return f"LoRA dropout → {edit.variant}"

    def find(self, experiment: Experiment) -> Iterator[Offer]:
        current = experiment.number(_DROPOUT)
        for variant, share in _SHARES.items() if current is not None else ():
            if float(share) != current:
                yield Offer(variant, _DROPOUT, partial(experiment.with_values, {_DROPOUT: share}))


OPERATOR = LoraDropout()
