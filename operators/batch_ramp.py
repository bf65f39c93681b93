"""Begin with small batches, as many tokens in all: early steps are several updates of fewer sequences.

McCandlish et al., "An Empirical Model of Large-Batch Training" (2018).
"""

from collections.abc import Iterator
from functools import partial

from operators.operator import MODEL_UNTOUCHED, Example, ExperimentOperator, Offer
from operators.source import Edit
from operators.syntax.experiment import Experiment
from operators.syntax.neighbour import written

_RAMP = "training.batch_ramp"
_PARTS = (1, 2, 4)


class BatchRamp(ExperimentOperator):
    name = "batch_ramp"
    summary = "Cut early batches into two or four, each with an update of its own; the tokens stay the same."
    preserves = MODEL_UNTOUCHED
    examples = (
        Example(
            "training:\n  batch_size: 12\n  lr: 1\n",
            "training:\n  batch_size: 12\n  batch_ramp: 4\n  lr: 1\n",
            "4",
        ),
        Example(
            "training: {batch_size: 8, batch_ramp: 4}\n", "training: {batch_size: 8, batch_ramp: 1}\n", "1"
        ),
        Example("data:\n  dataset: x\n"),
        Example("training:\n  batch_size: 3\n"),
    )

    def words(self, edit: Edit) -> str:
        return f"batch ramp from 1/{edit.variant}" if edit.variant != "1" else "no batch ramp"

    def find(self, experiment: Experiment) -> Iterator[Offer]:
        size, current = experiment.integer("training.batch_size") or 0, experiment.integer(_RAMP) or 1
        for parts in _PARTS:
            if parts != current and size > 0 and size % parts == 0:
                rewrite = partial(written, experiment, _RAMP, str(parts), first="batch_size")
                yield Offer(str(parts), _RAMP, rewrite)


OPERATOR = BatchRamp()
