"""Let a setting differ by layer: feed-forward width, dropout, how far tokens attend, the number of heads.

Mehta et al., "OpenELM" (2024) for widths and heads by layer; Gemma Team, "Gemma 2" (2024) for windows in some
layers. Widths, dropout and windows keep their mean over the layers; half of the layers get half of the heads.
"""

from collections.abc import Iterator
from functools import partial

import libcst as cst
import libcst.matchers as m

from operators.operator import Example, ModelOperator, Offer, place, sentence
from operators.source import Edit
from operators.syntax.depth import Way, way_to
from operators.syntax.experiment import Experiment
from operators.syntax.feedforward import feed_forwards
from operators.syntax.patch import Patch
from operators.syntax.program import Program
from operators.syntax.sequential import sequences
from operators.syntax.stack import fresh
from operators.syntax.tree import dotted, leaf, number, text
from operators.syntax.varied_attention import FACTORS, variations
from operators.syntax.widths import Width

_WORDS = {"kv_heads": "more KV heads", "window": "wider windows", "global": "all tokens seen"}

_BEFORE = """\
import torch.nn as nn

class Block(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.fc = nn.Linear(dim, 4 * dim)
        self.act = nn.GELU()
        self.proj = nn.Linear(4 * dim, dim)

    def forward(self, x):
        return x + self.proj(self.act(self.fc(x)))

class GPT(nn.Module):
    def __init__(self, dim, n_layer):
        super().__init__()
        self.blocks = nn.ModuleList([Block(dim) for _ in range(n_layer)])

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x
"""
_AFTER = (
    _BEFORE.replace("def __init__(self, dim):", "def __init__(self, dim, depth):")
    .replace("Block(dim) for _ in", "Block(dim, (i + 0.5) / n_layer) for i in")
    .replace("4 * dim", "hidden")
    .replace(
        "        self.fc",
        "        hidden = int((0.5 + depth) * 4 * dim)  # depth from 0 to 1\n        self.fc",
        1,
    )
)

_CONFIG = """\
from dataclasses import dataclass
import torch.nn as nn
from torch.nn import functional as F

@dataclass
class Config:
    n_layer: int = 2
    n_head: int = 4
    n_embd: int = 64

class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.n_head = config.n_head
        self.qkv = nn.Linear(config.n_embd, 3 * config.n_embd)

    def forward(self, x):
        B, T, C = x.size()
        q, k, v = self.qkv(x).view(B, T, 3, self.n_head, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return x + y.transpose(1, 2).reshape(B, T, C)

class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.attn = Attention(config)

    def forward(self, x):
        return self.attn(x)

class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.n_layer)])

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x
"""
_MADE = """\
    def __init__(self, config):
        super().__init__()
        self.attn = Attention(config)
"""
_OWN = """\
    def __init__(self, config, depth):
        super().__init__()
        own_n_head = config.n_head if depth > 0.5 else max(1, config.n_head // 2)
        self.attn = Attention(dataclasses.replace(config, n_head=own_n_head))
"""
_LAYERS = "Block(config) for _ in range", "Block(config, (i + 0.5) / config.n_layer) for i in range"
_VARIED = (
    _CONFIG.replace(_MADE, _OWN)
    .replace(*_LAYERS)
    .replace("functional as F\n", "functional as F\nimport dataclasses\n")
)
_KERNEL = """\
class SlidingWindowAttention(nn.Module):
    def __init__(self, window):
        super().__init__()
        self.window = window

    def forward(self, q, k, v):
        seen = torch.ones(q.size(2), q.size(2), dtype=torch.bool).tril()
        if self.window is not None:
            seen = seen.triu(1 - self.window)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=seen)

"""
_LOCAL = (
    _CONFIG.replace("import torch.nn as nn\n", "import torch\nimport torch.nn as nn\n")
    .replace("class Attention", f"{_KERNEL}class Attention")
    .replace("        self.qkv =", "        self.attend = SlidingWindowAttention(64)\n        self.qkv =")
    .replace("F.scaled_dot_product_attention(q, k, v, is_causal=True)", "self.attend(q, k, v)")
)
_GLOBAL = (
    _LOCAL.replace("(self, config):", "(self, config, depth):", 2)  # of Attention and Block
    .replace("Attention(config)", "Attention(config, depth)")
    .replace("Attention(64)", "Attention(64 if depth < 0.5 else None)")
    .replace(*_LAYERS)
)


class VaryByLayer(ModelOperator):
    name = "vary_by_layer"
    family = "generic"
    summary = "Let feed-forward width, dropout, attention windows or heads change from layer to layer."
    preserves = frozenset({"shapes"})
    examples = (
        Example(_BEFORE, _AFTER, "ffn-later"),
        Example(_CONFIG, _VARIED, "heads-later"),
        Example(_LOCAL, _GLOBAL, "global-later"),
        Example(_BEFORE.replace("for _ in range(n_layer)", "for _ in (1, 2)")),
    )

    def words(self, edit: Edit) -> str:
        what, _, where = edit.variant.partition("-")
        return sentence(f"{_WORDS.get(what, f'more {what}')} in {where} layers ({place(edit.site)[0]})")

    def find(self, program: Program, experiment: Experiment) -> Iterator[Offer]:
        hidden = [layer.hidden for layer in feed_forwards(program)]
        hidden += [sequence.hidden for sequence in sequences(program)]
        for width in hidden:
            owner = program.class_of(width.nodes[0])
            way = way_to(program, owner) if owner is not None else None
            in_init = owner is not None and all(program.function_of(n) is owner.init for n in width.nodes)
            if way is not None and owner is not None and in_init:
                for where, factor in FACTORS.items():
                    rewrite = partial(_widened, program, way, width, factor)
                    yield Offer(f"ffn-{where}", f"{owner.name}:hidden", rewrite)
        for call in program.all(cst.Call):
            owner = program.class_of(call)
            if owner is not None and _drops(program, experiment, call):
                way = way_to(program, owner)
                if way is not None:
                    rewrite = partial(_dropped, program, way, call)
                    yield Offer("dropout-later", f"{owner.name}:{text(call.args[0].value)}", rewrite)
        if experiment.integer("model_args.n_layer") != 1:
            yield from (Offer(*variation) for variation in variations(program, experiment))


def _widened(program: Program, way: Way, width: Width, factor: str) -> str:
    patch = Patch(program)
    way.tell(program, patch)
    value = width.nodes[0]
    if m.matches(value, m.Call(func=m.Name("int"), args=[m.Arg()])):
        value = cst.ensure_type(value, cst.Call).args[0].value
    code = f"int(({factor}) * {text(value)})"
    if len(width.nodes) == 1:
        patch.replace(width.nodes[0], code)
        return patch.code()
    init = way.calls[-1][1]
    name = fresh("hidden", init)
    first = next(line for line in init.body.body if any(line in program.above(node) for node in width.nodes))
    patch.before(first, f"{name} = {code}  # depth from 0 to 1")
    for node in width.nodes:
        patch.replace(node, name)
    return patch.code()


def _drops(program: Program, experiment: Experiment, call: cst.Call) -> bool:
    """Tell whether a call makes a dropout layer whose rate is a setting above zero and below a half."""
    rate = dotted(call.args[0].value) if len(call.args) == 1 else None
    if program.qualified(call.func) != "torch.nn.Dropout" or rate is None:
        return False
    field = leaf(call.args[0].value)
    default = next((node.value for name, node in program.config_defaults() if name == field), None)
    chosen = experiment.number(f"model_args.{field}")
    if chosen is None and default is not None:
        chosen = number(default)
    return chosen is not None and 0 < chosen < 0.5


def _dropped(program: Program, way: Way, call: cst.Call) -> str:
    patch = Patch(program)
    way.tell(program, patch)
    patch.replace(call.args[0].value, f"2 * depth * {text(call.args[0].value)}")
    return patch.code()


OPERATOR = VaryByLayer()
