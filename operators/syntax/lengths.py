"""Say, in the words of any class of a file, how many positions the model has."""

from collections.abc import Iterator

import libcst as cst

from operators.syntax.program import Class, Program
from operators.syntax.tree import text, walk

LENGTHS = ("block_size", "context_length", "max_seq_len", "max_position_embeddings", "n_positions", "n_ctx")


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
