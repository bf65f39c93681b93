"""Find and take out what tells a model where a token stands: learned embeddings, and rotations."""

import re
from dataclasses import dataclass

import libcst as cst
import libcst.matchers as m

from operators.syntax.patch import Patch
from operators.syntax.program import Program
from operators.syntax.tree import argument, assigned, dotted, leaf, names, self_attribute, text, walk

_NAME = re.compile(r"(^|_)(wpe|pe|pos|position|positions|positional)(_|$)|^posemb")
_SIZED = m.Call(func=m.Attribute(attr=m.Name("zeros") | m.Name("randn") | m.Name("empty")))


@dataclass(frozen=True)
class Learned:
    """Hold a learned position embedding: what it is called, where it is made, for how many positions."""

    name: str
    made: cst.CSTNode  # the line, argument or dictionary entry
    length: cst.BaseExpression
    uses: list[cst.Attribute]


def learned_positions(program: Program) -> Learned | None:
    """Return the model's learned position embedding, if it has one."""
    for call in program.all(cst.Call):
        length = _length(program, call)
        parent = program.parents[call]
        name, made = "", parent
        if isinstance(parent, cst.Arg) and parent.keyword is not None:
            name = parent.keyword.value
        elif isinstance(parent, cst.DictElement) and isinstance(parent.key, cst.SimpleString):
            name = str(parent.key.evaluated_value)
        else:
            line = program.line_of(call)
            pair = assigned(line) if line is not None else None
            if line is not None and pair and pair[1] is call:
                name, made = self_attribute(pair[0]) or "", line
        if length is not None and _NAME.search(name):
            uses = [node for node in program.all(cst.Attribute) if leaf(node) == name]
            uses = [node for node in uses if made not in program.above(node)]
            return Learned(name, made, length, uses)
    return None


def _length(program: Program, call: cst.Call) -> cst.BaseExpression | None:
    """Return the number of positions of `nn.Embedding(T, C)` or `nn.Parameter(torch.zeros(1, T, C))`."""
    name = program.qualified(call.func)
    if name == "torch.nn.Embedding":
        first = argument(call, 0, "num_embeddings")
        return first.value if first else None
    if name == "torch.nn.Parameter" and call.args and m.matches(call.args[0].value, _SIZED):
        sizes = cst.ensure_type(call.args[0].value, cst.Call).args
        return sizes[-2].value if len(sizes) >= 2 else None
    return None


def take_out(program: Program, patch: Patch, learned: Learned) -> bool:
    """Remove an embedding and its traces; False if some use of it cannot be undone by taking it away."""
    gone: set[cst.CSTNode] = {learned.made}
    for use in learned.uses:
        if use in {node for statement in gone for node in walk(statement)}:
            continue
        undone = _undo(program, patch, use)
        if undone is None:
            return False
        gone |= undone
    if isinstance(learned.made, cst.SimpleStatementLine):
        patch.remove(learned.made)
    else:
        patch.change(program.parents[learned.made], lambda updated: _without(updated, learned.name))
    _sweep(program, patch, gone)
    return True


def _undo(program: Program, patch: Patch, use: cst.Attribute) -> set[cst.CSTNode] | None:
    """Take away one use; return the nodes that this removed, or None if the use is not of a kind known."""
    line = program.line_of(use)
    if line is None:
        return None
    term = _term(program, use)
    pair = assigned(line)
    if pair and isinstance(pair[0], cst.Name) and pair[1] is term:
        reads = program.reads(program.function_of(line) or line, pair[0].value)
        if len(reads) != 1 or not _drop_term(program, patch, reads[0]):
            return None
        patch.remove(line)
        return {line}
    if _drop_term(program, patch, term):
        return {term}
    small = line.body[0] if isinstance(line, cst.SimpleStatementLine) else None
    target = small.target if isinstance(small, cst.AugAssign) else pair[0] if pair else None
    is_call = isinstance(small, cst.Expr) and isinstance(small.value, cst.Call)
    is_sum = isinstance(small, cst.AugAssign) and small.value is term
    is_count = isinstance(small, cst.AugAssign) and m.findall(small.value, m.Name("numel"))
    its_own = target is not None and use in walk(target)
    if is_call or is_sum or is_count or its_own:
        patch.remove(line)
        return {line}
    return None


def _term(program: Program, use: cst.CSTNode) -> cst.CSTNode:
    """Return the embedding looked up: `wpe(pos)` or `pos_emb[:, :t]` around the bare attribute."""
    parent = program.parents[use]
    looked_up = isinstance(parent, cst.Call) and parent.func is use
    looked_up |= isinstance(parent, cst.Subscript) and parent.value is use
    return parent if looked_up else use


def _drop_term(program: Program, patch: Patch, term: cst.CSTNode) -> bool:
    """Turn `a + term` into `a`; False if the term is not part of a sum."""
    total = program.parents[term]
    if not m.matches(total, m.BinaryOperation(operator=m.Add())):
        return False
    left = cst.ensure_type(total, cst.BinaryOperation).left is term

    def other(updated: cst.BinaryOperation) -> cst.BaseExpression:
        kept = updated.right if left else updated.left
        if isinstance(kept, cst.BinaryOperation) and not kept.lpar:
            return kept.with_changes(lpar=updated.lpar, rpar=updated.rpar)
        return kept

    line = program.line_of(total)
    pair = assigned(line) if line is not None else None
    if line is not None and pair and pair[1] is total:
        rest = cst.ensure_type(total, cst.BinaryOperation)
        if dotted(pair[0]) == dotted(rest.right if left else rest.left) is not None:
            patch.remove(line)  # x = x + term
            return True
    patch.change(total, other)
    return True


def _without(holder: cst.CSTNode, name: str) -> cst.CSTNode:
    """Return a call or dictionary without the entry of this name."""
    field = "args" if isinstance(holder, cst.Call) else "elements"
    entries = list(getattr(holder, field))
    at = next(at for at, entry in enumerate(entries) if _entry_name(entry) == name)
    if at == len(entries) - 1 and at > 0:
        entries[at - 1] = entries[at - 1].with_changes(comma=entries[at].comma)
    del entries[at]
    return holder.with_changes(**{field: entries})


def _entry_name(entry: cst.CSTNode) -> str:
    if isinstance(entry, cst.Arg):
        return entry.keyword.value if entry.keyword is not None else ""
    key = entry.key if isinstance(entry, cst.DictElement) else None
    return str(key.evaluated_value) if isinstance(key, cst.SimpleString) else ""


def _sweep(program: Program, patch: Patch, gone: set[cst.CSTNode]) -> None:
    """Remove variables that only the removed code read, such as `pos = torch.arange(…)`."""
    while True:
        dead = {node for root in gone for node in walk(root)}
        wanted = {name for root in gone for name in names(root)}
        found = None
        for line in program.all(cst.SimpleStatementLine):
            pair = assigned(line)
            if line in dead or not pair or not isinstance(pair[0], cst.Name) or pair[0].value not in wanted:
                continue
            function = program.function_of(line)
            reads = program.reads(function, pair[0].value) if function is not None else []
            if function is not None and all(node in dead for node in reads):
                found = line
        if found is None:
            return
        patch.remove(found)
        gone.add(found)


def rotations(program: Program) -> list[tuple[cst.Call, str]]:
    """Return each call `self.rope(x)` of a rotary layer that the file makes, with the layer's attribute."""
    made = {
        name
        for owner in program.classes.values()
        for name, _, value in owner.own()
        if isinstance(value, cst.Call)
        and leaf(value.func) in program.classes
        and "rot" in text(value.func).lower()
    }
    return [
        (call, leaf(call.func))
        for call in program.all(cst.Call)
        if self_attribute(call.func) in made and len(call.args) == 1
    ]
