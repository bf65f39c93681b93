"""Put in, find and take out a learned embedding of positions, added to that of the tokens."""

import re
from dataclasses import dataclass
from functools import partial

import libcst as cst
import libcst.matchers as m

from operators.syntax.embeddings import TokenEmbedding, held, token_embedding
from operators.syntax.lengths import length_in
from operators.syntax.patch import Patch
from operators.syntax.program import Class, Program
from operators.syntax.tree import argument, assigned, dotted, leaf, names, text, walk

_NAME = re.compile(r"(^|_)(wpe|pe|pos|position|positions|positional)(_|$)|^posemb")
_NAMES = (("token", "position"), ("tok", "pos"), ("wte", "wpe"))  # of tokens, of positions
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
        name, made = held(program, call) if length is not None else ("", call)
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


def put_in(program: Program, patch: Patch, elsewhere: str | None = None) -> bool:
    """Add an embedding of positions to that of the tokens; False if the source hides where that is.

    `elsewhere` is how another class says the number of positions, where that is known.
    """
    tokens = token_embedding(program)
    length = length_in(program, tokens.owner, elsewhere) if tokens is not None else None
    statement = program.line_of(tokens.lookup) if tokens is not None else None
    if tokens is None or length is None or statement is None:
        return False
    name = _name_beside(tokens)
    made = f"{patch.spell('torch.nn.Embedding')}({length}, {tokens.width})"
    if name in names(program.module) or not _hold(program, patch, tokens, name, made):
        return False
    path = tokens.path.removesuffix(tokens.name) + name
    count = _count(program, tokens, statement)
    ids = text(tokens.lookup.args[0])
    index = "positions" if "pos" in names(statement) else "pos"
    patch.before(statement, f"{index} = {patch.spell('torch.arange')}({count}, device={ids}.device)")
    looked_up = f"{text(tokens.lookup)} + {path}({index})"
    apart = isinstance(program.parents[tokens.lookup], (cst.Attribute, cst.BinaryOperation, cst.Subscript))
    patch.replace(tokens.lookup, f"({looked_up})" if apart else looked_up)
    _crop(patch, tokens.owner, path)
    return True


def _name_beside(tokens: TokenEmbedding) -> str:
    """Name the embedding of positions after that of tokens: wte, wpe; embed_tokens, embed_positions."""
    for token, position in _NAMES:
        if token in tokens.name:
            return tokens.name.replace(token, position)
    return "wpe"


def _hold(program: Program, patch: Patch, tokens: TokenEmbedding, name: str, made: str) -> bool:
    """Make the new embedding below the old one, in the same manner; False if that stands last in braces."""
    if isinstance(tokens.made, cst.SimpleStatementLine):
        patch.after(tokens.made, f"{tokens.path.removesuffix(tokens.name)}{name} = {made}")
        return True
    holder = program.parents[tokens.made]
    field = "args" if isinstance(holder, cst.Call) else "elements"
    at = getattr(holder, field).index(tokens.made)
    if at == len(getattr(holder, field)) - 1:
        return False

    def with_entry(updated: cst.CSTNode) -> cst.CSTNode:
        entries = list(getattr(updated, field))
        entry, value = entries[at].deep_clone(), patch.expression(made)
        if isinstance(entry, cst.Arg):
            entry = entry.with_changes(keyword=cst.Name(name), value=value)
        else:
            quote = text(entry.key)[0]
            entry = entry.with_changes(key=cst.SimpleString(f"{quote}{name}{quote}"), value=value)
        return updated.with_changes(**{field: [*entries[: at + 1], entry, *entries[at + 1 :]]})

    patch.change(holder, with_entry)
    return True


def _count(program: Program, tokens: TokenEmbedding, statement: cst.CSTNode) -> str:
    """Return how `forward` says the number of tokens above a statement."""
    ids = text(tokens.lookup.args[0])
    block = program.parents[statement]
    for line in block.body if isinstance(block, cst.IndentedBlock) else ():
        pair = assigned(line)
        if line is statement:
            break
        if pair is None:
            continue
        target, value = pair
        if isinstance(target, cst.Name) and text(value) in (f"{ids}.size(1)", f"{ids}.shape[1]"):
            return target.value
        if isinstance(target, cst.Tuple) and text(value) in (f"{ids}.size()", f"{ids}.shape"):
            return text(target.elements[1].value)
    return f"{ids}.size(1)"


def _crop(patch: Patch, owner: Class, path: str) -> None:
    """Crop the new embedding too where the model has a method that shortens its context."""
    crop = owner.methods.get("crop_block_size")
    if crop is not None and len(crop.params.params) == 2:
        parameter = patch.spell("torch.nn.Parameter")
        length = crop.params.params[1].name.value
        patch.at_end(crop, f"{path}.weight = {parameter}({path}.weight[:{length}])")


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
    _drop_arguments(program, patch, gone)
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
        if len(reads) != 1 or not drop_term(program, patch, reads[0]):
            return None
        patch.remove(line)
        return {line}
    if drop_term(program, patch, term):
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


def drop_term(program: Program, patch: Patch, term: cst.CSTNode) -> bool:
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


def _drop_arguments(program: Program, patch: Patch, gone: set[cst.CSTNode]) -> None:
    """Take back an argument such as `non_embedding` whose `if` is now empty, where no call gives it."""
    for line in gone:
        branch = program.nearest(line, cst.If)
        function = program.function_of(line)
        if branch is None or function is None or not all(item in gone for item in branch.body.body):
            continue
        method = function.name.value
        called = any(call.args for call in program.all(cst.Call) if leaf(call.func) == method)
        for param in function.params.params if not called and branch.orelse is None else ():
            reads = program.reads(function, param.name.value)
            if len(reads) == 1 and reads[0] is branch.test:
                patch.change(function.params, partial(_without_param, name=param.name.value))


def _without_param(params: cst.Parameters, name: str) -> cst.Parameters:
    kept = [param for param in params.params if param.name.value != name]
    kept[-1] = kept[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
    return params.with_changes(params=kept)
