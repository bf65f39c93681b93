"""nanoGPT's interface for a model's file that has another.

A file with `GPTConfig` and `GPT(config)` is left alone, but for a `generate` where it has none. From another
the definitions that its language model needs are kept, the training script around them is not, and two
classes are added at the end that a person would write there.
"""

from __future__ import annotations

import ast
import io
import re
import textwrap
import tokenize
from collections.abc import Mapping

from foundry import pruning
from foundry.foreign import ATTRIBUTES, Foreign, Literal, assigned, has, language_model, whole_model
from foundry.pruning import INTERFACE

_DEFAULTS: dict[str, Literal] = {
    "block_size": 1024,
    "vocab_size": 50304,
    "n_layer": 12,
    "n_head": 12,
    "n_kv_head": None,
    "n_embd": 768,
    "dropout": 0.0,
    "bias": False,
}
_GENERATE = '''\
@torch.no_grad()
def generate(self, idx, max_new_tokens, temperature=1.0, top_k=None):
    """Extend token ids (B, T) by max_new_tokens samples."""
    for _ in range(max_new_tokens):
        logits = self(idx[:, -self.{block} :])[0][:, -1, :] / temperature
        if top_k is not None:
            kth = torch.topk(logits, min(top_k, logits.size(-1))).values[:, [-1]]
            logits[logits < kth] = -float("inf")
        idx = torch.cat((idx, torch.multinomial(logits.softmax(dim=-1), num_samples=1)), dim=1)
    return idx
'''
_FORWARD_PAIR = """\
def forward(self, idx, targets=None):
    return super().forward(idx, targets)
"""
_FORWARD_FLAT = """\
def forward(self, idx, targets=None):
    logits, loss = super().forward(idx, targets)
    return logits if targets is None else logits.view(*idx.shape, -1), loss
"""
_FORWARD_LOGITS = """\
def forward(self, idx, targets=None):
    logits = super().forward({asked}){first}
    if targets is None:
        return logits, None
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    return logits, loss
"""


def adapted(text: str, name: str) -> str:
    """Return a model's source with nanoGPT's interface; one that has it comes back byte for byte.

    Raises:
        UserError: no language model is found in it, or it cannot be made from nanoGPT's settings.
    """
    tree = ast.parse(text)
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    if all(wanted in classes for wanted in INTERFACE):
        model = classes["GPT"]
        inherits = any(isinstance(base, ast.Name) and base.id in classes for base in model.bases)
        return text if inherits or has(model, "generate") else _generating(text, model)
    text = pruning.without_uncalled(text, tree, whole_model(tree, name))
    tree = ast.parse(text)
    foreign = language_model(tree, name)
    given = set(foreign.sizes) if foreign.constants else set()
    needed = pruning.needed(text, tree, {foreign.model.name, foreign.settings}, given)
    kept = pruning.pruned(text, tree, needed, given)
    kept = _renamed(kept, {taken: f"Base{taken}" for taken in INTERFACE if taken in classes})
    written = _classes(foreign, set(classes), pruning.derived(needed, given))
    return _importing(kept.rstrip("\n") + "\n\n\n" + written)


def _renamed(text: str, names: Mapping[str, str]) -> str:
    """Give names of the code, not of its comments and texts, others."""
    lines = text.splitlines(keepends=True)
    found = [one for one in tokenize.generate_tokens(io.StringIO(text).readline) if one.string in names]
    for token in reversed(found):
        (row, start), (_, end) = token.start, token.end
        lines[row - 1] = lines[row - 1][:start] + names[token.string] + lines[row - 1][end:]
    return "".join(lines)


def _generating(text: str, model: ast.ClassDef) -> str:
    """Add the method that is missing to GPT."""
    lines = text.splitlines(keepends=True)
    known = re.search(r"\bself\.(config\.block_size|block_size)\b", ast.unparse(model))
    if known is None:
        return text
    written = _GENERATE.format(block=known[1])
    method = textwrap.indent(written, " " * model.body[-1].col_offset)
    at = model.end_lineno or 0
    lines[at - 1] = lines[at - 1].rstrip("\n") + "\n"
    return _importing("".join((*lines[:at], "\n", method, *lines[at:])))


def _classes(foreign: Foreign, taken: set[str], derived: list[ast.stmt]) -> str:
    """Write GPTConfig and GPT."""
    asked = " ".join(foreign.sizes.values())
    needed = re.findall(r"config\.(\w+)", asked)
    names = [name for name in _DEFAULTS if name in ("block_size", "vocab_size", *needed)]
    fields = "".join(
        f"    {name}: {_annotation(value)} = {value}\n"
        for name in names
        for value in [foreign.defaults.get(name, _DEFAULTS[name])]
    )
    base, settings = (
        f"Base{one}" if one in INTERFACE and one in taken else one
        for one in (foreign.model.name, foreign.settings)
    )
    return f'''\
@dataclass
class GPTConfig:
    """The settings by nanoGPT's names."""

{fields}{_aliases(foreign)}

class GPT({base}):
    """The model above with nanoGPT's interface."""

    def __init__(self, config):
{textwrap.indent(_making(foreign, settings, derived), " " * 8)}\
        self.longest = config.block_size

{textwrap.indent(_forward(foreign) + _GENERATE.format(block="longest"), " " * 4)}'''


def _aliases(foreign: Foreign) -> str:
    """Write the names that a model reads of settings which no class describes, where they are its own."""
    if foreign.settings != ATTRIBUTES:
        return ""
    written = ""
    for name, value in foreign.sizes.items():
        if value == "None":
            written += f"\n    {name} = None\n"
        elif value != f"config.{name}":
            meaning = value.replace("config.", "self.")
            written += f"\n    @property\n    def {name}(self):\n        return {meaning}\n"
    return written


def _annotation(value: Literal) -> str:
    return "int | None" if value is None else type(value).__name__


def _making(foreign: Foreign, settings: str, derived: list[ast.stmt]) -> str:
    """Write how the model is made from `config`."""
    if foreign.constants:
        names = [*foreign.sizes, *(name for node in derived for name in assigned(node))]
        lines = [f"{name} = {value}\n" for name, value in foreign.sizes.items()]
        lines += [f"{ast.unparse(node)}\n" for node in derived]
        return f"global {', '.join(names)}\n{''.join(lines)}super().__init__()\n"
    if settings == "dict":
        items = "".join(f'    "{name}": {value},\n' for name, value in foreign.sizes.items())
        return f"settings = {{\n{items}}}\nsuper().__init__(settings)\n"
    if settings == ATTRIBUTES:
        return "super().__init__(config)\n"
    items = "".join(f"    {name}={value},\n" for name, value in foreign.sizes.items())
    if settings:
        return f"settings = {settings}(\n{items})\nsuper().__init__(settings)\n"
    return f"super().__init__(\n{items})\n"


def _forward(foreign: Foreign) -> str:
    """Write a forward that returns logits and loss, where the model's own does not, and a line after it."""
    asked = "idx, targets" if foreign.targets else "idx"
    if foreign.pairs and foreign.targets and not foreign.flattens:
        names = [argument.arg for argument in foreign.forward.args.args[1:3]]
        body = "" if names == ["idx", "targets"] else _FORWARD_PAIR
    elif foreign.pairs and foreign.targets:
        body = _FORWARD_FLAT
    else:
        body = _FORWARD_LOGITS.format(asked=asked, first="[0]" if foreign.pairs else "")
    return body and f"{body}\n"


def _importing(text: str) -> str:
    """Import what the added classes use, before the first import."""
    tree = ast.parse(text)
    bound = {name for node in tree.body for name in pruning.binds(node)}
    needed = {"dataclass": "from dataclasses import dataclass\n", "torch": "import torch\n"}
    lacking = [line for name, line in needed.items() if name not in bound and re.search(rf"\b{name}\b", text)]
    imports = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    at = next((node.lineno for node in imports if getattr(node, "module", "") != "__future__"), 1)
    lines = text.splitlines(keepends=True)
    return "".join((*lines[: at - 1], *lacking, *lines[at - 1 :]))
