"""Swap the activation function of the feed-forward layer.

Hendrycks and Gimpel, "Gaussian Error Linear Units" (2016); So et al., "Primer" (2021) for squared ReLU.
"""

import re
from collections.abc import Iterator
from functools import partial

import libcst as cst
import libcst.matchers as m

from operators.operator import Example, ModelOperator, Offer, place, sentence
from operators.source import Edit
from operators.syntax.activations import Activated, Activator, activated, activators, local_activations
from operators.syntax.encoder import encoder_layers, give, given
from operators.syntax.experiment import Experiment
from operators.syntax.patch import Patch
from operators.syntax.program import Class, Program
from operators.syntax.tree import argument, assigned, names, self_attribute, text

_CALLS = {
    "gelu": "{f}({x})",
    "tanh-gelu": '{f}({x}, approximate="tanh")',
    "relu": "{f}({x})",
    "relu2": "{f}({x}).square()",
    "silu": "{f}({x})",
}
_BASE = {"gelu": "gelu", "tanh-gelu": "gelu", "relu": "relu", "relu2": "relu", "silu": "silu"}
_MODULES = {"gelu": "GELU", "tanh-gelu": "GELU", "relu": "ReLU", "silu": "SiLU"}
_STRINGS = {
    "gelu": "gelu", "gelu_new": "tanh-gelu", "gelu_pytorch_tanh": "tanh-gelu", "relu": "relu",
    "relu2": "relu2", "silu": "silu", "swish": "silu",
}  # fmt: skip
_GATED = {"gelu": "GEGLU", "tanh-gelu": "GEGLU", "relu": "ReGLU", "silu": "SwiGLU"}
_ENCODER = ("gelu", "relu", "silu")  # names that torch's own layers know, and a function
_WORDS = re.compile(r"gelu|relu|silu|swish|mish|elu")


class SwapActivation(ModelOperator):
    name = "swap_activation"
    family = "knowledge"
    summary = "Swap GELU, ReLU, squared ReLU or SiLU for another of them."
    preserves = frozenset({"shapes", "parameter_count"})
    examples = (
        Example(
            """\
import torch.nn as nn
from torch.nn import functional as F

class MLP(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd)
        self.gelu = nn.GELU()
        self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd)

    def forward(self, x):
        x = self.c_fc(x)
        x = self.gelu(x)  # (B, T, 4 * n_embd)
        return self.c_proj(x)
""",
            """\
import torch.nn as nn
from torch.nn import functional as F

class MLP(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd)
        self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd)

    def forward(self, x):
        x = self.c_fc(x)
        x = F.relu(x).square()  # (B, T, 4 * n_embd)
        return self.c_proj(x)
""",
            "relu2",
        ),
        Example(
            "import torch\n\ndef gate(x):\n    return torch.nn.functional.gelu(x, approximate='tanh') * x\n",
            "import torch\n\ndef gate(x):\n    return torch.nn.functional.silu(x) * x\n",
            "silu",
        ),
        Example("import torch\n\ndef cap(logits):\n    return 30 * torch.tanh(logits / 30)\n"),
    )

    def words(self, edit: Edit) -> str:
        where, old = place(edit.site)
        return sentence(f"swap activation {old} → {edit.variant} in {where}")

    def find(self, program: Program, experiment: Experiment) -> Iterator[Offer]:
        local = local_activations(program)
        for one in activated(program, local):
            for variant in _others(one.kind):
                yield Offer(
                    variant,
                    f"{program.owner(one.whole)}:{one.kind}",
                    partial(_recall, program, one, variant, local),
                )
        for made in activators(program, local):
            for variant in _others(made.kind):
                patch = _remade(program, made, variant, local)
                if patch is not None:
                    yield Offer(variant, f"{program.owner(made.node)}:{made.kind}", patch.code)
        for call in encoder_layers(program):
            yield from _in_encoder(program, call)
        for field, node, kind, keys in _config_strings(program, experiment):
            for variant, key in keys.items():
                yield Offer(
                    variant,
                    f"{program.owner(node)}.{field}:{kind}",
                    partial(_with_string, program, node, key),
                )


def _in_encoder(program: Program, call: cst.Call) -> Iterator[Offer]:
    """Offer others where torch's own layer names its activation, or leaves it at relu."""
    present = given(call, "activation")
    name = present.value if present is not None else cst.SimpleString('"relu"')
    kind = name.raw_value if isinstance(name, cst.SimpleString) else ""
    for variant in _ENCODER if kind in ("gelu", "relu") else ():
        if variant != kind:
            patch = Patch(program)
            quoted = f'"{variant}"' if variant != "silu" else patch.spell("torch.nn.functional.silu")
            give(patch, call, "activation", quoted)
            yield Offer(variant, f"{program.owner(call)}:{kind}", patch.code)


def _others(kind: str) -> list[str]:
    return [variant for variant in _CALLS if variant != kind]


def _recall(program: Program, call: Activated, variant: str, local: dict[str, str]) -> str:
    """Apply another function to the same operand."""
    patch = Patch(program)
    patch.helper(*local)
    patch.change(
        call.whole, lambda updated: _applied(patch, variant, call.operand, _home(program, call.whole))
    )
    owner = program.owner(call.whole)
    named = _GATED.get(variant, "GLU")
    if owner in _GATED.values() and named not in program.bound():
        for name in program.all(cst.Name):
            if name.value == owner:
                patch.rename(name, named)
    return patch.code()


def _applied(
    patch: Patch, variant: str, operand: cst.BaseExpression, home: str | None = None
) -> cst.BaseExpression:
    function = f"{home}.{_BASE[variant]}" if home else patch.spell(f"torch.nn.functional.{_BASE[variant]}")
    return patch.expression(_CALLS[variant].replace("{f}", function), x=operand)


def _home(program: Program, whole: cst.CSTNode) -> str | None:
    """Return how a call already spells `torch.nn.functional`."""
    func = whole.func if isinstance(whole, cst.Call) else whole
    if isinstance(func, cst.Attribute) and program.qualified(func.value) == "torch.nn.functional":
        return text(func.value)
    return None


def _remade(program: Program, made: Activator, variant: str, local: dict[str, str]) -> Patch | None:
    """Make another module in this one's place, or call a function; None where neither reads well."""
    patch = Patch(program)
    patch.helper(*local)
    owner, line, name = _attribute(program, made.node)
    label = _label(program, made.node)
    fits = all(word in variant for word in _WORDS.findall(label))
    if _WORDS.search(label) and isinstance(program.parents[made.node], cst.DictElement):
        return None  # a table of activations by name
    simple = _replaceable(program, made, variant)
    if owner is None or line is None:
        return _in_place(patch, program, made, variant) if fits and (simple or made.called) else None
    uses = _uses(program, owner, name, line)
    calls = [call for call in (program.parents[use] for use in uses) if isinstance(call, cst.Call)]
    only_called = len(calls) == len(uses) and all(argument(call, 0) and len(call.args) == 1 for call in calls)
    if simple and fits:
        return _in_place(patch, program, made, variant)
    if simple and uses and _BASE[variant] not in names(owner.node):
        for use in (*uses, cst.ensure_type(assigned(line)[0], cst.Attribute)):  # type: ignore[index]
            patch.rename(use, _BASE[variant])
        return _in_place(patch, program, made, variant)
    if uses and only_called:
        patch.remove(line)
        for call in calls:
            patch.change(call, lambda updated: _applied(patch, variant, updated.args[0].value))
        return patch
    return _in_place(patch, program, made, variant) if fits and made.called else None


def _replaceable(program: Program, made: Activator, variant: str) -> bool:
    """Tell whether torch has a module (or function, or class) of this kind to stand in the same place."""
    if made.called:
        return variant in _MODULES
    return variant in ("gelu", "relu", "silu")


def _in_place(patch: Patch, program: Program, made: Activator, variant: str) -> Patch:
    func = made.node.func if isinstance(made.node, cst.Call) else made.node
    function = not made.called and (program.qualified(func) or "").rpartition(".")[2].islower()
    if function:
        name = f"torch.nn.functional.{_BASE[variant]}"
    elif variant in _MODULES:
        name = f"torch.nn.{_MODULES[variant]}"
    else:
        top = program.top(made.node)
        name = patch.copy("squared_relu", top)
    home = text(func.value) if isinstance(func, cst.Attribute) and name.startswith("torch.nn.") else None
    spelled = f"{home}.{name.rpartition('.')[2]}" if home else patch.spell(name) if "." in name else name
    arguments = '(approximate="tanh")' if variant == "tanh-gelu" else "()"
    patch.replace(made.node, spelled + (arguments if made.called else ""))
    return patch


def _attribute(
    program: Program, node: cst.CSTNode
) -> tuple[Class | None, cst.SimpleStatementLine | None, str]:
    """Return class, line and name where a node is what a line of `__init__` assigns to `self.name`, once."""
    owner, line = program.class_of(node), program.line_of(node)
    if owner is None or owner.init is None or line not in owner.init.body.body:
        return None, None, ""
    lines = [(name, at) for name, at, value in owner.own() if value is node]
    if not lines or sum(name == lines[0][0] for name, _, _ in owner.own()) != 1:
        return None, None, ""
    return owner, lines[0][1], lines[0][0]


def _uses(program: Program, owner: Class, name: str, line: cst.CSTNode) -> list[cst.Attribute]:
    """Return where an attribute is read; nothing if any reader is outside its class."""
    found = [
        node
        for node in program.all(cst.Attribute)
        if node.attr.value == name and program.line_of(node) is not line
    ]
    own = all(self_attribute(node) and program.class_of(node) is owner for node in found)
    return found if own else []


def _label(program: Program, node: cst.CSTNode) -> str:
    """Return the name that an expression is given where it stands: attribute, keyword, key or variable."""
    parent = program.parents[node]
    if isinstance(parent, cst.Arg) and parent.keyword is not None:
        return parent.keyword.value.lower()
    if isinstance(parent, cst.DictElement):
        return text(parent.key).lower()
    if isinstance(parent, cst.Element):
        return text(program.parents[parent]).lower() if _is_pair(program.parents[parent]) else ""
    pair = assigned(program.line_of(node) or node)
    return text(pair[0]).lower() if pair and pair[1] is node else ""


def _is_pair(node: cst.CSTNode) -> bool:
    return m.matches(node, m.Tuple(elements=[m.Element(m.SimpleString()), m.Element()]))


def _config_strings(
    program: Program, experiment: Experiment
) -> Iterator[tuple[str, cst.SimpleString, str, dict[str, str]]]:
    """Yield configuration fields that name an activation which the file looks up in a dictionary.

    With each come its node, its kind, and the other kinds that the dictionary knows, by their keys.
    """
    known: dict[str, str] = {}
    for element in program.all(cst.DictElement):
        key = element.key.evaluated_value if isinstance(element.key, cst.SimpleString) else None
        if isinstance(key, str) and key in _STRINGS:
            known.setdefault(_STRINGS[key], key)
    for field, node in program.config_defaults():
        value = node.value.evaluated_value if isinstance(node.value, cst.SimpleString) else None
        kind = _STRINGS.get(value) if isinstance(value, str) else None
        if "act" in field and kind in known and not experiment.sets(field):
            others = {variant: key for variant, key in known.items() if variant != kind}
            yield field, cst.ensure_type(node.value, cst.SimpleString), kind or "", others


def _with_string(program: Program, node: cst.SimpleString, key: str) -> str:
    patch = Patch(program)
    patch.replace(node, f"{node.quote}{key}{node.quote}")
    return patch.code()


OPERATOR = SwapActivation()
