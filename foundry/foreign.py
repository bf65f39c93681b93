"""What a model's file of another interface holds: its language model, and what that is made with.

Read from the syntax tree alone; nothing is executed. `foundry.adapter` writes nanoGPT's interface to it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from foundry.errors import UserError

NAMES: Mapping[str, tuple[str, ...]] = {  # of nanoGPT's settings, and what others call them
    "block_size": (
        *("context_length", "context_size", "n_ctx", "n_positions", "max_seq_len", "max_position_embeddings"),
        *("sequence_len", "seq_len", "max_len", "ctx_len"),
    ),
    "vocab_size": ("n_vocab", "num_tokens", "vocabulary_size", "padded_vocab_size"),
    "n_layer": ("n_layers", "num_layers", "num_hidden_layers", "depth", "layers"),
    "n_head": ("n_heads", "num_heads", "num_attention_heads", "nhead", "heads"),
    "n_kv_head": ("n_kv_heads", "num_kv_heads", "num_key_value_heads"),
    "n_embd": ("n_embed", "dim", "d_model", "emb_dim", "embed_dim", "hidden_size", "model_dim", "width"),
    "dropout": ("drop_rate", "dropout_rate", "p_drop", "embd_pdrop", "resid_pdrop", "attn_pdrop"),
    "bias": ("qkv_bias", "use_bias"),
}
ATTRIBUTES = "attributes"  # of settings that no class of the file describes
_BY_OWN = {own: name for name, others in NAMES.items() for own in (name, *others)}
_TARGETS = ("targets", "target", "labels", "y")

Literal = int | float | bool | None


@dataclass(frozen=True)
class Foreign:
    """A language model of another interface."""

    model: ast.ClassDef
    settings: str  # the class of its settings; "dict", ATTRIBUTES, or nothing where it takes them alone
    sizes: Mapping[str, str]  # what it is made with, by its own name: an expression of nanoGPT's `config`
    defaults: Mapping[str, Literal] = field(default_factory=dict)  # by nanoGPT's names
    constants: bool = False  # whether the sizes are the file's own variables

    @property
    def forward(self) -> ast.FunctionDef:
        """Its forward method."""
        return method(self.model, "forward")

    @property
    def targets(self) -> bool:
        """Whether forward takes the targets second."""
        arguments = self.forward.args.args
        return len(arguments) > 2 and arguments[2].arg in _TARGETS

    @property
    def pairs(self) -> bool:
        """Whether forward returns logits and loss, not logits alone."""
        returned = [node.value for node in ast.walk(self.forward) if isinstance(node, ast.Return)]
        return any(isinstance(value, ast.Tuple) and len(value.elts) == 2 for value in returned)

    @property
    def flattens(self) -> bool:
        """Whether forward gives its logits another shape for the loss."""
        assigned = (node for node in ast.walk(self.forward) if isinstance(node, ast.Assign))
        return any(
            isinstance(node.targets[0], ast.Name)
            and isinstance(node.value, ast.Call)
            and isinstance(node.value.func, ast.Attribute)
            and node.value.func.attr in ("view", "reshape", "flatten")
            and isinstance(node.value.func.value, ast.Name)
            and node.value.func.value.id == node.targets[0].id == "logits"
            for node in assigned
        )


def whole_model(tree: ast.Module, name: str) -> ast.ClassDef:
    """Find the language model of a file. Raises UserError if there is none."""
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    whole = [node for node in classes.values() if _is_whole(node, classes)]
    if not whole:
        found = ", ".join(classes) or "none"
        raise UserError(
            f"model file {name!r} defines no language model: no GPT with a GPTConfig, and no Module with an "
            f"Embedding and a forward that no other class makes; classes in it: {found}"
        )
    return whole[-1]


def language_model(tree: ast.Module, name: str) -> Foreign:
    """Find the language model of a file, and say how it is made.

    Raises:
        UserError: there is none, or it needs something that has no name in nanoGPT's settings.
    """
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    model = whole_model(tree, name)
    arguments = _arguments(method(model, "__init__"))
    alone = [own for own, default in arguments.items() if default is ...]
    if not arguments:
        sizes = _constants(tree)
        return Foreign(model, "", _mapped(sizes, model.name), _renamed(sizes), constants=True)
    if len(alone) == 1 and alone[0] not in _BY_OWN:
        config = _config_class(classes, method(model, "__init__").args.args[1])
        if config is not None:
            fields = _fields(config)
            return Foreign(model, config.name, _mapped(fields, config.name), _renamed(fields))
        keys, kind = _keys(tree, alone[0])
        unset = dict.fromkeys((key for key in keys if key in _may_be_none(tree, alone[0])), "None")
        known = dict.fromkeys((key for key in keys if key in _BY_OWN or key not in unset), ...)
        return Foreign(model, kind, unset | _mapped(known, model.name))
    return Foreign(model, "", _mapped(arguments, model.name), _renamed(arguments))


def method(node: ast.ClassDef, name: str) -> ast.FunctionDef:
    """Return a method of a class that has it."""
    return next(one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == name)


def has(node: ast.ClassDef, name: str) -> bool:
    """Whether a class defines a method itself."""
    return any(isinstance(one, ast.FunctionDef) and one.name == name for one in node.body)


def _is_whole(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> bool:
    if not (has(node, "forward") and has(node, "__init__")):
        return False
    made_elsewhere = any(
        isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == node.name
        for other in classes.values()
        if other is not node
        for call in ast.walk(other)
    )
    called = (call.func for call in ast.walk(method(node, "__init__")) if isinstance(call, ast.Call))
    return not made_elsewhere and any(ast.unparse(one).endswith("Embedding") for one in called)


def _config_class(classes: Mapping[str, ast.ClassDef], argument: ast.arg) -> ast.ClassDef | None:
    """Name the dataclass of the settings: as annotated, or the only one of the file."""
    known = {name: node for name, node in classes.items() if _is_dataclass(node)}
    if isinstance(argument.annotation, ast.Name):
        return known.get(argument.annotation.id)
    return next(iter(known.values())) if len(known) == 1 else None


def _is_dataclass(node: ast.ClassDef) -> bool:
    return any("dataclass" in ast.unparse(one) for one in node.decorator_list)


def _fields(config: ast.ClassDef) -> dict[str, object]:
    return {
        node.target.id: _value(node.value) if node.value else ...
        for node in config.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


def _arguments(function: ast.FunctionDef) -> dict[str, object]:
    """Map a method's arguments, without self, to their defaults; ... where there is none."""
    spec = function.args
    positional = [argument.arg for argument in spec.args][1:]
    lacking = len(positional) - len(spec.defaults)
    found = dict.fromkeys(positional[:lacking], ...) | {
        name: _value(default) for name, default in zip(positional[lacking:], spec.defaults, strict=False)
    }
    alone = zip(spec.kwonlyargs, spec.kw_defaults, strict=True)
    return found | {argument.arg: _value(default) if default else ... for argument, default in alone}


def _keys(tree: ast.Module, config: str) -> tuple[list[str], str]:
    """List what a file reads of its settings by name, and say whether they are a dict."""
    items: dict[str, None] = {}
    attributes: dict[str, None] = {}
    called = {node.func for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        value = getattr(node, "value", None)
        if not (isinstance(value, ast.Name) and value.id == config):
            continue
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            items[str(node.slice.value)] = None
        elif isinstance(node, ast.Attribute) and node not in called:
            attributes[node.attr] = None
    return (list(items), "dict") if items else (list(attributes), ATTRIBUTES)


def _may_be_none(tree: ast.Module, config: str) -> set[str]:
    """Name the settings that a file asks whether they are None."""
    return {
        node.left.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare)
        and isinstance(node.ops[0], (ast.Is, ast.IsNot))
        and isinstance(node.left, ast.Attribute)
        and ast.unparse(node.left.value) == config
    }


def _constants(tree: ast.Module) -> dict[str, object]:
    """Map the file's own variables that are sizes to their values; the vocabulary's may be computed."""
    found: dict[str, object] = {}
    for node in tree.body:
        for name in assigned(node):
            value = _value(getattr(node, "value", None))
            if _BY_OWN.get(name) == "vocab_size" or (name in _BY_OWN and isinstance(value, (int, float))):
                found[name] = value
    return found


def assigned(node: ast.stmt) -> Iterator[str]:
    """Yield the names that an assignment at the top level binds."""
    if isinstance(node, ast.Assign):
        yield from (target.id for target in node.targets if isinstance(target, ast.Name))
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        yield node.target.id


def _mapped(own: Mapping[str, object], owner: str) -> dict[str, str]:
    """Say by nanoGPT's names what is asked for by other names.

    Raises:
        UserError: something has neither such a name nor a default.
    """
    found = {}
    for name, default in own.items():
        if name in _BY_OWN:
            found[name] = f"config.{_BY_OWN[name]}"
        elif default is ...:
            found[name] = _derived(name, owner)
    return found


def _derived(name: str, owner: str) -> str:
    if name in ("intermediate_size", "d_ff", "ffn_dim", "ff_dim", "hidden_dim", "dim_feedforward", "n_inner"):
        return "4 * config.n_embd"
    if name in ("head_dim", "head_size", "d_head"):
        return "config.n_embd // config.n_head"
    raise UserError(
        f"{owner} needs {name!r}, which nanoGPT's settings do not have: write GPTConfig and GPT(config) in a "
        "file beside it, and import it there by name"
    )


def _renamed(own: Mapping[str, object]) -> dict[str, Literal]:
    return {
        _BY_OWN[name]: value
        for name, value in own.items()
        if name in _BY_OWN and isinstance(value, (int, float))
    }


def _value(node: ast.expr | None) -> object:
    """Return what a literal says; None for what is none."""
    try:
        return ast.literal_eval(node) if node else None
    except ValueError:
        return None
