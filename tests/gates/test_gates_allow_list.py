"""The allow-list: what a model's source may name, and what it may not, however it is spelled."""

from __future__ import annotations

import pytest
from gates_helpers import subject

from foundry import gates

HEAD = "import math\nimport torch\nimport torch.nn as nn\nfrom torch.nn import functional as F\n"

REFUSED = {
    "import os": "imports os",
    "import os.path as math": "imports os.path",
    "from subprocess import run": "imports subprocess",
    "import socket, math": "imports socket",
    "from . import secrets": "imports .",
    "import foundry": "imports foundry",
    "import numpy as np": "imports numpy",
    "import ctypes": "imports ctypes",
    "import pickle": "imports pickle",
    "import transformers": "imports transformers",
    "def from_elsewhere():\n    import transformers": "imports transformers",
    "def f():\n    import sys": "imports sys",
    "try:\n    import os\nexcept ImportError:\n    pass": "imports os",
    "import torch.hub": "imports torch.hub",
    "import torch.utils.cpp_extension": "imports torch.utils.cpp_extension",
    "from torch.utils import cpp_extension": "reaches torch.utils.cpp_extension",
    "import torch.distributed as dist": "imports torch.distributed",
    "from torch import multiprocessing": "reaches torch.multiprocessing",
    "from torch.nn.parallel import DistributedDataParallel": "imports torch.nn.parallel",
    "from torch import *": "imports everything from torch",
    "from torch import load as gelu": "reaches torch.load",
    "torch.load('x')": "reaches torch.load",
    "torch.save(1, 'x')": "reaches torch.save",
    "f = torch.save": "reaches torch.save",
    "torch.hub.load('a', 'b')": "reaches torch.hub",
    "torch.ops.load_library('x')": "reaches load_library",
    "torch.ops.aten": "reaches torch.ops",
    "torch._C": "reaches torch._C",
    "torch._dynamo": "reaches torch._dynamo",
    "torch.os.system('ls')": "reaches torch.os",
    "torch.nn.functional.torch.os": "reaches torch.os",
    "nn.modules.module.torch.sys": "reaches torch.sys",
    "F.importlib": "reaches torch.nn.functional.importlib",
    "torch.onnx.export": "reaches torch.onnx",
    "torch.utils.cpp_extension.load": "reaches torch.utils.cpp_extension",
    "torch.utils.data.DataLoader": "reaches torch.utils.data",
    "torch.from_file('x')": "reaches from_file",
    "torch.UntypedStorage.from_file('x')": "reaches from_file",
    "torch.compile(nn.Linear(1, 1))": "reaches torch.compile",
    "torch.manual_seed(0)": "reaches torch.manual_seed",
    "torch.set_num_threads(99)": "reaches torch.set_num_threads",
    "torch.set_default_dtype(torch.float64)": "reaches torch.set_default_dtype",
    "import inspect\ninspect.currentframe()": "reaches inspect.currentframe",
    "import inspect\ninspect.sys": "reaches inspect.sys",
    "from inspect import stack": "reaches inspect.stack",
    "import dataclasses\ndataclasses.builtins": "reaches dataclasses.builtins",
    "from typing import get_type_hints": "reaches typing.get_type_hints",
    "F.gelu = F.relu": "changes torch.nn.functional.gelu",
    "nn.Linear.forward = None": "changes torch.nn.Linear.forward",
    "del torch.nn": "changes torch.nn",
    "t = torch": "uses module torch as a value",
    "f = [nn.functional]": "uses module torch.nn.functional as a value",
    "def f(t=torch):\n    return t.os": "uses module torch as a value",
    "[t.os for t in [torch]]": "uses module torch as a value",
    "open('x')": "uses open",
    "[f('x') for f in [open]]": "uses open",
    "class A:\n    o = open": "uses open",
    "def f(open=open):\n    return open('x')": "uses open",
    "def f():\n    global open\n    open = open": "uses open",
    "[0 for torch in torch.os.environ]": "reaches torch.os",
    "def f():\n    [0 for open in []]\n    return open('x')": "uses open",
    "def f():\n    def g(torch):\n        pass\n    return torch.load": "reaches torch.load",
    "exec('1')": "uses exec",
    "eval('1')": "uses eval",
    "compile('1', 'x', 'eval')": "uses compile",
    "__import__('os')": "uses __import__",
    "__builtins__": "uses __builtins__",
    "globals()['x']": "uses globals",
    "input()": "uses input",
    "breakpoint()": "uses breakpoint",
    "exit()": "uses exit",
    "raise SystemExit": "uses SystemExit",
    "().__class__.__bases__": "reaches __bases__",
    "object.__subclasses__()": "reaches __subclasses__",
    "nn.Linear.forward.__globals__": "reaches __globals__",
    "(lambda: 0).__code__": "reaches __code__",
    "torch.__dict__['os']": "reaches __dict__",
    "getattr(torch, 'os')": "reaches torch.os",
    "getattr(torch, 'o' + 's')": "calls getattr with a computed name",
    "getattr(nn.Linear, '__globals__')": "reaches __globals__",
    "hasattr(torch, str(1))": "calls hasattr with a computed name",
    "(i for i in []).gi_frame": "reaches gi_frame",
    "torch.ones(1).numpy().tofile('x')": "reaches tofile",
    "nn.Linear.from_pretrained('x')": "calls from_pretrained",
    "@print\ndef from_pretrained():\n    import transformers": "imports transformers",
}

ALLOWED = [
    "from __future__ import annotations",
    "import inspect\ninspect.signature(torch.optim.AdamW).parameters",
    "from dataclasses import asdict, dataclass, field",
    "from typing import Optional, NamedTuple",
    "from collections import OrderedDict\nfrom collections.abc import Callable",
    "import functools, itertools, enum, contextlib, copy, abc, warnings, math",
    "from torch.utils.checkpoint import checkpoint",
    "import torch.utils.checkpoint\ntorch.utils.checkpoint.checkpoint",
    "from torch.nn.attention import SDPBackend, sdpa_kernel",
    "from torch import Tensor, nn, optim",
    "torch.backends.cuda.matmul.allow_tf32",
    "torch.cuda.is_available() and torch.__version__",
    "hasattr(torch.nn.functional, 'scaled_dot_product_attention')",
    "getattr(F, 'no_such_function', None)",
    "nn.Module().eval()\nnn.Module().compile",
    "class A(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.__class__",
    "class A:\n    def __getitem__(self, i):\n        return self.open(i)\n    def open(self, i): ...",
    "def f(input, F):\n    B, T, F = F.shape\n    return input.open, F",
    "def f(xs):\n    return [F.real for F in xs] + [(lambda input: input.x)(x) for x in xs]",
    "def f():\n    for torch in ():\n        torch.load()",
    "print('parameters:', 3)",
    "class A:\n    @classmethod\n    def from_pretrained(cls, name):\n        from transformers import X\n"
    "        return X.from_pretrained(name)",
]


@pytest.mark.parametrize("text", REFUSED)
def test_refused(text: str) -> None:
    failure = gates.run("allow_list", subject(HEAD + text))
    assert failure is not None
    assert failure.reason.startswith(REFUSED[text])


@pytest.mark.parametrize("text", ALLOWED)
def test_allowed(text: str) -> None:
    source = text if text.startswith("from __future__") else HEAD + text
    assert gates.run("allow_list", subject(source)) is None


def test_the_first_offence_is_reported_with_its_line() -> None:
    failure = gates.run("allow_list", subject(HEAD + "\ndef f():\n    open('x')\n    eval('1')\n"))
    assert failure == gates.Failure("allow_list", "uses open (model.py:7)")
