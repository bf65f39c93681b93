"""Checkpoints of every layout give the model that was saved; what does not fit is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from zoo_support import LLAMA, SMALL, hugging_face, same_function, stirred, weights

from foundry.errors import UserError
from foundry.seed import read_model
from foundry.training import checkpoint
from foundry.zoo import config_json
from foundry.zoo.filling import fill, loaded
from foundry.zoo.opening import open_checkpoint


def pairs(tensor: Tensor, heads: int) -> Tensor:
    """Reorder a projection of queries or keys as Meta and GGUF store it: halves of a head as neighbours."""
    rows = tensor.shape[0] // heads
    order = [
        head * rows + half * rows // 2 + i
        for head in range(heads)
        for i in range(rows // 2)
        for half in (0, 1)
    ]
    return tensor[order].clone()


META = {
    "embed_tokens": "tok_embeddings",
    "lm_head": "output",
    "self_attn.q_proj": "attention.wq",
    "self_attn.k_proj": "attention.wk",
    "self_attn.v_proj": "attention.wv",
    "self_attn.o_proj": "attention.wo",
    "mlp.gate_proj": "feed_forward.w1",
    "mlp.down_proj": "feed_forward.w2",
    "mlp.up_proj": "feed_forward.w3",
    "input_layernorm": "attention_norm",
    "post_attention_layernorm": "ffn_norm",
}
PARAMS = {"dim": 32, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "norm_eps": 1e-5, "rope_theta": 10000.0}


def meta(model: Any) -> dict[str, Tensor]:
    found = {"rope.freqs": torch.zeros(4)}
    for name, tensor in weights(model).items():
        for ours, theirs in META.items():
            name = name.replace(ours, theirs)
        heads = {"wq": 4, "wk": 2}.get(name.split(".")[-2])
        found[name] = pairs(tensor, heads) if heads else tensor
    return found


def test_meta_in_one_file(tmp_path: Path) -> None:
    model = stirred("llama", LLAMA)
    torch.save(meta(model), tmp_path / "consolidated.00.pth")
    (tmp_path / "params.json").write_text(json.dumps(PARAMS))
    assert same_function(model, loaded(read_model("llama"), LLAMA, tmp_path))
    assert same_function(model, loaded(read_model("llama"), LLAMA, tmp_path / "consolidated.00.pth"))


def test_meta_as_safetensors(tmp_path: Path) -> None:
    model = stirred("llama", LLAMA)
    save_file(meta(model), tmp_path / "consolidated.safetensors")
    with pytest.raises(UserError, match=r"no params\.json beside it"):
        loaded(read_model("llama"), LLAMA, tmp_path)
    (tmp_path / "params.json").write_text(json.dumps(PARAMS))
    assert same_function(model, loaded(read_model("llama"), LLAMA, tmp_path))


@pytest.mark.parametrize("embedding", [0, 1])
def test_meta_cut_for_two_devices(embedding: int, tmp_path: Path) -> None:
    axes = {
        "tok_embeddings": embedding,
        "output": 0,
        "wo": 1,
        "w2": 1,
        "wq": 0,
        "wk": 0,
        "wv": 0,
        "w1": 0,
        "w3": 0,
    }
    args = {**LLAMA, "vocab_size": 30}
    model = stirred("llama", args)
    parts: list[dict[str, Tensor]] = [{}, {}]
    for name, tensor in meta(model).items():
        axis = axes.get(name.split(".")[-2])
        halves = [tensor, tensor] if axis is None else tensor.chunk(2, axis)
        for part, half in zip(parts, halves, strict=True):
            part[name] = half.clone()
    for i, part in enumerate(parts):
        torch.save(part, tmp_path / f"consolidated.0{i}.pth")
    (tmp_path / "params.json").write_text(json.dumps(PARAMS))
    assert same_function(model, loaded(read_model("llama"), args, tmp_path))


GGUF = {
    "embed_tokens": "token_embd",
    "lm_head": "output",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.down_proj": "ffn_down",
    "mlp.up_proj": "ffn_up",
    "post_attention_layernorm": "ffn_norm",
    "input_layernorm": "attn_norm",
    "transformer.wte": "token_embd",
    "transformer.wpe": "position_embd",
    "transformer.ln_f": "output_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
    "ln_1": "attn_norm",
    "ln_2": "ffn_norm",
    "transformer.h.": "blk.",
    "layers.": "blk.",
}


def write_gguf(model: Any, path: Path, architecture: str, *, theta: float = 10000.0) -> None:
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_embedding_length(32)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_rope_freq_base(theta)
    for name, tensor in weights(model).items():
        name = "output_norm.weight" if name == "norm.weight" else name
        for ours, theirs in GGUF.items():
            name = name.replace(ours, theirs)
        heads = {"attn_q": 4, "attn_k": 2}.get(name.split(".")[-2]) if architecture == "llama" else None
        writer.add_tensor(name, (pairs(tensor, heads) if heads else tensor).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize(
    ("architecture", "base", "args"),
    [
        ("llama", "llama", {**LLAMA, "bias": True}),
        ("qwen2", "llama", {**LLAMA, "qkv_bias": True, "tied": True}),
        ("gpt2", "gpt2", SMALL),
    ],
)
def test_gguf(architecture: str, base: str, args: dict[str, object], tmp_path: Path) -> None:
    model = stirred(base, args)
    write_gguf(model, tmp_path / "model.gguf", architecture)
    assert same_function(model, loaded(read_model(base), args, tmp_path))
    assert same_function(model, loaded(read_model(base), args, tmp_path / "model.gguf"))


def test_gguf_says_what_its_tensors_do_not_show(tmp_path: Path) -> None:
    write_gguf(stirred("llama", LLAMA), tmp_path / "model.gguf", "llama", theta=5000.0)
    with pytest.raises(UserError, match=r"other settings: rope_theta is 10000\.0, of the checkpoint 5000\.0"):
        loaded(read_model("llama"), LLAMA, tmp_path)
    loaded(read_model("llama"), {**LLAMA, "rope_theta": 5000.0}, tmp_path)


@pytest.mark.parametrize("prefix", ["", "transformer."])
def test_gpt2_as_it_was_released(prefix: str, tmp_path: Path) -> None:
    """The file of 2019 has no prefix, a mask per layer, and linear layers as (in, out)."""
    model = stirred("gpt2", SMALL)
    stored = {}
    for name, tensor in weights(model).items():
        turned = tensor.dim() == 2 and ".h." in name
        stored[name.replace("transformer.", prefix)] = tensor.t().contiguous() if turned else tensor
    for i in range(2):
        stored[f"{prefix}h.{i}.attn.bias"] = torch.ones(1, 1, 24, 24)
        stored[f"{prefix}h.{i}.attn.masked_bias"] = torch.tensor(-1e4)
    save_file(stored, tmp_path / "model.safetensors")
    assert same_function(model, loaded(read_model("gpt2"), SMALL, tmp_path))


def test_nanogpts_own_layout(tmp_path: Path) -> None:
    model = stirred("v1", SMALL)
    save_file(weights(model), tmp_path / "ckpt.safetensors")
    assert same_function(model, loaded(read_model("v1"), SMALL, tmp_path))


def test_a_checkpoint_of_a_training(tmp_path: Path) -> None:
    model = stirred("llama", {**LLAMA, "tied": True})
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.zeros(1, 4, dtype=torch.long), torch.zeros(1, 4, dtype=torch.long))[1].backward()
    optimizer.step()
    checkpoint.save(tmp_path / "best.safetensors", model, [optimizer], 7)
    assert same_function(model, loaded(read_model("llama"), {**LLAMA, "tied": True}, tmp_path))
    (tmp_path / "experiment.yaml").write_text("model_args: {n_head: 2, n_kv_head: 1}\n")
    with pytest.raises(UserError, match="other settings: n_head is 4, of the checkpoint 2"):
        loaded(read_model("llama"), {**LLAMA, "tied": True}, tmp_path)


def test_what_does_not_fit_is_listed_by_name(tmp_path: Path) -> None:
    stored = hugging_face(stirred("llama", LLAMA))
    del stored["model.layers.1.mlp.up_proj.weight"], stored["lm_head.weight"]
    stored["model.layers.0.self_attn.k_proj.weight"] = torch.zeros(8, 32)
    stored["model.layers.2.mlp.up_proj.weight"] = torch.zeros(3)
    save_file(stored, tmp_path / "model.safetensors")
    model = stirred("llama", LLAMA, seed=1)
    before = weights(model)
    with pytest.raises(UserError) as error:
        fill(model, open_checkpoint(tmp_path))
    assert str(error.value).splitlines() == [
        f"checkpoint {tmp_path} does not fit the model:",
        "  missing: layers.1.mlp.up_proj.weight",
        "  missing: lm_head.weight",
        "  misshapen: layers.0.self_attn.k_proj.weight is (16, 32), in the checkpoint (8, 32) as "
        "model.layers.0.self_attn.k_proj.weight",
        "  unexpected: model.layers.2.mlp.up_proj.weight",
        "(strict: false goes on with what fits)",
    ]
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())


def test_not_strict_keeps_what_fits(tmp_path: Path) -> None:
    stored = hugging_face(stirred("llama", LLAMA))
    del stored["lm_head.weight"]
    stored["model.norm.weight"] = torch.zeros(3)
    save_file(stored, tmp_path / "model.safetensors")
    model = stirred("llama", LLAMA, seed=1)
    before = weights(model)
    fit = fill(model, open_checkpoint(tmp_path), strict=False)
    for name, parameter in model.named_parameters():
        fits = name not in ("lm_head.weight", "norm.weight")
        assert torch.equal(parameter, stored[f"model.{name}"] if fits else before[name]), name
    total = sum(p.numel() for p in model.parameters())
    assert fit.inherited_parameters == total - 29 * 32 - 32
    assert fit.words == f"{fit.inherited_parameters:,} of {total:,} parameters inherited (94.5%)"


def test_a_tied_head_may_be_stored_twice_but_not_otherwise(tmp_path: Path) -> None:
    args = {**LLAMA, "tied": True}
    model = stirred("llama", args)
    stored = hugging_face(model)
    assert "lm_head.weight" not in stored
    stored["lm_head.weight"] = stored["model.embed_tokens.weight"].clone()
    save_file(stored, tmp_path / "model.safetensors")
    again = loaded(read_model("llama"), args, tmp_path)
    assert same_function(model, again)
    assert again.get_parameter("lm_head.weight") is again.get_parameter("embed_tokens.weight")
    stored["lm_head.weight"][0, 0] += 1
    save_file(stored, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"unexpected: lm_head\.weight"):
        loaded(read_model("llama"), args, tmp_path)


def test_settings_of_config_json_must_be_those_of_the_model(tmp_path: Path) -> None:
    args = {**LLAMA, "rope_theta": 77.0, "window": 5}
    save_file(hugging_face(stirred("llama", args)), tmp_path / "model.safetensors")
    defaults = vars(stirred("llama", args).config)
    (tmp_path / "config.json").write_text(json.dumps(config_json.write("llama", defaults)))
    loaded(read_model("llama"), args, tmp_path)
    with pytest.raises(UserError) as error:
        loaded(read_model("llama"), {**LLAMA, "n_kv_head": 2}, tmp_path / "model.safetensors")
    assert "other settings: rope_theta is 10000.0, of the checkpoint 77.0" in str(error.value)
    assert "other settings: window is None, of the checkpoint 5" in str(error.value)


def test_dtypes_are_those_of_the_model_unless_asked(tmp_path: Path) -> None:
    stored = {name: tensor.bfloat16() for name, tensor in hugging_face(stirred("llama", LLAMA)).items()}
    save_file(stored, tmp_path / "model.safetensors")
    full = loaded(read_model("llama"), LLAMA, tmp_path)
    half = loaded(read_model("llama"), LLAMA, tmp_path, dtype=torch.bfloat16)
    assert {p.dtype for p in full.parameters()} == {torch.float32}
    assert {p.dtype for p in half.parameters()} == {torch.bfloat16}
    for (name, a), b in zip(full.named_parameters(), half.parameters(), strict=True):
        assert torch.equal(a.bfloat16(), b), name


def test_training_changes_the_model_and_not_the_file(tmp_path: Path) -> None:
    save_file(hugging_face(stirred("llama", LLAMA)), tmp_path / "model.safetensors")
    before = (tmp_path / "model.safetensors").read_bytes()
    model = loaded(read_model("llama"), LLAMA, tmp_path).train()
    start = weights(model)
    idx = torch.arange(16).view(2, 8)
    model(idx, idx)[1].backward()
    torch.optim.SGD(model.parameters(), lr=0.5).step()
    assert all(not torch.equal(start[name], p) for name, p in model.named_parameters())
    assert (tmp_path / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "holds no checkpoint"),
        ({"model.safetensors": b"nothing"}, "model.safetensors cannot be read"),
        ({"consolidated.00.pth": b"nothing"}, "consolidated.00.pth cannot be read"),
        ({"model.gguf": b"nothing"}, "model.gguf cannot be read"),
        ({"model.safetensors.index.json": b"{}"}, "model.safetensors.index.json has no weight_map"),
        (
            {"model.safetensors.index.json": b'{"weight_map": {"a": "1.safetensors"}}'},
            "lacks 1.safetensors, which model.safetensors.index.json names",
        ),
        ({"a.gguf": b"", "b.gguf": b""}, "holds 2 checkpoints: name one, such as"),
    ],
)
def test_what_is_no_checkpoint_is_answered(files: dict[str, bytes], message: str, tmp_path: Path) -> None:
    if "model.gguf" in files:
        pytest.importorskip("gguf")
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as error:
        open_checkpoint(tmp_path)
    assert message in str(error.value)


def test_a_path_that_is_not_there_is_answered(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"checkpoint .*gone does not exist"):
        open_checkpoint(tmp_path / "gone")
    (tmp_path / "weights.bin").write_bytes(b"")
    with pytest.raises(UserError, match=r"is none of \.safetensors, "):
        open_checkpoint(tmp_path / "weights.bin")


def test_a_pickle_that_would_run_code_does_not(tmp_path: Path) -> None:
    torch.save({"tok_embeddings.weight": _Trap(tmp_path / "sprung")}, tmp_path / "consolidated.00.pth")
    with pytest.raises(UserError, match=r"consolidated\.00\.pth cannot be read"):
        open_checkpoint(tmp_path)
    assert not (tmp_path / "sprung").exists()


class _Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)
