"""Change the context length and keep the tokens of a step: twice the context takes half the batch."""

from collections.abc import Iterator
from functools import partial

from operators.operator import Example, ExperimentOperator, Offer
from operators.source import Edit
from operators.syntax.experiment import Experiment

_LENGTH = "model_args.block_size"
_BATCH = "training.batch_size"
_SHORTEST = 16


class BlockSize(ExperimentOperator):
    name = "block_size"
    summary = "Halve or double the context; the batch changes so that the tokens of a step stay equal."
    preserves = frozenset({"shapes"})
    examples = (
        Example(
            "model_args:\n  block_size: 64  # tokens\ntraining:\n  batch_size: 12\n",
            "model_args:\n  block_size: 128  # tokens\ntraining:\n  batch_size: 6\n",
            "x2",
        ),
        Example("model_args: {block_size: 16}\ntraining: {batch_size: 3}\n"),
    )

    def words(self, edit: Edit) -> str:
        return f"context ×{edit.variant[1:]}, as many tokens a step"

    def find(self, experiment: Experiment) -> Iterator[Offer]:
        length, batch = experiment.integer(_LENGTH) or 0, experiment.integer(_BATCH) or 0
        sizes = {"x0.5": (length // 2, batch * 2), "x2": (length * 2, batch // 2)}
        for variant, (longer, fewer) in sizes.items():
            if longer >= _SHORTEST and longer * fewer == length * batch > 0:
                values = {_LENGTH: str(longer), _BATCH: str(fewer)}
                yield Offer(variant, _LENGTH, partial(experiment.with_values, values))


OPERATOR = BlockSize()
