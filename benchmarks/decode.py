"""Tokens per second with a KV cache and without, at 512 tokens of context, on one thread.

    python benchmarks/decode.py [v1 v2 ...]

Both seed models, 6 layers of 384 with blocks of 1024. Each round decodes one token in both ways, so that what
else the machine does meets both; medians over the rounds.
"""

from __future__ import annotations

import statistics
import sys
import time

import torch
from torch import Tensor

from foundry.decoding.decoder import CachedDecoder, Decoder
from foundry.seed import read_model
from foundry.source import build_model, load_module
from foundry.training import init

CONTEXT = 512
ROUNDS = 25
VOCABULARY = 65
SIZES = {"n_layer": 6, "n_head": 6, "n_embd": 384, "block_size": 1024, "vocab_size": VOCABULARY}


def main(names: list[str]) -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    tokens = torch.randint(VOCABULARY, (1, CONTEXT + ROUNDS), generator=torch.Generator().manual_seed(0))
    for name in names or ["v1", "v2"]:
        module = load_module(read_model(name))
        model = init.initialised(lambda module=module: build_model(module, SIZES), seed=0)
        cached, plain = CachedDecoder(model), Decoder(model)
        fast, slow = [], []
        for decoder in (cached, plain):
            decoder.extend(tokens[:, :CONTEXT])
        for i in range(CONTEXT, CONTEXT + ROUNDS):
            fast.append(seconds(cached, tokens[:, i : i + 1]))
            slow.append(seconds(plain, tokens[:, i : i + 1]))
        assert not cached.reason
        one, other = statistics.median(fast), statistics.median(slow)
        print(
            f"{name}: {1 / one:.0f} tok/s with a cache of {cached.bytes_per_token:,} bytes per token, "
            f"{1 / other:.1f} tok/s without: {other / one:.1f} times"
        )


def seconds(decoder: Decoder, token: Tensor) -> float:
    """Time one token."""
    started = time.perf_counter()
    decoder.extend(token)
    return time.perf_counter() - started


if __name__ == "__main__":
    main(sys.argv[1:])
