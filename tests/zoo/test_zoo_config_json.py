"""config.json: what it must say, and what is refused rather than computed wrongly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from foundry.errors import UserError
from foundry.zoo import config_json, entry

SCALING = {
    **{"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
    **{"original_max_position_embeddings": 8192},
}


def of(name: str) -> dict[str, Any]:
    found = entry.read(name)
    body = config_json.write(found.base_model, found.model_args)
    assert body is not None
    return body


def read(body: dict[str, Any], folder: Path) -> dict[str, object]:
    (folder / "config.json").write_text(json.dumps(body))
    return dict(config_json.read(folder / "config.json").model_args)


def answered(body: dict[str, Any], folder: Path) -> dict[str, object] | str:
    try:
        return read(body, folder)
    except UserError as error:
        return str(error)


@pytest.mark.parametrize("name", ["llama3-1b", "mistral-7b-v0.1", "qwen2-7b", "gpt2"])
def test_every_value_is_needed_or_does_not_matter(name: str, tmp_path: Path) -> None:
    """Without a value that decides what the model computes, the answer is never a guess."""
    whole = read(of(name), tmp_path)
    for key in of(name):
        body = {other: value for other, value in of(name).items() if other != key}
        answer = answered(body, tmp_path)
        assert answer == whole or (isinstance(answer, str) and key in answer), key


def test_a_missing_value_is_named(tmp_path: Path) -> None:
    body = of("llama3-8b")
    del body["rms_norm_eps"]
    with pytest.raises(UserError, match=r"config\.json does not say rms_norm_eps"):
        read(body, tmp_path)
    body = of("mistral-7b-v0.1")
    del body["sliding_window"]
    with pytest.raises(UserError, match="does not say sliding_window"):
        read(body, tmp_path)
    body = of("llama3-1b")
    del body["rope_parameters"]["low_freq_factor"]
    with pytest.raises(UserError, match="does not say low_freq_factor"):
        read(body, tmp_path)


def test_both_dialects_of_rotary_positions(tmp_path: Path) -> None:
    body = of("llama3-1b")
    newer = read({k: v for k, v in body.items() if k not in ("rope_theta", "rope_scaling")}, tmp_path)
    assert newer["rope_theta"] == 500_000
    assert newer["rope_factor"] == 32
    del body["rope_parameters"]
    assert read(body, tmp_path) == newer
    body["rope_scaling"] = {**SCALING, "type": "llama3"}
    del body["rope_scaling"]["rope_type"]
    assert read(body, tmp_path) == newer
    body["rope_scaling"] = None
    assert read(body, tmp_path)["rope_factor"] == 1


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("llama3-8b", {"hidden_act": "gelu"}, "hidden_act 'gelu'"),
        ("llama3-8b", {"head_dim": 64}, "head_dim 64"),
        ("llama3-8b", {"attention_bias": True}, "mlp_bias False"),
        ("llama3-8b", {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1.0}}, "by 'yarn'"),
        ("llama3-8b", {"model_type": "lama"}, "unknown model type 'lama': did you mean 'llama'?"),
        (
            "qwen2-7b",
            {
                **{"use_sliding_window": True, "sliding_window": 8},
                **{"layer_types": ["full_attention"] * 14 + ["sliding_attention"] * 14},
            },
            "gives 14 of 28 layers a window",
        ),
        ("gpt2", {"activation_function": "relu"}, "activation_function 'relu'"),
        ("gpt2", {"n_inner": 1000}, "n_inner 1000"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx True"),
    ],
)
def test_what_no_seed_model_computes_is_refused(
    name: str, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as error:
        read({**of(name), **changes}, tmp_path)
    assert message in str(error.value)
    assert str(tmp_path / "config.json") in str(error.value)


def test_windows_of_qwen2_begin_at_a_layer(tmp_path: Path) -> None:
    body = {**of("qwen2-7b"), "use_sliding_window": True, "sliding_window": 8}
    del body["layer_types"]
    assert read({**body, "max_window_layers": 28}, tmp_path)["window"] is None
    assert read({**body, "max_window_layers": 0}, tmp_path)["window"] == 8
    assert read({**body, "use_sliding_window": False}, tmp_path)["window"] is None
    with pytest.raises(UserError, match="gives 7 of 28 layers a window"):
        read({**body, "max_window_layers": 21}, tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_what_is_no_object_is_answered(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"config\.json (cannot be read|holds no JSON object)"):
        config_json.read(tmp_path / "config.json")
