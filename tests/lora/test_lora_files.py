"""Adapters in files: what PEFT writes is read, what is written PEFT reads, what does not fit is named."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from lora_helpers import adapted, logits, plain, stir
from safetensors.torch import load_file, save_file
from torch import nn

from foundry.errors import UserError
from foundry.lora import files
from foundry.lora.settings import Lora

KINDS = {
    "plain": Lora(rank=3, alpha=7, dropout=0.1),
    "rslora": Lora(rank=3, alpha=7.5, rslora=True),
    "dora": Lora(rank=3, alpha=7, dora=True),
    "everywhere": Lora(rank=2, alpha=4, targets=("all-linear",), dora=True, rslora=True),
}


@pytest.fixture(params=KINDS, name="settings")
def _settings(request: pytest.FixtureRequest) -> Lora:
    return KINDS[request.param]


def test_what_is_written_is_read_back(settings: Lora, tmp_path: Path) -> None:
    model = adapted(plain(), settings)
    files.save(tmp_path / "adapter", model, settings)
    other = plain()
    read, found = files.load(tmp_path / "adapter", other)
    assert torch.equal(logits(other), logits(model))
    assert read == Lora(
        **{**vars(settings), "targets": found.layers}  # type: ignore[arg-type]
    )


def test_the_folder_holds_adapters_and_nothing_else(tmp_path: Path) -> None:
    settings = Lora(rank=3, targets=("q_proj",), dora=True)
    files.save(tmp_path, adapted(plain(), settings), settings, base="smollm2")
    assert {path.name for path in tmp_path.iterdir()} == {"adapter_model.safetensors", "adapter_config.json"}
    shapes = {name: tuple(t.shape) for name, t in load_file(tmp_path / files.WEIGHTS).items()}
    assert shapes == {
        f"base_model.model.layers.{i}.attn.q_proj.{name}": shape
        for i in range(2)
        for name, shape in {
            "lora_A.weight": (3, 16),
            "lora_B.weight": (16, 3),
            "lora_magnitude_vector": (16,),
        }.items()
    }
    config = json.loads((tmp_path / files.CONFIG).read_text())
    assert config["base_model_name_or_path"] == "smollm2"
    assert config["target_modules"] == ["layers.0.attn.q_proj", "layers.1.attn.q_proj"]


def test_paths_may_lie_one_level_deeper(tmp_path: Path) -> None:
    settings = Lora(rank=2)
    model = adapted(plain(), settings)
    files.save(tmp_path, model, settings, within="model.")
    assert all(name.startswith("base_model.model.model.") for name in load_file(tmp_path / files.WEIGHTS))
    other = plain()
    files.load(tmp_path, other)
    assert torch.equal(logits(other), logits(model))


def config_with(folder: Path, **changes: object) -> None:
    body = json.loads((folder / files.CONFIG).read_text())
    (folder / files.CONFIG).write_text(json.dumps({**body, **changes}))


def tensors_with(folder: Path, change: Any) -> None:
    save_file(dict(change(load_file(folder / files.WEIGHTS))), folder / files.WEIGHTS)


Q = "base_model.model.layers.0.attn.q_proj.lora_A.weight"
DAMAGE = {
    "no config": (lambda f: (f / files.CONFIG).unlink(), "adapter_config.json is missing or damaged"),
    "no weights": (lambda f: (f / files.WEIGHTS).unlink(), "adapter_model.safetensors is missing or damaged"),
    "other kind": (lambda f: config_with(f, peft_type="IA3"), "an adapter of type IA3, not LORA"),
    "biases": (lambda f: config_with(f, bias="all"), "bias is 'all', which is not supported here"),
    "ranks": (lambda f: config_with(f, rank_pattern={"q": 4}), "rank_pattern is {'q': 4}, which is not"),
    "half": (
        lambda f: tensors_with(f, lambda t: {n: v for n, v in t.items() if n != Q}),
        "missing, or not of the shape that this model needs: layers.0.attn.q_proj.lora_A.weight",
    ),
    "shape": (
        lambda f: tensors_with(f, lambda t: {**t, Q: t[Q][:, :3].contiguous()}),
        "missing, or not of the shape that this model needs: layers.0.attn.q_proj.lora_A.weight",
    ),
    "embedding": (
        lambda f: tensors_with(f, lambda t: {**t, "base_model.model.wte.lora_embedding_A": t[Q].clone()}),
        "holds base_model.model.wte.lora_embedding_A, which is no part of LoRA for linear layers",
    ),
    "other model": (
        lambda f: tensors_with(f, lambda t: {n.replace("attn", "attention"): v for n, v in t.items()}),
        "this model has no linear layer 0.attention.q_proj, 0.attention.v_proj, 1.attention.q_proj and 1 mo",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_does_not_fit_is_named(damage: str, tmp_path: Path) -> None:
    settings = Lora(rank=2)
    files.save(tmp_path, adapted(plain(), settings), settings)
    spoil, sentence = DAMAGE[damage]
    spoil(tmp_path)  # type: ignore[no-untyped-call]
    with pytest.raises(UserError, match=re.escape(sentence)):
        files.load(tmp_path, plain())


class Twins(nn.Module):
    """A model where the path of one layer is the end of another's."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.up = nn.Linear(4, 4)
        self.mlp = nn.ModuleDict({"up": nn.Linear(4, 4)})

    def forward(self, x: torch.Tensor, targets: object = None) -> tuple[torch.Tensor, None]:
        found: torch.Tensor = self.mlp["up"](self.up(x.float().expand(-1, -1, 4)))
        return found, None


class TestAgainstPeft:
    """The reference implementation, on the same weights."""

    @pytest.fixture
    def peft(self) -> Any:
        return pytest.importorskip("peft")

    @pytest.mark.parametrize("base", ["v1", "v2"])
    def test_it_reads_what_is_written(self, base: str, settings: Lora, tmp_path: Path, peft: Any) -> None:
        model = adapted(plain(base, bias=True), settings)
        files.save(tmp_path, model, settings)
        theirs = peft.PeftModel.from_pretrained(plain(base, bias=True), str(tmp_path))
        torch.testing.assert_close(logits(theirs), logits(model), atol=1e-5, rtol=1e-5)
        merged = theirs.merge_and_unload()
        torch.testing.assert_close(logits(merged), logits(model), atol=1e-5, rtol=1e-5)

    @pytest.mark.parametrize("base", ["v1", "v2"])
    @pytest.mark.parametrize("dora", [False, True])
    def test_what_it_writes_is_read(self, base: str, dora: bool, tmp_path: Path, peft: Any) -> None:
        targets = ["c_attn", "c_fc"] if base == "v1" else ["q_proj", "k_proj", "down_proj"]
        config = peft.LoraConfig(
            r=3, lora_alpha=5, target_modules=targets, use_dora=dora, use_rslora=dora, lora_dropout=0.1
        )
        theirs = peft.get_peft_model(plain(base), config)
        stir(theirs)
        theirs.save_pretrained(tmp_path)
        model = plain(base)
        settings, found = files.load(tmp_path, model)
        torch.testing.assert_close(logits(model), logits(theirs), atol=1e-5, rtol=1e-5)
        assert (settings.rank, settings.alpha, settings.dropout, settings.dora) == (3, 5.0, 0.1, dora)
        assert {name.rpartition(".")[2] for name in found.layers} == set(targets)

    def test_it_adapts_no_layer_more(self, tmp_path: Path, peft: Any) -> None:
        settings = Lora(rank=2, targets=("up",))
        model = Twins()
        files.attach(model, {"up": model.up}, settings, 0, {})
        stir(model)
        files.save(tmp_path, model, settings)
        theirs = peft.PeftModel.from_pretrained(Twins(), str(tmp_path))
        found = {name for name, _ in theirs.named_parameters() if "lora_A" in name}
        assert found == {"base_model.model.up.lora_A.default.weight"}
        x = torch.ones(1, 2, 1)
        torch.testing.assert_close(theirs(x)[0], model(x)[0])

    def test_an_adapter_of_transformers_llama(self, tmp_path: Path, peft: Any) -> None:
        transformers = pytest.importorskip("transformers")
        config = transformers.LlamaConfig(
            vocab_size=13,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            intermediate_size=42,
            max_position_embeddings=8,
            rms_norm_eps=1e-5,
        )
        theirs = transformers.LlamaForCausalLM(config).eval()
        model = plain("v2")
        renames = (("attn.", "self_attn."), ("post_norm", "post_attention_layernorm"))
        weights = {}
        for name, tensor in model.state_dict().items():
            for old, new in (*renames, ("input_norm", "input_layernorm")):
                name = name.replace(old, new)
            weights[name if name.startswith("lm_head") else f"model.{name}"] = tensor
        theirs.load_state_dict(weights)
        settings = Lora(rank=2, targets=("gate_proj", "up_proj"))
        adapted(model, settings)
        files.save(tmp_path, model, settings, within="model.")
        idx = torch.randint(13, (2, 8), generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            wanted = model(idx, idx)[0]
            found = peft.PeftModel.from_pretrained(theirs, str(tmp_path)).eval()(idx).logits
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
