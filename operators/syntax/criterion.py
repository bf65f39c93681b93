"""Spell a loss that is an object, `nn.CrossEntropyLoss()(logits, targets)`, as a call of a function."""

from functools import lru_cache

import libcst as cst

from operators.syntax.patch import Patch
from operators.syntax.program import Program, read_program
from operators.syntax.tree import assigned, dotted, text

_LOSS = "torch.nn.CrossEntropyLoss"
_KEYWORDS = {"ignore_index", "label_smoothing"}


@lru_cache(maxsize=32)
def spelled_as_function(program: Program) -> Program:
    """Return the program with its one `loss_fct = CrossEntropyLoss(…)` and the one call of it made one call.

    As it is where there is no such pair, or more than one.
    """
    made = [call for call in program.all(cst.Call) if program.qualified(call.func) == _LOSS]
    line = program.line_of(made[0]) if len(made) == 1 else None
    pair = assigned(line) if line is not None else None
    name = dotted(pair[0]) if pair is not None and pair[1] is made[0] else None
    if line is None or name is None or not _is_usual(made[0]):
        return program
    uses = [node for node in program.nodes if dotted(node) == name and program.line_of(node) is not line]
    call = program.parents[uses[0]] if len(uses) == 1 else None
    if not isinstance(call, cst.Call) or call.func is not uses[0] or len(call.args) != 2:
        return program
    patch = Patch(program)
    given = [text(arg.with_changes(comma=cst.MaybeSentinel.DEFAULT)) for arg in (*call.args, *made[0].args)]
    patch.replace(call, f"{patch.spell('torch.nn.functional.cross_entropy')}({', '.join(given)})")
    patch.remove(line)
    spelled = read_program(patch.code())
    assert spelled is not None, "a call in the place of another can be parsed"
    return spelled


def _is_usual(made: cst.Call) -> bool:
    return all(arg.keyword is not None and arg.keyword.value in _KEYWORDS for arg in made.args)
