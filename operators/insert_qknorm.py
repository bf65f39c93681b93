"""Normalise queries and keys per head, so that attention logits stay bounded.

Henry et al., "Query-Key Normalization for Transformers" (2020); Dehghani et al., "Scaling Vision Transformers
to 22 Billion Parameters" (2023).
"""

from collections.abc import Iterator
from functools import partial

import libcst as cst

from operators.operator import Example, ModelOperator, Offer, place, sentence
from operators.source import Edit
from operators.syntax.attention import Attention, attentions, bound_names, head_dim, mentions
from operators.syntax.experiment import Experiment
from operators.syntax.norms import norms, takes_settings
from operators.syntax.patch import Patch
from operators.syntax.program import Class, Program
from operators.syntax.tree import names, walk

_LONGEST_LINE = 90  # without its indentation


class InsertQKNorm(ModelOperator):
    name = "insert_qknorm"
    family = "knowledge"
    summary = "RMS-normalise queries and keys per head before attention, with or without a learned scale."
    preserves = frozenset({"shapes"})
    examples = (
        Example(
            """\
from torch.nn import functional as F

def attend(q, k, v):  # (B, nh, T, hs)
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)
""",
            """\
from torch.nn import functional as F

def attend(q, k, v):  # (B, nh, T, hs)
    q, k = F.rms_norm(q, (q.size(-1),)), F.rms_norm(k, (k.size(-1),))
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)
""",
            "rms",
        ),
        Example(
            """\
from torch.nn import functional as F

def attend(q, k, v, norm):
    q, k = norm(q), norm(k)
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)
"""
        ),
    )

    def words(self, edit: Edit) -> str:
        learned = " with learned scale" if edit.variant == "rms-learned" else ""
        return sentence(f"insert QK-norm{learned} in {place(edit.site)[0]}")

    def find(self, program: Program, experiment: Experiment) -> Iterator[Offer]:
        for attention in attentions(program):
            if _is_normalised(attention):
                continue
            site = program.owner(attention.statement)
            yield Offer("rms", site, partial(_free, program, attention))
            owner = attention.owner
            sized = owner is not None and head_dim(owner) is not None
            if owner is not None and sized and not {"q_norm", "k_norm"} & names(owner.node):
                yield Offer("rms-learned", site, partial(_learned, program, attention, owner))


def _is_normalised(attention: Attention) -> bool:
    """Tell whether anything normalises q or k already."""
    return any(
        isinstance(node, cst.Assign) and _binds(node, attention) and _normalises(node.value)
        for node in walk(attention.function)
    )


def _binds(node: cst.Assign, attention: Attention) -> bool:
    return any({attention.query, attention.key} & names(target) for target in node.targets)


def _normalises(value: cst.CSTNode) -> bool:
    return any(isinstance(node, cst.Call) and mentions(node.func, "norm") for node in walk(value))


def _place(attention: Attention) -> cst.CSTNode:
    """Return the statement to insert above: attention, or the rotation of q and k before it."""
    made = {param.name.value for param in attention.function.params.params}
    for line in attention.function.body.body:
        rotates = any(
            isinstance(node, cst.Assign) and _binds(node, attention) and mentions(node.value, "rot", "rope")
            for node in walk(line)
        )
        if rotates and {attention.query, attention.key} <= made:
            return line
        made |= bound_names(line)
    return attention.statement


def _free(program: Program, attention: Attention) -> str:
    patch = Patch(program)
    norm = patch.spell("torch.nn.functional.rms_norm")
    normed = [f"{norm}({name}, ({name}.size(-1),))" for name in (attention.query, attention.key)]
    one = f"{attention.query}, {attention.key} = {', '.join(normed)}"
    two = (f"{attention.query} = {normed[0]}", f"{attention.key} = {normed[1]}")
    patch.before(_place(attention), *([one] if len(one) <= _LONGEST_LINE else two))
    return patch.code()


def _learned(program: Program, attention: Attention, owner: Class) -> str:
    patch = Patch(program)
    assert owner.init is not None, "a class of known head width has an __init__"
    mine = [norm for norm in norms(program) if norm.kind == "rmsnorm" and norm.owner is not None]
    sized = [norm for norm in mine if norm.owner is not None and not takes_settings(norm.owner)]
    made = [f"{norm.spelled}({{}})" for norm in sized if len(_required(norm.owner)) <= 1]
    layer = (made or [patch.spell("torch.nn.RMSNorm") + "({}, eps=1e-5)"])[0].format(head_dim(owner))
    patch.at_end(owner.init, f"self.q_norm = {layer}", f"self.k_norm = {layer}")
    q, k = attention.query, attention.key
    patch.before(_place(attention), f"{q}, {k} = self.q_norm({q}), self.k_norm({k})")
    return patch.code()


def _required(owner: Class | None) -> list[str]:
    """Return the arguments after self that `__init__` cannot do without."""
    if owner is None or owner.init is None:
        return []
    return [param.name.value for param in owner.init.params.params[1:] if param.default is None]


OPERATOR = InsertQKNorm()
