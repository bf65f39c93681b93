"""Faults of v1 that stop it from being read, built or run."""

from __future__ import annotations

from gates_helpers import ANSWER, LAST_LOGITS, LOGITS, NORMED, Fault, built, normed

TOO_WIDE = "self.big = nn.Linear(10**6, 10**6)"
QUIET = "class Quiet(Exception):\n    def __str__(self):\n        return 1 / 0\n\n\nclass LayerNorm"

RUNNING: dict[str, Fault] = {
    "three thousand comments": (
        "source_size",
        "lines long, more than the limit of 2,500",
        [("import math\n", "import math\n" + "#\n" * 3_000)],
    ),
    "one endless line": (
        "source_size",
        "bytes long, more than the limit of 100,000",
        [("import math\n", "import math\n#" + "x" * 100_000)],
    ),
    "unclosed bracket": ("syntax", "SyntaxError: '(' was never closed (model.py:", [(NORMED, "x = (x")]),
    "return outside a function": (
        "syntax",
        "'return' outside function (model.py:8)",
        [("import math\n", "return 1\n")],
    ),
    "null byte": ("syntax", "null bytes", [("import math", "import math\0")]),
    "reads a file": ("allow_list", "uses open (model.py:", [(NORMED, 'x = open("/etc/passwd").read()')]),
    "imports os": ("allow_list", "imports os (model.py:7)", [("import inspect\n", "import os\n")]),
    "1/0 at import": (
        "instantiate",
        "ZeroDivisionError: division by zero (model.py:8)",
        [("import math\n", "1 / 0\n")],
    ),
    "1/0 in init": (
        "instantiate",
        "ZeroDivisionError: division by zero (model.py:",
        [built("1 / 0")],
    ),
    "builds itself for ever": ("instantiate", "RecursionError", [built("GPT(config)")]),
    "no GPT": (
        "instantiate",
        "defines no class GPT, only Block",
        [("class GPT(nn.Module)", "class T(nn.Module)")],
    ),
    "config that is no dataclass": ("instantiate", "GPTConfig in model.py is not a", [("@dataclass\n", "")]),
    "config without a field": (
        "instantiate",
        "unknown field of GPTConfig 'n_embd': did you mean 'n_embed'?",
        [("n_embd: int", "n_embed: int")],
    ),
    "field without a default": (
        "instantiate",
        "GPTConfig needs 'window'",
        [("    block_size: int", "    window: int\n    block_size: int")],
    ),
    "exception whose message raises": (
        "instantiate",
        "Quiet: its message cannot be read (model.py:",
        [("class LayerNorm", QUIET), built("raise Quiet")],
    ),
    "exception that draws on the terminal": (
        "instantiate",
        "ValueError: [31m red (model.py:",
        [built("raise ValueError('\\x1b[31m\\r\\n red')")],
    ),
    "exception that no one should catch": (
        "instantiate",
        "BaseException: stop (model.py:",
        [built("raise BaseException('stop')")],
    ),
    "matrix of 4 TB": ("instantiate", "parameters, more than the limit of 200,000,000", [built(TOO_WIDE)]),
    "no parameters": (
        "instantiate",
        "the model has no parameters",
        [
            (
                "        self.config = config\n        self.transformer",
                "        return\n        self.transformer",
            )
        ],
    ),
    "dropped position": (
        "shapes",
        "logits are (1, 0, 32) instead of (1, 1, 32), for tokens of shape (1, 1)",
        [(ANSWER, "return logits[:, 1:], loss")],
    ),
    "one logit too many": (
        "shapes",
        "logits are (1, 1, 33) instead of (1, 1, 32)",
        [(ANSWER, "return F.pad(logits, (0, 1)), loss")],
    ),
    "whole numbers": (
        "shapes",
        "logits are torch.int64, not floating",
        [(ANSWER, "return logits.long(), loss")],
    ),
    "loss of every token": (
        "shapes",
        "the loss is (1,), not a scalar",
        [("ignore_index=-1", "reduction='none'")],
    ),
    "logits alone": ("shapes", "forward returns Tensor, not the pair", [(ANSWER, "return logits")]),
    "no loss": ("shapes", "the loss is NoneType, not a scalar tensor", [(ANSWER, "return logits, None")]),
    "no logits without targets": (
        "shapes",
        "logits without targets are NoneType instead of (1, 1, 32)",
        [(LAST_LOGITS, "None")],
    ),
    "undefined name": ("shapes", "NameError: name 'g' is not defined (model.py:", [normed("x = x * g")]),
    "no forward": ("shapes", "NotImplementedError", [("def forward(self, idx", "def onward(self, idx")]),
    "fixed length": (
        "activation_memory",
        "RuntimeError: The size of tensor a (64) must match the size of tensor b (16)",
        [normed("x = x + torch.zeros(1, min(x.size(1), 16), 1)")],
    ),
    "NaN logits": ("finite", "logits hold 1024 NaN and 0 Inf", [(LOGITS, f"{LOGITS} * float('nan')")]),
    "NaN loss": ("finite", "the loss is nan in float32", [(ANSWER, "return logits, loss * math.nan")]),
    "infinite parameter": (
        "finite",
        "spare starts with 0 NaN and 2 Inf among 2 values",
        [built("self.spare = nn.Parameter(torch.full((2,), math.inf))")],
    ),
    "infinite in bfloat16": (
        "finite",
        "Inf among 1,024 values in bfloat16",
        [(LOGITS, f"{LOGITS}\n        logits = logits / float(logits.dtype != torch.bfloat16)")],
    ),
}
