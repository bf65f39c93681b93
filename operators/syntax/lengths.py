"""Say, in the words of any class of a file, how many positions the model has."""

from collections.abc import Iterator

import libcst as cst

from operators.syntax.experiment import Experiment
from operators.syntax.program import Class, Program
from operators.syntax.tree import number, text, walk

LENGTHS = ("block_size", "context_length", "max_seq_len", "max_position_embeddings", "n_positions", "n_ctx")
_LONG = 1024  # the context of a program that does not say


def context(program: Program, experiment: Experiment) -> int:
    """Return the context length that the experiment or the configuration gives."""
    for field in LENGTHS:
        given = experiment.integer(f"model_args.{field}")
        if given is not None:
            return given
    for field, node in program.config_defaults():
        value = number(node.value) if field in LENGTHS and node.value is not None else None
        if isinstance(value, int):
            return value
    return _LONG


def local_window(program: Program, experiment: Experiment) -> int:
    """Return a window for layers that attend locally: a quarter of the context, within reason."""
    return min(max(context(program, experiment) // 4, 8), 256)


def length_in(program: Program, owner: Class, elsewhere: str | None = None) -> str | None:
    """Return an expression for the number of positions in a class's `__init__`; None if it cannot say.

    `elsewhere` is how another class says it, where that is known.
    """
    said = (within(program, owner, known) for known in _known(program, elsewhere))
    return next((length for length in said if length is not None), None)


def _known(program: Program, elsewhere: str | None) -> Iterator[str]:
    if elsewhere is not None:
        yield elsewhere
    fields = {field for field, _ in program.config_defaults()}
    yield from (f"config.{name}" for name in LENGTHS if name in fields)
    yield from LENGTHS


def within(program: Program, owner: Class, size: str) -> str | None:
    """Say a size such as `config.block_size`, which is how another `__init__` does, in this class."""
    name = size.rpartition(".")[2]
    if name in owner.parameters() or size in program.bound():
        return name
    if "." not in size or owner.init is None:
        return None
    configs = {text(node.value) for node in walk(owner.init) if isinstance(node, cst.Attribute)}
    found = [param for param in owner.parameters() if param in configs]
    return f"{found[0]}.{name}" if found else None
