"""nanoGPT's interface for a model's file that has another.

A file with `GPTConfig` and `GPT(config)` is left alone, but for a `generate` where it has none. From another
the definitions that its language model needs are kept, the training script around them is not, and two
classes are added at the end that a person would write there.
"""

from __future__ import annotations

import ast
import io
import re
import symtable
import textwrap
import tokenize
from collections.abc import Iterator, Mapping

from foundry.foreign import Foreign, Literal, assigned, has, language_model

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
_INTERFACE = ("GPT", "GPTConfig")
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
    if all(wanted in classes for wanted in _INTERFACE):
        model = classes["GPT"]
        inherits = any(isinstance(base, ast.Name) and base.id in classes for base in model.bases)
        return text if inherits or has(model, "generate") else _generating(text, model)
    foreign = language_model(tree, name)
    given = set(foreign.sizes) if foreign.constants else set()
    needed = _needed(text, tree, foreign, given)
    kept = _pruned(text, tree, needed, given)
    kept = _renamed(kept, {taken: f"Base{taken}" for taken in _INTERFACE if taken in classes})
    written = _classes(foreign, set(classes), _derived(needed, given))
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
        f"Base{one}" if one in _INTERFACE and one in taken else one
        for one in (foreign.model.name, foreign.settings)
    )
    return f'''\
@dataclass
class GPTConfig:
    """The settings by nanoGPT's names."""

{fields}

class GPT({base}):
    """The model above with nanoGPT's interface."""

    def __init__(self, config):
{textwrap.indent(_making(foreign, settings, derived), " " * 8)}\
        self.longest = config.block_size

{textwrap.indent(_forward(foreign) + _GENERATE.format(block="longest"), " " * 4)}'''


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


def _needed(text: str, tree: ast.Module, foreign: Foreign, given: set[str]) -> list[ast.stmt]:
    """List the statements that bind what the language model needs, in order."""
    outer = {
        table.get_lineno(): _globals(table) for table in symtable.symtable(text, "", "exec").get_children()
    }
    wanted = {foreign.model.name, foreign.settings}
    found: set[ast.stmt] = set()
    while more := [node for node in tree.body if node not in found and wanted.intersection(_binds(node))]:
        for node in more:
            found.add(node)
            if not _is_given(node, given):
                wanted |= outer.get(node.lineno, set()) | _reads(node)
    return [node for node in tree.body if node in found]


def _derived(needed: list[ast.stmt], given: set[str]) -> list[ast.stmt]:
    """List the file's variables that are computed from its sizes."""
    known, found = set(given), []
    for node in needed:
        names = set(assigned(node))
        if names - given and known & _reads(node):
            known |= names
            found.append(node)
    return found


def _pruned(text: str, tree: ast.Module, needed: list[ast.stmt], given: set[str]) -> str:
    """Leave out what the language model does not need, with the comments right above it."""
    lines = text.splitlines(keepends=True)
    for node in tree.body:
        if _is_given(node, given) or (node not in needed and not _stays(node)):
            first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])
            above = first
            while above > 1 and lines[above - 2].startswith("#"):
                above -= 1
            first = above if above > 1 else first  # what the file begins with is about all of it
            lines[first - 1 : node.end_lineno] = [""] * ((node.end_lineno or 0) - first + 1)
    return re.sub(r"\n{4,}", "\n\n\n", "".join(lines))


def _is_given(node: ast.stmt, given: set[str]) -> bool:
    """Whether a statement computes a size that GPT is given: from the training text, for one."""
    literal = isinstance(getattr(node, "value", None), ast.Constant)
    return not literal and bool(given.intersection(assigned(node)))


def _reads(node: ast.stmt) -> set[str]:
    """Name what a statement reads when it is executed: of a definition, what stands outside its body."""
    parts: list[ast.AST] = [node]
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        heads = node.bases if isinstance(node, ast.ClassDef) else [node.args]
        parts = [*heads, *node.decorator_list]
    return {one.id for part in parts for one in ast.walk(part) if isinstance(one, ast.Name)}


def _globals(table: symtable.SymbolTable) -> set[str]:
    """Name what the body of a definition reads from around it."""
    own = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global()}
    return own.union(*map(_globals, table.get_children()))


def _stays(node: ast.stmt) -> bool:
    """Whether a statement stays although nothing needs what it binds."""
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return is_text or (isinstance(node, ast.ImportFrom) and node.module == "__future__")


def _binds(node: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement at the top level defines."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
    else:
        stored = (one for one in ast.walk(node) if isinstance(one, ast.Name))
        yield from (one.id for one in stored if isinstance(one.ctx, ast.Store))


def _importing(text: str) -> str:
    """Import what the added classes use, before the first import."""
    tree = ast.parse(text)
    bound = {name for node in tree.body for name in _binds(node)}
    needed = {"dataclass": "from dataclasses import dataclass\n", "torch": "import torch\n"}
    lacking = [line for name, line in needed.items() if name not in bound and re.search(rf"\b{name}\b", text)]
    if "SimpleNamespace(" in text and "SimpleNamespace" not in bound:
        lacking.append("from types import SimpleNamespace\n")
    imports = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    at = next((node.lineno for node in imports if getattr(node, "module", "") != "__future__"), 1)
    lines = text.splitlines(keepends=True)
    return "".join((*lines[: at - 1], *lacking, *lines[at - 1 :]))
