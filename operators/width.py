"""Make the model wider or narrower, with as many heads."""

from collections.abc import Iterator
from functools import partial

from operators.operator import Example, ExperimentOperator, Offer
from operators.source import Edit
from operators.syntax.experiment import Experiment

_WIDTH, _HEADS = "model_args.n_embd", "model_args.n_head"
_FACTORS = (0.5, 0.75, 1.25, 1.5)
_NARROWEST, _NARROWEST_HEAD = 16, 8


class Width(ExperimentOperator):
    name = "width"
    summary = "Change n_embd by a half or a quarter; heads stay as many, each of an even width."
    preserves = frozenset({"shapes"})
    examples = (
        Example("model_args: {n_head: 4, n_embd: 128}\n", "model_args: {n_head: 4, n_embd: 160}\n", "x1.25"),
        Example("model_args:\n  n_embd: 128\n"),
    )

    def words(self, edit: Edit) -> str:
        return f"width ×{edit.variant[1:]}"

    def find(self, experiment: Experiment) -> Iterator[Offer]:
        width, heads = experiment.integer(_WIDTH) or 0, experiment.integer(_HEADS) or 0
        if width <= 0 or heads <= 0 or width % heads:
            return
        seen = {width}
        for factor in _FACTORS:
            size = round(width * factor / (2 * heads)) * 2 * heads
            if size not in seen and size >= max(_NARROWEST, heads * _NARROWEST_HEAD):
                seen.add(size)
                yield Offer(f"x{factor}", _WIDTH, partial(experiment.with_values, {_WIDTH: str(size)}))


OPERATOR = Width()
