"""Change the batch and keep the tokens: half the batch takes twice the iterations."""

from collections.abc import Iterator
from functools import partial

from operators.operator import MODEL_UNTOUCHED, Example, ExperimentOperator, Offer
from operators.source import Edit
from operators.syntax.experiment import Experiment

_BATCH = "training.batch_size"
_ITERATIONS = "training.max_iters"
_ALIKE = ("training.warmup_iters", "training.lr_decay_iters")


class BatchSize(ExperimentOperator):
    name = "batch_size"
    summary = "Halve or double the batch; iterations change so that the tokens stay equal."
    preserves = MODEL_UNTOUCHED
    examples = (
        Example(
            "training:\n  batch_size: 12\n  max_iters: 1000\n  warmup_iters: 40\n",
            "training:\n  batch_size: 24\n  max_iters: 500\n  warmup_iters: 20\n",
            "x2",
        ),
        Example("training:\n  batch_size: 12\n"),
    )

    def words(self, edit: Edit) -> str:
        return f"batch size ×{edit.variant[1:]}, as many tokens"

    def find(self, experiment: Experiment) -> Iterator[Offer]:
        batch, iterations = experiment.integer(_BATCH) or 0, experiment.integer(_ITERATIONS) or 0
        tokens = batch * iterations
        if tokens <= 0:
            return
        sizes = {"x0.5": batch // 2 if batch % 2 == 0 else 0, "x2": batch * 2}
        for variant, size in sizes.items():
            if size and tokens % size == 0:
                values = {_BATCH: str(size), _ITERATIONS: str(tokens // size)}
                for path in _ALIKE:
                    count = experiment.integer(path)
                    if count is not None:
                        values[path] = str(count * batch // size)
                yield Offer(variant, _BATCH, partial(experiment.with_values, values))


OPERATOR = BatchSize()
