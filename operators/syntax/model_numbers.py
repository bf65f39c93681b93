"""Read and write the numbers of a model's source that say by their place what they are for."""

import re
from fractions import Fraction

from operators.source import Source
from operators.syntax.experiment import float_text, read_experiment
from operators.syntax.patch import Patch
from operators.syntax.program import read_program
from operators.syntax.ratios import hidden_widths
from operators.syntax.rotary import bases
from operators.syntax.tree import number, text
from operators.syntax.widths import Width, rewidened

_SAID = re.compile("theta|rope_base")  # most sources are spared the parsing
_THETA = "model_args.rope_theta"


def theta(source: Source) -> float | None:
    """Return the base of rotation, where it is one and the same everywhere."""
    experiment = read_experiment(source.experiment)
    if _THETA in experiment.scalars:
        return experiment.number(_THETA)
    program = read_program(source.model) if _SAID.search(source.model) else None
    values = {number(node) for node, _ in bases(program, experiment)} if program is not None else set()
    return values.pop() if len(values) == 1 else None


def with_theta(source: Source, value: str) -> Source:
    """Return the source with another base of rotation. Raises ValueError where there is none."""
    experiment = read_experiment(source.experiment)
    if _THETA in experiment.scalars:
        return Source(source.model, experiment.with_values({_THETA: value}))
    program = read_program(source.model)
    if program is None or theta(source) is None:
        raise ValueError("this source has no base of rotation")
    patch = Patch(program)
    for node, _ in bases(program, experiment):
        patch.replace(node, float_text(float(value), like=text(node)))
    return Source(patch.code(), source.experiment)


def ffn_ratio(source: Source) -> float | None:
    """Return the width of the feed-forward layers over the model's, where all are of one kind."""
    width = _width(source)
    return float(width.ratio) if width is not None else None


def with_ffn_ratio(source: Source, value: str) -> Source:
    """Return the source with another ratio of widths. Raises ValueError where there is none."""
    program, width = read_program(source.model), _width(source)
    plan = rewidened(program, width, Fraction(value)) if program is not None and width is not None else None
    if program is None or plan is None:
        raise ValueError("this source has no ratio of feed-forward layers")
    patch = Patch(program)
    plan.put(patch)
    return Source(patch.code(), source.experiment)


def _width(source: Source) -> Width | None:
    program = read_program(source.model)
    found = list(hidden_widths(program)) if program is not None else []
    return found[0] if len(found) == 1 else None
