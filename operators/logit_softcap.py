"""Bound the logits smoothly: cap * tanh(logits / cap).

Gemma Team, "Gemma 2: Improving Open Language Models at a Practical Size" (2024).
"""

from collections.abc import Iterator
from functools import partial

import libcst as cst
import libcst.matchers as m

from operators.operator import Example, ModelOperator, Offer
from operators.source import Edit
from operators.syntax.experiment import Experiment
from operators.syntax.patch import Patch
from operators.syntax.program import Class, Program
from operators.syntax.tree import assigned, leaf, names, self_attribute, walk

_LINEAR = "torch.nn.functional.linear"
_CAPS = ("15", "30")
_VOCABULARY = {"vocab_size", "n_vocab", "vocab", "padded_vocab_size", "vocabulary_size"}


class LogitSoftcap(ModelOperator):
    name = "logit_softcap"
    family = "knowledge"
    summary = "Cap the logits smoothly at 15 or 30 by tanh."
    preserves = frozenset({"shapes", "parameter_count"})
    examples = (
        Example(
            """\
import torch
import torch.nn as nn

class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)

    def forward(self, x, targets=None):
        if targets is None:
            return self.lm_head(x[:, [-1], :])
        logits = self.lm_head(x)
        return logits
""",
            """\
import torch
import torch.nn as nn

class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.softcap = 15.0

    def forward(self, x, targets=None):
        if targets is None:
            return self.softcap * torch.tanh(self.lm_head(x[:, [-1], :]) / self.softcap)
        logits = self.lm_head(x)
        logits = self.softcap * torch.tanh(logits / self.softcap)
        return logits
""",
            "15",
        ),
        Example(
            """\
import torch
import torch.nn as nn

class GPT(nn.Module):
    def __init__(self, dim, vocab_size):
        super().__init__()
        self.head = nn.Linear(dim, vocab_size)

    def forward(self, x):
        return 30 * torch.tanh(self.head(x) / 30)
"""
        ),
    )

    def words(self, edit: Edit) -> str:
        return f"cap logits at {edit.variant} by tanh"

    def find(self, program: Program, experiment: Experiment) -> Iterator[Offer]:
        for owner in program.classes.values():
            head, calls = _head(owner)
            product = _product(program, owner) if head is None else None
            if {"tanh", "softcap"} & names(owner.node):
                continue
            for cap in _CAPS:
                if head is not None and calls:
                    yield Offer(cap, f"{owner.name}.forward", partial(_capped, program, head, calls, cap))
                elif product is not None and owner.init is not None:
                    last = owner.init.body.body[-1]
                    rewrite = partial(_capped_below, program, last, product, cap)
                    yield Offer(cap, f"{owner.name}.forward", rewrite)


def _head(owner: Class) -> tuple[cst.SimpleStatementLine | None, list[cst.Call]]:
    """Return the line that makes the layer which predicts tokens, and its calls in `forward`."""
    forward = owner.methods.get("forward")
    for name, line, value in owner.own():
        made = isinstance(value, cst.Call) and "linear" in leaf(value.func).lower()
        sizes = {leaf(arg.value) for arg in value.args} if isinstance(value, cst.Call) else set()
        if made and sizes & _VOCABULARY and forward is not None:
            calls = [node for node in walk(forward) if isinstance(node, cst.Call)]
            return line, [call for call in calls if self_attribute(call.func) == name]
    return None, []


def _product(program: Program, owner: Class) -> cst.CSTNode | None:
    """Return the line `logits = x @ …` of a model that predicts tokens without a layer for it."""
    for line in walk(owner.methods["forward"]) if "forward" in owner.methods else ():
        pair = assigned(line)
        if pair is not None and m.matches(pair[0], m.Name("logits")):
            linear = isinstance(pair[1], cst.Call) and program.qualified(pair[1].func) == _LINEAR
            if linear or m.matches(pair[1], m.BinaryOperation(operator=m.MatrixMultiply())):
                return line
    return None


def _capped_below(program: Program, last: cst.CSTNode, product: cst.CSTNode, cap: str) -> str:
    patch = Patch(program)
    patch.after(last, f"self.softcap = {cap}.0")
    patch.after(product, f"logits = self.softcap * {patch.spell('torch.tanh')}(logits / self.softcap)")
    return patch.code()


def _capped(program: Program, head: cst.SimpleStatementLine, calls: list[cst.Call], cap: str) -> str:
    patch = Patch(program)
    patch.after(head, f"self.softcap = {cap}.0")
    tanh = f"self.softcap * {patch.spell('torch.tanh')}({{logits}} / self.softcap)"
    for call in calls:
        line = program.line_of(call)
        pair = assigned(line) if line is not None else None
        name = leaf(pair[0]) if pair is not None and _is_cast(pair[1], call) else ""
        if line is not None and name:
            patch.after(line, f"{name} = {tanh.format(logits=name)}")
        else:
            patch.change(call, lambda updated: patch.expression(tanh, logits=updated))
    return patch.code()


def _is_cast(value: cst.BaseExpression, call: cst.Call) -> bool:
    """Tell whether an expression is a call, perhaps cast: `self.lm_head(x).float()`."""
    if m.matches(value, m.Call(func=m.Attribute(attr=m.Name("float") | m.Name("to")))):
        value = cst.ensure_type(cst.ensure_type(value, cst.Call).func, cst.Attribute).value
    return value is call


OPERATOR = LogitSoftcap()
