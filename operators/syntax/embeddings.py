"""Find the embedding of tokens: how the model names it, where it is made and where it is looked up."""

from dataclasses import dataclass

import libcst as cst

from operators.syntax.program import Class, Program
from operators.syntax.tree import argument, assigned, leaf, self_attribute, text, walk


@dataclass(frozen=True)
class TokenEmbedding:
    """Hold the embedding that the model's `forward` looks tokens up in, once."""

    owner: Class
    name: str  # wte
    path: str  # self.transformer.wte
    made: cst.CSTNode  # the line, argument or dictionary entry
    vocabulary: str
    width: str
    lookup: cst.Call


def token_embedding(program: Program) -> TokenEmbedding | None:
    """Return the model's token embedding, if its class looks tokens up in one place of `forward`."""
    for call in program.all(cst.Call):
        sizes = [argument(call, 0, "num_embeddings"), argument(call, 1, "embedding_dim")]
        if program.qualified(call.func) != "torch.nn.Embedding" or None in sizes:
            continue
        owner, (name, made) = program.class_of(call), held(program, call)
        lookups = _lookups(program, owner, name) if owner is not None and name else []
        if owner is not None and len(lookups) == 1:
            vocabulary, width = (text(size.value) for size in sizes if size is not None)
            return TokenEmbedding(owner, name, text(lookups[0].func), made, vocabulary, width, lookups[0])
    return None


def held(program: Program, call: cst.Call) -> tuple[str, cst.CSTNode]:
    """Return the name that a module is given, and the line, argument or dictionary entry that makes it."""
    parent = program.parents[call]
    if isinstance(parent, cst.Arg) and parent.keyword is not None:
        return parent.keyword.value, parent
    if isinstance(parent, cst.DictElement) and isinstance(parent.key, cst.SimpleString):
        return str(parent.key.evaluated_value), parent
    line = program.line_of(call)
    pair = assigned(line) if line is not None else None
    if line is not None and pair and pair[1] is call:
        return self_attribute(pair[0]) or "", line
    return "", parent


def _lookups(program: Program, owner: Class, name: str) -> list[cst.Call]:
    """Return each call of this layer on the tokens, the first argument of `forward`."""
    forward = owner.methods.get("forward")
    if forward is None or len(forward.params.params) < 2:
        return []
    tokens = forward.params.params[1].name.value
    calls = [node for node in walk(forward) if isinstance(node, cst.Call) and leaf(node.func) == name]
    return [call for call in calls if [text(arg) for arg in call.args] == [tokens]]
