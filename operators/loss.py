"""Change the loss that a model is trained by; it is still scored by the harness's cross-entropy.

Lin et al., "Focal Loss for Dense Object Detection" (2017); Szegedy et al., "Rethinking the Inception
Architecture" (2016) for label smoothing; Chowdhery et al., "PaLM" (2022) for the z-loss.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import libcst as cst
import libcst.matchers as m

from operators.operator import Example, ModelOperator, Offer, place, sentence
from operators.source import Edit
from operators.syntax.criterion import spelled_as_function
from operators.syntax.experiment import Experiment
from operators.syntax.patch import Patch
from operators.syntax.program import Program
from operators.syntax.tree import assigned, leaf, number, text, walk

_SMOOTHINGS = ("0.05", "0.1")
_VARIANTS = ("cross_entropy", "focal", *(f"label_smoothing-{share}" for share in _SMOOTHINGS), "z_loss")
_KEYWORDS = {"ignore_index", "label_smoothing", "reduction"}


class LossOperator(ModelOperator):
    name = "loss"
    family = "knowledge"
    summary = "Train by cross-entropy, focal loss, label smoothing, or cross-entropy with a z-loss."
    preserves = frozenset({"shapes", "parameter_count", "function_at_init"})
    examples = (
        Example(
            """\
from torch.nn import functional as F

class GPT:
    def forward(self, x, targets):
        logits = self.lm_head(x)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1)
        return logits, loss
""",
            """\
from torch.nn import functional as F

class GPT:
    def forward(self, x, targets):
        logits = self.lm_head(x)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1)
        loss = loss + 1e-4 * logits.logsumexp(-1).square().mean()
        return logits, loss
""",
            "z_loss",
        ),
        Example(
            """\
from torch.nn import functional as F

class GPT:
    def forward(self, logits, targets):
        return logits, F.cross_entropy(logits, targets, label_smoothing=0.1)
""",
            """\
from torch.nn import functional as F

class GPT:
    def forward(self, logits, targets):
        return logits, F.cross_entropy(logits, targets)
""",
            "cross_entropy",
        ),
        Example(
            """\
from torch.nn import functional as F

class Regressor:
    def forward(self, x, targets):
        return x, F.mse_loss(x, targets)
"""
        ),
    )

    def words(self, edit: Edit) -> str:
        return sentence(f"loss {place(edit.site)[1]} → {edit.variant}")

    def find(self, program: Program, experiment: Experiment) -> Iterator[Offer]:
        program = spelled_as_function(program)
        calls = [call for call in program.all(cst.Call) if _is_cross_entropy(program, call)]
        alone = len(calls) == 1 and program.class_of(calls[0]) is not None
        loss = _read(program, calls[0]) if alone else None
        for variant in _VARIANTS if loss is not None else ():
            if loss is not None and variant != loss.kind and _can_become(loss, variant):
                site = f"{program.home(loss.call)}:{loss.kind}"
                yield Offer(variant, site, partial(_rewritten, program, loss, variant))


@dataclass(frozen=True, eq=False)
class _Loss:
    """Hold the call of cross-entropy, and what of a z-loss or focal loss stands around it."""

    kind: str
    call: cst.Call
    line: cst.CSTNode | None  # `loss = F.cross_entropy(…)` and no more
    follow: cst.CSTNode | None  # `loss = loss + …` below it
    total: cst.BinaryOperation | None  # or the sum that the call is part of

    def logits(self) -> str | None:
        """Return the variable that the first argument is a view of."""
        node: cst.BaseExpression = self.call.args[0].value
        while isinstance(node, (cst.Attribute, cst.Call, cst.Subscript)):
            node = node.func if isinstance(node, cst.Call) else node.value
        return node.value if isinstance(node, cst.Name) and node.value != "self" else None

    def keyword(self, name: str) -> cst.BaseExpression | None:
        named = (arg for arg in self.call.args if arg.keyword is not None and arg.keyword.value == name)
        return next((arg.value for arg in named), None)


def _is_cross_entropy(program: Program, call: cst.Call) -> bool:
    return program.qualified(call.func) == "torch.nn.functional.cross_entropy"


def _read(program: Program, call: cst.Call) -> _Loss | None:
    """Say which loss a call of cross-entropy is part of; None where it is one that is not known here."""
    given = [arg.keyword.value if arg.keyword is not None else "" for arg in call.args]
    if given[:2] != ["", ""] or not set(given[2:]) <= _KEYWORDS or any(arg.star for arg in call.args):
        return None
    statement, parent = program.line_of(call), program.parents[call]
    pair = assigned(statement) if statement is not None else None
    line = statement if pair is not None and pair[1] is call and isinstance(pair[0], cst.Name) else None
    total = parent if isinstance(parent, cst.BinaryOperation) and "logsumexp" in text(parent.right) else None
    follow = _follow(program, line, leaf(pair[0])) if line is not None and pair is not None else None
    loss = _Loss("", call, line, follow, total)
    kind = _kind(loss)
    return _Loss(kind, call, line, follow, total) if kind is not None else None


def _kind(loss: _Loss) -> str | None:
    reduction, smoothing = loss.keyword("reduction"), loss.keyword("label_smoothing")
    if reduction is not None:
        each = isinstance(reduction, cst.SimpleString) and reduction.evaluated_value == "none"
        return "focal" if each and loss.follow is not None else None
    if loss.follow is not None or loss.total is not None:
        return "z_loss"
    if smoothing is None:
        return "cross_entropy"
    share = number(smoothing)
    return f"label_smoothing-{share}" if share is not None else None


def _follow(program: Program, line: cst.CSTNode, name: str) -> cst.CSTNode | None:
    """Return the line below that makes a z-loss or focal loss of what a line computes."""
    block = program.parents[line]
    below = list(block.body) if isinstance(block, cst.IndentedBlock) else []
    for statement in below[below.index(line) + 1 :] if line in below else ():  # type: ignore[arg-type]
        pair = assigned(statement)
        called = {leaf(node.func) for node in walk(statement) if isinstance(node, cst.Call)}
        if pair is not None and leaf(pair[0]) == name and called & {"logsumexp", "exp"}:
            return statement
    return None


def _can_become(loss: _Loss, variant: str) -> bool:
    """Tell whether there is room: a focal loss needs a line of its own, a z-loss the name of the logits."""
    if variant == "focal":
        return loss.line is not None
    return variant != "z_loss" or loss.logits() is not None


def _rewritten(program: Program, loss: _Loss, variant: str) -> str:
    patch = Patch(program)
    kind, _, share = variant.partition("-")
    keywords = {"label_smoothing": share} if share else {"reduction": '"none"'} if kind == "focal" else {}
    patch.change(loss.call, lambda updated: _with_keywords(patch, updated, keywords))
    if loss.follow is not None:
        patch.remove(loss.follow)
    if loss.total is not None:
        patch.change(loss.total, lambda updated: updated.left)
    pair = assigned(loss.line) if loss.line is not None else None
    name = leaf(pair[0]) if pair is not None else ""
    squares = f"1e-4 * {loss.logits()}.logsumexp(-1).square().mean()"
    if kind == "focal":
        assert loss.line is not None, "offered only where the loss has a line of its own"
        patch.after(loss.line, f"{name} = {_focal(patch, loss, name)}")
    elif kind == "z_loss" and loss.line is not None:
        patch.after(loss.line, f"{name} = {name} + {squares}")
    elif kind == "z_loss":
        patch.change(loss.call, lambda updated: patch.expression(f"{{ce}} + {squares}", ce=updated))
    return patch.code()


def _focal(patch: Patch, loss: _Loss, name: str) -> str:
    """Weigh each token's loss by (1 - p)²; the mean is over the tokens that are not ignored."""
    weighed = f"((1 - {patch.spell('torch.exp')}(-{name})) ** 2 * {name})"
    ignored = loss.keyword("ignore_index")
    if ignored is None:
        return f"{weighed}.mean()"
    return f"{weighed}.sum() / ({text(loss.call.args[1].value)} != {text(ignored)}).sum()"


def _with_keywords(patch: Patch, call: cst.Call, keywords: dict[str, str]) -> cst.Call:
    """Return a call with these keywords in the place of those that decide the kind of loss."""
    tight = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))
    gone = m.Arg(keyword=m.Name("label_smoothing") | m.Name("reduction"))
    kept = [arg for arg in call.args if not m.matches(arg, gone)]
    kept[-1] = kept[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
    new = {cst.Name(name): patch.expression(code) for name, code in keywords.items()}
    added = [cst.Arg(value, keyword=name, equal=tight) for name, value in new.items()]
    args = [*kept, *added]
    return call.with_changes(args=[*args[:-1], args[-1].with_changes(comma=call.args[-1].comma)])


OPERATOR = LossOperator()
