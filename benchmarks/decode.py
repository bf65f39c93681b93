"""Tokens per second with a KV cache of each kind and without, at 512 tokens of context, on one thread.

    python benchmarks/decode.py [v1 v2 "v2 mla" ...]

The seed models, and v2 with other attention, positions and experts as operators make them, 6 layers of 384
with blocks of 1024. Each round decodes one token in every way, so that what else the machine does meets all
of them; medians over the rounds.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))  # also where foundry is not installed

import operators
from foundry.decoding.decoder import CachedDecoder, Decoder, Plan, windows
from foundry.decoding.entries import STORES
from foundry.seed import read_model
from foundry.source import build_model, load_module
from foundry.training import init

CONTEXT = 512
ROUNDS = 15
VOCABULARY = 65
SIZES: dict[str, object] = {
    "n_layer": 6,
    "n_head": 6,
    "n_embd": 384,
    "block_size": 1024,
    "vocab_size": VOCABULARY,
}
OWN: dict[str, dict[str, object]] = {"llama": {"n_kv_head": 2, "n_ffn": 1024}}
MODELS = {  # seed model, operator, variant
    "v1": ("v1", "", ""),
    "v2": ("v2", "", ""),
    "llama": ("llama", "", ""),
    "v2 mla": ("v2", "attention", "mla"),
    "v2 sliding_window_128": ("v2", "attention", "sliding_window_128"),
    "v2 block_sparse_64": ("v2", "attention", "block_sparse_64"),
    "v2 strided_32": ("v2", "attention", "strided_32"),
    "v2 alibi": ("v2", "position", "alibi"),
    "v2 hybrid": ("v2", "position", "hybrid"),
    "v2 moe": ("v2", "moe", "4x2"),
}


def main(names: list[str]) -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    tokens = torch.randint(VOCABULARY, (1, CONTEXT + ROUNDS), generator=torch.Generator().manual_seed(0))
    for name in names or MODELS:
        model = model_of(*MODELS[name])
        seen = windows(model, CONTEXT + ROUNDS)
        cached = {kind: CachedDecoder(model, Plan(kind=kind, windows=seen)) for kind in STORES}
        decoders = {**cached, "none": Decoder(model)}
        taken = measure(decoders, tokens)
        print(f"{name}: {1 / taken['none']:.1f} tok/s without a cache")
        for kind, decoder in cached.items():
            assert not decoder.reason
            print(
                f"  {kind:8} {decoder.bytes_per_token:6,} bytes per token, {1 / taken[kind]:4.0f} tok/s, "
                f"{taken['none'] / taken[kind]:4.1f} times; {decoder.cache.nbytes / 1e6:.2f} MB of memory"
            )


def model_of(base: str, operator: str, variant: str) -> nn.Module:
    """Build a seed model, changed by an operator if asked."""
    source = operators.Source(read_model(base), "")
    if operator:
        edits = operators.lookup(operator).sites(source)
        source = operators.apply(source, next(edit for edit in edits if edit.variant == variant))
    module = load_module(source.model)
    return init.initialised(lambda: build_model(module, SIZES | OWN.get(base, {})), seed=0)


def measure(decoders: dict[str, Decoder], tokens: Tensor) -> dict[str, float]:
    """Return the median seconds that each takes for one token."""
    taken: dict[str, list[float]] = {name: [] for name in decoders}
    for decoder in decoders.values():
        decoder.extend(tokens[:, :CONTEXT])
    for i in range(CONTEXT, CONTEXT + ROUNDS):
        for name, decoder in decoders.items():
            started = time.perf_counter()
            decoder.extend(tokens[:, i : i + 1])
            taken[name].append(time.perf_counter() - started)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


if __name__ == "__main__":
    main(sys.argv[1:])
