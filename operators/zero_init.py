"""Start the projections into the residual stream at zero, so that every block begins as the identity.

Goyal et al., "Accurate, Large Minibatch SGD" (2017), for residual branches; Yang et al., "Tensor Programs V"
(2022), for transformers.
"""

from collections.abc import Iterator

import libcst as cst
import libcst.matchers as m

from operators.operator import Example, ModelOperator, Offer
from operators.source import Edit
from operators.syntax.experiment import Experiment
from operators.syntax.patch import Patch
from operators.syntax.program import Class, Program
from operators.syntax.tree import assigned, leaf, text

_PROJECTIONS = ("c_proj", "o_proj", "out_proj", "down_proj", "wo", "w_down", "fc2", "dense_4h_to_h", "proj")


class ZeroInit(ModelOperator):
    name = "zero_init"
    family = "knowledge"
    summary = "Initialise the projections into the residual stream to zero."
    preserves = frozenset({"shapes", "parameter_count"})
    examples = (
        Example(
            """\
import math
import torch.nn as nn

def init(model, config):
    for name, p in model.named_parameters():
        if name.endswith("c_proj.weight"):  # residual
            nn.init.normal_(p, mean=0.0, std=0.02 / math.sqrt(2 * config.n_layer))
""",
            """\
import torch.nn as nn

def init(model, config):
    for name, p in model.named_parameters():
        if name.endswith("c_proj.weight"):  # residual
            nn.init.zeros_(p)
""",
            "projections",
        ),
        Example("import torch.nn as nn\n\ndef init(head):\n    nn.init.normal_(head.weight, std=0.02)\n"),
    )

    def words(self, edit: Edit) -> str:
        return "zero-initialise residual projections"

    def find(self, program: Program, experiment: Experiment) -> Iterator[Offer]:
        if any(_zeroes_weights(program, call) for call in program.all(cst.Call)):
            return
        scaled = [call for call in program.all(cst.Call) if _initialises_projections(program, call)]
        model = _model(program)
        if scaled:
            yield Offer("projections", program.home(scaled[0]), lambda: _zeroed(program, scaled))
        elif model is not None and _projections(program):
            yield Offer("projections", f"{model.name}.__init__", lambda: _appended(program, model))


def _zeroes_weights(program: Program, call: cst.Call) -> bool:
    """Tell whether a call sets a weight to zero: `init.zeros_(p)`, whatever p is but a bias."""
    if leaf(call.func) == "zeros_" and call.args:
        return leaf(call.args[0].value) != "bias"
    if m.matches(call.func, m.Attribute(attr=m.Name("zero_"))):
        return "weight" in text(call.func) or _own_data(call) == "p.data"
    return False


def _initialises_projections(program: Program, call: cst.Call) -> bool:
    """Tell whether a call draws the weights that an `if name.endswith("c_proj.weight")` picks."""
    branch = program.nearest(call, cst.If)
    if leaf(call.func) not in ("normal_", "trunc_normal_", "uniform_") or branch is None:
        return False
    if not call.args and _own_data(call) is None:
        return False
    picks = text(branch.test)
    return ("endswith" in picks or "==" in picks) and any(f"{name}.weight" in picks for name in _PROJECTIONS)


def _own_data(call: cst.Call) -> str | None:
    """Return `p.data` of `p.data.normal_(…)`."""
    if m.matches(call.func, m.Attribute(value=m.Attribute(attr=m.Name("data")))):
        return text(cst.ensure_type(call.func, cst.Attribute).value)
    return None


def _zeroed(program: Program, calls: list[cst.Call]) -> str:
    patch = Patch(program)
    for call in calls:
        data = _own_data(call)
        if data is not None:
            patch.replace(call, f"{data}.zero_()")
            continue
        home, dot, _ = text(call.func).rpartition(".")
        zeros = f"{home}{dot}zeros_" if dot else patch.spell("torch.nn.init.zeros_")
        patch.replace(call, f"{zeros}({text(call.args[0].value)})")
    return patch.code()


def _projections(program: Program) -> list[str]:
    """Return the attributes that hold linear layers into the residual stream, in order."""
    found: dict[str, None] = {}
    for call in program.all(cst.Call):
        if "linear" not in leaf(call.func).lower():
            continue
        parent, line = program.parents[call], program.line_of(call)
        pair = assigned(line) if line is not None else None
        name = leaf(pair[0]) if pair and pair[1] is call else ""
        if isinstance(parent, cst.Arg) and parent.keyword is not None:
            name = parent.keyword.value
        if name in _PROJECTIONS:
            found[name] = None
    return list(found)


def _model(program: Program) -> Class | None:
    """Return the class that makes the whole model: it holds the token embedding and a list of blocks."""
    for owner in program.classes.values():
        code = text(owner.init) if owner.init is not None else ""
        if "Embedding(" in code and ("ModuleList(" in code or "Sequential(" in code):
            return owner
    return None


def _appended(program: Program, model: Class) -> str:
    patch = Patch(program)
    assert model.init is not None, "a model is known by its __init__"
    endings = [f'"{name}.weight"' for name in _projections(program)]
    picked = endings[0] if len(endings) == 1 else f"({', '.join(endings)})"
    patch.at_end(
        model.init,
        "for name, p in self.named_parameters():\n"
        f"    if name.endswith({picked}):  # every block starts as the identity\n"
        f"        {patch.spell('torch.nn.init.zeros_')}(p)",
    )
    return patch.code()


OPERATOR = ZeroInit()
