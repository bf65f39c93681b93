"""What a model's source may name: the tables behind the allow-list, and how they judge a dotted name."""

from __future__ import annotations

import importlib
import importlib.util
import types
from functools import cache

_PACKAGES = {"collections", "torch.backends", "torch.distributions", "torch.nn", "torch.optim"}  # and below
_MODULES = {
    *("__future__", "abc", "cmath", "contextlib", "copy", "dataclasses", "enum", "functools", "inspect"),
    *("itertools", "math", "numbers", "typing", "warnings"),
    *("torch", "torch.amp", "torch.autograd", "torch.autograd.functional", "torch.compiler", "torch.cuda"),
    *("torch.cuda.amp", "torch.fft", "torch.func", "torch.linalg", "torch.mps", "torch.special"),
    *("torch.types", "torch.utils", "torch.utils.checkpoint"),
}
_REFUSED = {"torch.nn.parallel"}  # below a package that is allowed
ONLY_WHEN_LOADING = {"transformers"}  # nanoGPT's GPT.from_pretrained imports it; nothing here calls that

_FORBIDDEN_MEMBERS = {
    "contextlib": {"chdir", "redirect_stderr", "redirect_stdout"},
    "dataclasses": {"make_dataclass"},
    "typing": {"ForwardRef", "get_type_hints"},  # evaluate strings
    "torch": {
        *("load", "save", "from_file", "compile", "TypedStorage", "UntypedStorage"),
        *("manual_seed", "seed", "set_rng_state", "set_num_threads", "set_num_interop_threads"),
        *(
            "set_default_device",
            "set_default_dtype",
            "set_default_tensor_type",
            "set_float32_matmul_precision",
        ),
        *("set_deterministic_debug_mode", "use_deterministic_algorithms"),
    },
}
_ONLY_MEMBERS = {
    "inspect": {"Parameter", "Signature", "cleandoc", "getdoc", "isclass", "isfunction", "signature"}
}

FORBIDDEN_BUILTINS = {
    *("open", "exec", "eval", "compile", "input", "breakpoint", "help", "exit", "quit"),
    *(
        "globals",
        "locals",
        "vars",
        "dir",
        "SystemExit",
        "KeyboardInterrupt",
        "GeneratorExit",
        "from_pretrained",
    ),
}
FORBIDDEN_ATTRIBUTES = {
    *(
        "f_back",
        "f_builtins",
        "f_code",
        "f_globals",
        "f_locals",
        "gi_frame",
        "cr_frame",
        "ag_frame",
        "tb_frame",
    ),
    *("from_file", "fromfile", "tofile", "load_library", "share_memory_"),
}
DUNDERS = {
    *(
        "__all__",
        "__annotations__",
        "__call__",
        "__class__",
        "__contains__",
        "__delattr__",
        "__doc__",
        "__eq__",
    ),
    *("__getattr__", "__getitem__", "__hash__", "__init__", "__iter__", "__len__", "__name__", "__new__"),
    *("__next__", "__post_init__", "__qualname__", "__repr__", "__setattr__", "__setitem__", "__str__"),
    *("__version__", "__add__", "__mul__", "__enter__", "__exit__", "__debug__"),
}


def is_module(name: str) -> bool:
    """Tell whether a module may be imported and used."""
    parts = name.split(".")
    above = {".".join(parts[:end]) for end in range(1, len(parts) + 1)}
    return not above & _REFUSED and (name in _MODULES or bool(above & _PACKAGES))


@cache
def offence(dotted: str) -> str | None:
    """Say what is wrong with reaching `dotted`, which begins with an allowed module; None if nothing is.

    Follows the real modules, so that `torch.os`, `inspect.sys` and `dataclasses.builtins` are seen for what
    they are.
    """
    here, parts = _root(dotted)
    for part in parts:
        if not isinstance(here, types.ModuleType):
            return None
        module, path = here.__name__, f"{here.__name__}.{part}"
        private = part.startswith("_") and part not in DUNDERS
        if (
            private
            or part in _FORBIDDEN_MEMBERS.get(module, ())
            or part not in _ONLY_MEMBERS.get(module, {part})
        ):
            return f"reaches {path}"
        below = vars(here).get(part)
        if below is None and hasattr(here, "__path__") and not is_module(path):
            return f"reaches {path}" if importlib.util.find_spec(path) else None
        if isinstance(below, types.ModuleType) and not is_module(below.__name__):
            return f"reaches {path}"
        here = below
    return None


@cache
def ends_at_module(dotted: str) -> bool:
    """Tell whether `dotted` is a module itself, not something in one."""
    here, parts = _root(dotted)
    for part in parts:
        here = vars(here).get(part) if isinstance(here, types.ModuleType) else None
    return isinstance(here, types.ModuleType)


def _root(dotted: str) -> tuple[object, list[str]]:
    root, *parts = dotted.split(".")
    return (importlib.import_module(root) if is_module(root) else None), parts
