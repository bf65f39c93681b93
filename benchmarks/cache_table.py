"""Which variants decode from a KV cache, and how many bytes it has: the tables of docs/decoding.md.

    python -m benchmarks.cache_table            # write them: every combination, some ten minutes on one core
    python -m benchmarks.cache_table --check    # are the variants of the page those that there are?

Each variant is a seed model as operators rewrite it, of 2 layers of 128 with 4 heads. It counts as cached if
logits with a cache are those without to 1e-4 of the largest, for 48 tokens in pieces of many lengths.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml
from torch import nn

import operators
from foundry.decoding import rounded
from foundry.decoding.decoder import Plan, best_decoder, check, windows
from foundry.decoding.entries import STORES
from foundry.seed import read_model
from foundry.source import build_model, load_module
from operators import Source

PAGE = Path(__file__).parents[1] / "docs" / "decoding.md"
SEEDS = ("v1", "v2")
BLOCK, VOCABULARY = 48, 29
EXPERIMENT = f"""\
model_args:
  n_layer: 2
  n_head: 4
  n_embd: 128
  block_size: {BLOCK}
  dropout: 0.0
  bias: false
"""
GROUPED = "  n_kv_head: 2\n"

ATTENTION = ("mha", "gqa_2kv", "gqa_1kv", "mla", "sliding_window_8", "block_sparse_4", "strided_4")
LOCAL = ("local_global_2",)
POSITION = ("learned", "rope", "rope-0.5", "rope-0.25", "alibi", "nope", "hybrid")
MIXING = (
    ("insert_qknorm", "rms-learned"),
    ("value_residual", "learned"),
    ("value_embeddings", "all"),
    ("primer_conv", "3"),
    ("token_shift", "half"),
    ("unet_skips", "one"),
    ("x0_skip", "learned"),
    ("moe", "4x2"),
    ("parallel_block", "shared-norm"),
)
ALONE = (  # besides those above; the seed models are the rest
    ("insert_qknorm", "rms"),
    ("moe", "4x1-shared"),
    ("norm_placement", "sandwich"),
    ("logit_softcap", "30"),
    ("share_layers", "all"),
    ("residual_scale", "layerscale"),
    ("swap_norm", "rmsnorm"),
    ("swap_norm", "layernorm"),
    ("swap_activation", "relu2"),
    *(("gating", kind) for kind in ("glu", "reglu", "geglu", "swiglu", "relu2glu")),
)
Choice = tuple[str, str]  # an operator and a variant


@dataclass(frozen=True)
class Finding:
    """What became of one combination: why there is no cache, if so, and bytes per token of each kind."""

    seed: str
    choices: tuple[Choice, ...]
    reason: str
    sizes: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """Say the combination."""
        return " + ".join((self.seed, *(f"{operator} {variant}" for operator, variant in self.choices)))


def source_of(seed: str, choices: Sequence[Choice]) -> Source | None:
    """Return a seed model with one edit after the other; None where an operator does not offer its own."""
    source = Source(read_model(seed), EXPERIMENT + (GROUPED if seed == "v2" else ""))
    for operator, variant in choices:
        edits = operators.lookup(operator).sites(source)
        edit = next((edit for edit in edits if edit.variant == variant), None)
        if edit is None:
            return None
        source = operators.apply(source, edit)
    return source


def model_of(source: Source) -> nn.Module:
    """Build a model whose logits depend on all that its source does: every parameter is drawn wide."""
    args = {**yaml.safe_load(source.experiment)["model_args"], "vocab_size": VOCABULARY}
    model = build_model(load_module(source.model), args)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.1, generator=generator)
    return model.eval()


def alone() -> Iterator[tuple[str, tuple[Choice, ...]]]:
    """List each seed model, and each variant of it alone."""
    one = [("attention", v) for v in (*ATTENTION, *LOCAL)] + [("position", v) for v in POSITION]
    yield from itertools.product(SEEDS, [(), *((choice,) for choice in (*one, *MIXING, *ALONE))])


def together() -> Iterator[tuple[str, tuple[Choice, ...]]]:
    """List attention with positions with another mixing, each of them or none."""
    attention = [None, *(("attention", v) for v in (*ATTENTION, *LOCAL))]
    position = [None, *(("position", v) for v in POSITION)]
    for seed, *choices in itertools.product(SEEDS, attention, position, [None, *MIXING]):
        yield str(seed), tuple(choice for choice in choices if isinstance(choice, tuple))


def finding(seed: str, choices: tuple[Choice, ...]) -> Finding | None:
    """Try a combination; None where operators do not offer it."""
    source = source_of(seed, choices)
    if source is None:
        return None
    model = model_of(source)
    plan = Plan(windows=windows(model, BLOCK))
    reason = check(model, vocab_size=VOCABULARY, length=BLOCK, plan=plan)
    if reason:
        return Finding(seed, choices, best_decoder(model, vocab_size=VOCABULARY, length=BLOCK).reason)
    return Finding(seed, choices, "", tuple(rounded.bytes_per_token(model, BLOCK, kind) for kind in STORES))


def tables(singles: Sequence[Finding], combined: Sequence[Finding]) -> str:
    """Write what was found as Markdown."""
    lines = [f"| variant | {' | '.join(f'{s}, {k}' for s in SEEDS for k in STORES)} |", f"|---{'|--:' * 8}|"]
    by_choices: dict[tuple[Choice, ...], dict[str, Finding]] = {}
    for found in singles:
        by_choices.setdefault(found.choices, {})[found.seed] = found
    for choices, of_seed in by_choices.items():
        cells = [cell for seed in SEEDS for cell in _cells(of_seed.get(seed))]
        name = " ".join(choices[0]) if choices else "as it is"
        lines.append(f"| {name} | {' | '.join(cells)} |")
    in_full = [found for found in combined if found.reason]
    lines += [
        "",
        f"Together: of {sum(1 for _ in together()):,} combinations of attention × position × other mixing "
        f"on {' and '.join(SEEDS)} the operators offer {len(combined)}, of which "
        f"{len(combined) - len(in_full)} are decoded from a cache, {len(in_full)} in full.",
        *(f"- {found.name}: in full, since {found.reason}" for found in in_full),
    ]
    return "\n".join(lines) + "\n"


def _cells(found: Finding | None) -> list[str]:
    if found is None:
        return ["–"] * len(STORES)
    return ["in full"] * len(STORES) if found.reason else [f"{size:,}" for size in found.sizes]


def main(argv: Sequence[str] | None = None) -> int:
    """Write the tables into the page, or check which variants they have; return 0 or 1."""
    parser = argparse.ArgumentParser(description="Find out which variants decode from a KV cache.")
    parser.add_argument("--check", action="store_true", help="only compare the variants of the page")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    sources = (alone,) if options.check else (alone, together)
    singles, *combined = [[found for one in source() if (found := finding(*one))] for source in sources]
    begin, end = (f"<!-- {word} of the tables -->\n" for word in ("begin", "end"))
    before, rest = PAGE.read_text(encoding="utf-8").split(begin)
    old, after = rest.split(end)
    if options.check:
        same = tables(singles, []).split("\n\n")[0] == old.split("\n\n")[0].rstrip("\n")
        print("as the page has it" if same else "the page is out of date: python -m benchmarks.cache_table")
        return 0 if same else 1
    PAGE.write_text(before + begin + tables(singles, *combined) + end + after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
