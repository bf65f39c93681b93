"""Halve or double the number of attention heads; the model's width stays, so each head's width changes."""

from collections.abc import Iterator
from functools import partial

from operators.operator import Example, ExperimentOperator, Offer
from operators.source import Edit, Source
from operators.syntax.experiment import Experiment, read_experiment
from operators.syntax.program import read_program
from operators.syntax.projections import KV_HEADS
from operators.syntax.tree import number

_HEADS, _WIDTH = "model_args.n_head", "model_args.n_embd"
_FACTORS = {"x0.5": 0.5, "x2": 2.0}
_NARROWEST, _WIDEST = 4, 256  # a head's width, which rotary positions split in two or four


class Heads(ExperimentOperator):
    name = "heads"
    summary = "Halve or double the number of heads; key-value heads stay, unless each head has its own."
    preserves = frozenset({"shapes"})
    examples = (
        Example("model_args: {n_head: 4, n_embd: 128}\n", "model_args: {n_head: 8, n_embd: 128}\n", "x2"),
        Example(
            "model_args:\n  n_head: 4  # heads\n  n_kv_head: 4\n  n_embd: 64\n",
            "model_args:\n  n_head: 2  # heads\n  n_kv_head: 2\n  n_embd: 64\n",
            "x0.5",
        ),
        Example("model_args: {n_head: 3, n_kv_head: 3, n_embd: 6}\n"),
    )

    def words(self, edit: Edit) -> str:
        return f"heads ×{edit.variant[1:]}"

    def find(self, experiment: Experiment) -> Iterator[Offer]:
        yield from _scaled(experiment, None)

    def _offers(self, source: Source) -> Iterator[Offer]:
        yield from _scaled(read_experiment(source.experiment), _shared(source.model))


def _shared(model: str) -> int | None:
    """Return the number of key-value heads that a model has where the experiment gives none."""
    program = read_program(model)
    for field, node in program.config_defaults() if program is not None else ():
        value = number(node.value) if field in KV_HEADS and node.value is not None else None
        if isinstance(value, int):
            return value
    return None


def _scaled(experiment: Experiment, shared: int | None) -> Iterator[Offer]:
    heads, width = experiment.integer(_HEADS), experiment.integer(_WIDTH)
    paths = [f"model_args.{field}" for field in KV_HEADS if experiment.sets(field)]
    given = experiment.integer(paths[0]) if paths else shared
    for variant, factor in _FACTORS.items() if heads is not None and width is not None else ():
        count = (heads or 0) * factor
        if count < 1 or not count.is_integer() or (width or 0) % (4 * count):
            continue
        values = {_HEADS: str(int(count))}
        if paths and given == heads:
            values[paths[0]] = str(int(count))
        elif given is not None and (given < 1 or count % given):
            continue
        if _NARROWEST <= (width or 0) / count <= _WIDEST:
            yield Offer(variant, _HEADS, partial(experiment.with_values, values))


OPERATOR = Heads()
