"""GPT-2 and Llama once more, in numpy and float64, one sequence at a time: the seed models must agree."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

Array = NDArray[np.float64]
Weights = Mapping[str, Array]


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True))


def attend(q: Array, k: Array, v: Array) -> Array:
    """One head: each row of q (T, hs) looks at the rows of k and v up to its own."""
    scores = q @ k.T / np.sqrt(q.shape[-1])
    scores[np.triu_indices(len(q), 1)] = -np.inf
    return np.asarray(softmax(scores) @ v)


def gpt2(w: Weights, idx: NDArray[np.int64], n_layer: int, n_head: int) -> Array:
    """Map ids (T,) to logits (T, vocab)."""

    def linear(x: Array, name: str) -> Array:
        return np.asarray(x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", np.zeros(1)))

    def norm(x: Array, name: str) -> Array:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        return np.asarray(scaled * w[f"{name}.weight"] + w.get(f"{name}.bias", np.zeros(1)))

    x = w["transformer.wte.weight"][idx] + w["transformer.wpe.weight"][: len(idx)]
    for i in range(n_layer):
        block = f"transformer.h.{i}"
        q, k, v = (
            np.split(part, n_head, -1)
            for part in np.split(linear(norm(x, f"{block}.ln_1"), f"{block}.attn.c_attn"), 3, -1)
        )
        heads = [attend(q[h], k[h], v[h]) for h in range(n_head)]
        x = x + linear(np.concatenate(heads, -1), f"{block}.attn.c_proj")
        hidden = linear(norm(x, f"{block}.ln_2"), f"{block}.mlp.c_fc")
        x = x + linear(hidden * 0.5 * (1 + erf(hidden / np.sqrt(2))), f"{block}.mlp.c_proj")
    return np.asarray(norm(x, "transformer.ln_f") @ w["transformer.wte.weight"].T)


def rotate(x: Array, theta: float) -> Array:
    """Turn (x[j], x[j + hs/2]) as a complex number by position * theta^(-2j/hs); x is (T, hs)."""
    half = x.shape[-1] // 2
    angles = np.arange(len(x))[:, None] * theta ** (-2 * np.arange(half) / x.shape[-1])
    turned = (x[:, :half] + 1j * x[:, half:]) * np.exp(1j * angles)
    return np.concatenate([turned.real, turned.imag], -1)


def llama(
    w: Weights, idx: NDArray[np.int64], n_layer: int, n_head: int, n_kv_head: int, theta: float, eps: float
) -> Array:
    """Map ids (T,) to logits (T, vocab)."""

    def norm(x: Array, name: str) -> Array:
        return np.asarray(x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * w[f"{name}.weight"])

    x = w["embed_tokens.weight"][idx]
    for i in range(n_layer):
        layer = {
            name.removeprefix(f"layers.{i}."): p for name, p in w.items() if name.startswith(f"layers.{i}.")
        }
        h = norm(x, f"layers.{i}.input_norm")
        q = np.split(h @ layer["attn.q_proj.weight"].T, n_head, -1)
        k = np.split(h @ layer["attn.k_proj.weight"].T, n_kv_head, -1)
        v = np.split(h @ layer["attn.v_proj.weight"].T, n_kv_head, -1)
        shared = n_head // n_kv_head
        heads = [
            attend(rotate(q[j], theta), rotate(k[j // shared], theta), v[j // shared]) for j in range(n_head)
        ]
        x = x + np.concatenate(heads, -1) @ layer["attn.o_proj.weight"].T
        h = norm(x, f"layers.{i}.post_norm")
        gate, up = h @ layer["mlp.gate_proj.weight"].T, h @ layer["mlp.up_proj.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * up) @ layer["mlp.down_proj.weight"].T
    return np.asarray(norm(x, "norm") @ w["lm_head.weight"].T)
