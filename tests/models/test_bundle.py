"""A model in several files becomes one file, in which operators find what they find in any other."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from foundry import gates
from foundry.bundle import bundled
from foundry.errors import UserError
from foundry.seed import read_model
from operators import Source, proposals

SOURCES = Path(__file__).parents[1] / "operators" / "sources"
ARGS = {"vocab_size": 65, "block_size": 32, "n_layer": 2, "n_head": 2, "n_embd": 32}
ADAPTER = '''\
"""A Llama with nanoGPT's interface."""

from dataclasses import dataclass

import torch

from .llama_like import LlamaConfig
from .llama_like import LlamaForCausalLM as Llama


@dataclass
class GPTConfig:
    vocab_size: int = 65
    block_size: int = 64
    n_layer: int = 4
    n_head: int = 4
    n_embd: int = 64


class GPT(Llama):
    def __init__(self, config):
        sizes = {"vocab_size": config.vocab_size, "max_position_embeddings": config.block_size}
        sizes |= {"num_hidden_layers": config.n_layer, "num_attention_heads": config.n_head}
        super().__init__(LlamaConfig(hidden_size=config.n_embd, num_key_value_heads=config.n_head, **sizes))
        self.block = config.block_size

    def forward(self, idx, targets=None):
        return super().forward(idx, targets)

    @torch.no_grad()
    def generate(self, idx, max_new_tokens, temperature=1.0, top_k=None):
        for _ in range(max_new_tokens):
            logits = self(idx[:, -self.block :])[0][:, -1] / temperature
            if top_k is not None:
                logits[logits < logits.topk(top_k).values[:, -1:]] = -float("inf")
            idx = torch.cat((idx, logits.softmax(-1).multinomial(1)), dim=1)
        return idx
'''


def written(folder: Path, files: dict[str, str]) -> Path:
    """Write files; return the path of the first."""
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder / next(iter(files))


def split_v1() -> dict[str, str]:
    """Return v1 as people lay out packages: every class in a file that imports what it needs."""
    text = read_model("v1")
    lines = text.splitlines(keepends=True)
    nodes = ast.parse(text).body
    first = next(node for node in nodes if isinstance(node, ast.ClassDef))
    head = [node for node in nodes[: nodes.index(first)] if isinstance(node, (ast.Import, ast.ImportFrom))]
    imports = "".join(ast.unparse(node) + "\n" for node in head)
    classes = {}
    for node in nodes[nodes.index(first) :]:
        assert isinstance(node, ast.ClassDef)
        start = min([node.lineno, *(one.lineno for one in node.decorator_list)])
        classes[node.name] = "".join(lines[start - 1 : node.end_lineno])
    names = list(classes)
    assert names == ["GPTConfig", "LayerNorm", "CausalSelfAttention", "MLP", "Block", "GPT"]
    needs = {
        "GPT": [
            "from layers.block import Block",
            "from config import GPTConfig",
            "from norm import LayerNorm",
        ],
        "Block": [
            "from .attention import CausalSelfAttention",
            "from .mlp import MLP",
            "from ..norm import LayerNorm",
        ],
    }
    paths = ["config.py", "norm.py", "layers/attention.py", "layers/mlp.py", "layers/block.py", "model.py"]
    files = {
        path: f'"""{name} alone."""\n\n{imports}'
        + "".join(f"{need}\n" for need in needs.get(name, []))
        + f"\n\n{classes[name]}"
        for path, name in zip(paths, names, strict=True)
    }
    return {"model.py": files.pop("model.py"), **files}


def test_a_split_model_is_the_same_to_operators_and_gates(tmp_path: Path) -> None:
    source = read_model(str(written(tmp_path, split_v1())))
    found = proposals(Source(source, "name: split\n"))
    assert set(found) == set(proposals(Source(read_model("v1"), "name: split\n")))
    assert gates.check(gates.Subject(source=source, model_args=ARGS | {"dropout": 0.0}, batch_size=4)) is None
    assert source.count("import torch\n") == 1
    assert source.count("class LayerNorm") == 1


def test_other_peoples_source_is_a_seed_with_an_adapter_beside_it(tmp_path: Path) -> None:
    llama = (SOURCES / "llama_like.txt").read_text(encoding="utf-8")
    source = read_model(str(written(tmp_path, {"model.py": ADAPTER, "llama_like.py": llama})))
    assert gates.check(gates.Subject(source=source, model_args=ARGS, batch_size=4)) is None
    found = {edit.operator for edit in proposals(Source(source, "name: llama\n"))}
    assert {"attention", "swap_norm", "gating", "insert_qknorm", "norm_placement"} <= found


def test_what_stands_where(tmp_path: Path) -> None:
    files = {
        "main.py": '"""Main."""\nfrom __future__ import annotations\nimport math  # first\n'
        "from a import f as g, two\nfrom b import three\n\nprint(g, two, three)  # ü\n",
        "a.py": '"""A."""\nfrom __future__ import annotations\nimport math\nimport os\n\n'
        "from b import three\ntwo = three - 1\ndef f():\n    return math.pi\n\n"
        "if __name__ == '__main__':\n    f()\n",
        "b.py": "three: int = 3  # here\n",
    }
    assert bundled(written(tmp_path, files)) == (
        '"""Main."""\nfrom __future__ import annotations\nimport math  # first\nimport os\n\n'
        "three: int = 3  # here\ntwo = three - 1\ndef f():\n    return math.pi\n"
        "g = f\n\nprint(g, two, three)  # ü\n"
    )


def test_a_file_of_its_own_comes_back_byte_for_byte(tmp_path: Path) -> None:
    text = '"""Alone."""\r\nimport torch\r\n\r\nx = 1  # as it is'
    path = tmp_path / "model.py"
    path.write_bytes(text.encode())
    assert bundled(path) == text


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"model.py": "import a\n", "a.py": ""}, "model.py line 1: 'import a' cannot be put into one file"),
        ({"model.py": "from . import a\n", "a.py": ""}, "model.py line 1: 'from . import a' cannot be put"),
        ({"model.py": "\nfrom a import *\n", "a.py": ""}, "model.py line 2: 'from a import *' cannot be put"),
        ({"model.py": "from a import x\ny = 1\n", "a.py": "x = y = 2\n"}, "a.py and model.py both define y"),
        (
            {
                "model.py": "from a import x\nfrom b import F\n",
                "a.py": "import c as F\nx = 1\n",
                "b.py": "F = 1\n",
            },
            "a.py and b.py both define F: rename it in one of them",
        ),
        ({"model.py": "from a import x\n", "a.py": "x = (\n"}, "is not valid Python at line 1"),
        ({"model.py": "from .a import x\n"}, "cannot be read as UTF-8 text"),
    ],
)
def test_what_cannot_be_one_file_is_answered(files: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        bundled(written(tmp_path, files))
    assert message in str(error.value)
