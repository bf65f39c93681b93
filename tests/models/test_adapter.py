"""Other people's language models get nanoGPT's interface, in the words of their own file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from foundry import gates
from foundry.adapter import adapted
from foundry.errors import UserError
from foundry.seed import read_model
from foundry.source import build_model, load_module
from operators import Source, proposals

SOURCES = Path(__file__).parents[1] / "operators" / "sources"
OTHERS = ("lecture", "llama_like", "modular", "speedrun")
WHOLE = ("conv1d", "einsum", "encoder", "functional")
ARGS = {"vocab_size": 65, "block_size": 32, "n_layer": 2, "n_head": 2, "n_embd": 32}

SCRIPT = """\
# A script that trains when it is run.
import json
import torch
import torch.nn as nn
from torch.nn import functional as F

steps = 10
block_size = 16  # positions
n_embed = 8
rate = 1e-3
width = 3 * n_embed
device = "cuda" if torch.cuda.is_available() else "cpu"

with open("no such text") as f:
    text = f.read()
chars = sorted(set(text))
vocab_size = len(chars)
# what a batch is
def batch():
    return text[:block_size]


class Bigrams(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(vocab_size, width)
        self.place = nn.Embedding(block_size, width)
        self.head = nn.Linear(width, vocab_size)

    def forward(self, idx, targets=None):
        text = self.table(idx) + self.place(torch.arange(idx.shape[1], device=device))
        logits = self.head(text)
        if targets is None:
            return logits, None
        B, T, C = logits.shape
        logits = logits.view(B * T, C)
        return logits, F.cross_entropy(logits, targets.view(B * T))


model = Bigrams()
for step in range(steps):
    print(json.dumps({"loss": model(batch())}))
"""
DICT = '''\
"""A model whose settings are a dict, and that returns logits alone."""
import torch
from torch import nn


class Model(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.tokens = nn.Embedding(cfg["vocab_size"], cfg["emb_dim"])
        linear = nn.Linear(cfg["emb_dim"], cfg["hidden_dim"], bias=cfg["qkv_bias"])
        self.mlp = nn.Sequential(linear, nn.GELU())
        self.drop = nn.Dropout(cfg["drop_rate"])
        self.out = nn.Linear(cfg["hidden_dim"], cfg["vocab_size"])

    def forward(self, in_idx):
        return self.out(self.drop(self.mlp(self.tokens(in_idx))))
'''

ATTRIBUTES = '''\
"""Settings that no class describes, and ways to make a model that a candidate may not have."""
import torch
from torch import nn
from torch.nn import functional as F
from words.settings import Node


class Words(nn.Module):
    @staticmethod
    def default_settings():
        settings = Node()
        settings.preset = "small"
        return settings

    def __init__(self, config):
        super().__init__()
        assert (config.preset is not None) != (config.n_embd is not None)
        if config.preset is not None:
            config.update(config.preset)
        self.tokens = nn.Embedding(config.vocab_size, config.n_embd)
        nn.init.normal_(self.tokens.weight, std=0.02)
        self.drop = nn.Dropout(config.embd_pdrop)

    @classmethod
    def from_pretrained(cls, name):
        from transformers import AutoModel

        return cls(AutoModel.from_pretrained(name).config)

    def forward(self, idx, targets=None):
        logits = self.drop(self.tokens(idx)) @ self.tokens.weight.T
        if targets is None:
            return logits, None
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())
'''


def gated(source: str) -> gates.Failure | None:
    return gates.check(gates.Subject(source=source, model_args=ARGS, batch_size=4))


@pytest.mark.parametrize("name", OTHERS)
def test_every_foreign_source_is_a_seed_model(name: str, tmp_path: Path) -> None:
    text = (SOURCES / f"{name}.txt").read_text("utf-8")
    path = tmp_path / "model.py"
    path.write_text(text, "utf-8")
    source = read_model(str(path))
    assert gated(source) is None
    whole = {edit.operator for edit in proposals(Source(text, "name: own\n"))}
    assert whole <= {edit.operator for edit in proposals(Source(source, "name: adapted\n"))}


@pytest.mark.parametrize("name", WHOLE)
def test_what_has_the_interface_comes_back_byte_for_byte(name: str) -> None:
    text = (SOURCES / f"{name}.txt").read_text("utf-8")
    assert adapted(text, name) is text


def test_the_script_around_a_model_is_left_out() -> None:
    source = adapted(SCRIPT, "script.py")
    ours = source.index("\n\n\n@dataclass")
    assert source[:ours] == (
        "# A script that trains when it is run.\nfrom dataclasses import dataclass\nimport torch\n"
        "import torch.nn as nn\nfrom torch.nn import functional as F\n\nblock_size = 16  # positions\n"
        'n_embed = 8\nwidth = 3 * n_embed\ndevice = "cuda" if torch.cuda.is_available() else "cpu"'
        + SCRIPT[SCRIPT.index("\n\n\nclass Bigrams") : SCRIPT.index("\n\n\nmodel =")]
    )
    assert "    block_size: int = 16\n" in source
    model = build_model(load_module(source), {"vocab_size": 7, "block_size": 5, "n_embd": 16})
    assert model.head.in_features == 48
    idx = torch.arange(10).view(2, 5) % 7
    logits, loss = model(idx, idx)
    assert logits.shape == (2, 5, 7)
    assert loss.item() == pytest.approx(torch.nn.functional.cross_entropy(logits[0], idx[0]).item(), abs=1)
    assert model.generate(idx, 3, top_k=1).shape == (2, 8)


def test_the_script_around_a_gpt_is_left_out(tmp_path: Path) -> None:
    """With the methods that only the script calls, and what they alone need; tables that are filled stay."""
    model = (SOURCES / "einsum.txt").read_text("utf-8")
    method = "    def optimizer(self):\n        return os.environ.get(RATE)\n\n    def forward(self, idx"
    table = "SIZES = {}\nfor n in (1, 2):\n    SIZES[n] = n\n\n\n"
    config = "@dataclass\nclass GPTConfig:\n    size: int = SIZES[1]\n"
    whole = model.replace("@dataclass\nclass GPTConfig:\n", table + config)
    assert whole.count("    def forward(self, idx") == 1
    script = whole.replace("    def forward(self, idx", method)
    script = script.replace("import torch\n", "import os\nfrom helper import helped\n\nimport torch\n", 1)
    script += (
        '\nRATE = "rate"\nmodel = GPT(GPTConfig())\nfor step in range(helped()):\n    model.optimizer()\n'
    )
    script += 'if __name__ == "__main__":\n    SIZES = {1: 2}\n'
    path = tmp_path / "train.py"
    path.write_text(script, "utf-8")
    assert read_model(str(path)).split() == whole.split()


def test_settings_in_a_dict_and_logits_alone() -> None:
    source = adapted(DICT, "model.py")
    args = {name: ARGS[name] for name in ("vocab_size", "block_size", "n_embd")}
    assert gates.check(gates.Subject(source=source, model_args=args, batch_size=4)) is None
    assert '"hidden_dim": 4 * config.n_embd' in source
    model = build_model(load_module(source), args | {"bias": True})
    assert model.mlp[0].bias is not None
    assert model.mlp[0].out_features == 128


def test_settings_that_no_class_describes() -> None:
    source = adapted(ATTRIBUTES, "model.py")
    args = {name: ARGS[name] for name in ("vocab_size", "block_size", "n_embd")}
    assert gates.check(gates.Subject(source=source, model_args=args, batch_size=4)) is None
    assert "Node" not in source
    assert "from_pretrained" not in source
    assert (
        "    preset = None\n\n    @property\n    def embd_pdrop(self):\n        return self.dropout\n"
        in source
    )


def test_what_has_no_name_there_is_asked_for() -> None:
    with pytest.raises(UserError, match="Model needs 'rotations', which nanoGPT's settings do not have"):
        adapted(DICT.replace('cfg["qkv_bias"]', 'cfg["rotations"]'), "model.py")


def test_a_file_without_a_language_model_says_what_one_is() -> None:
    with pytest.raises(UserError, match=r"'layers.py' defines no language model: .*: Thing"):
        adapted("class Thing:\n    pass\n", "layers.py")
