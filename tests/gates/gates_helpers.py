"""Sources and subjects for the tests of the gates: the seed models, and v1 with something changed."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import foundry.models
from foundry.gates import Subject

CPU_RECIPE: dict[str, object] = {"n_layer": 4, "n_head": 4, "n_embd": 128, "block_size": 64, "vocab_size": 65}
SEEDS = sorted(path.stem for path in Path(foundry.models.__path__[0]).glob("*.py") if path.stem != "__init__")


@cache
def seed_source(name: str) -> str:
    return (Path(foundry.models.__path__[0]) / f"{name}.py").read_text(encoding="utf-8")


def v1_with(*changes: tuple[str, str]) -> str:
    """Return v1's source with each (old, new) replaced; every old text must be there."""
    source = seed_source("v1")
    for old, new in changes:
        assert old in source, f"v1 no longer holds {old!r}"
        source = source.replace(old, new)
    return source


def subject(source: str, **model_args: object) -> Subject:
    return Subject(source=source, model_args=CPU_RECIPE | model_args, batch_size=12)


Fault = tuple[str, str, list[tuple[str, str]]]  # the gate, words of its reason, changes to v1

# Lines of v1 that the faults change
BUILT = "        self.config = config\n"
BLOCK = "x = x + self.attn(self.ln_1(x))"
MASK = "is_causal=True"
NORMED = "x = self.transformer.ln_f(x)"
LOGITS = "logits = self.lm_head(x)"
LAST_LOGITS = "self.lm_head(x[:, [-1], :])"
ANSWER = "return logits, loss"


def built(*lines: str) -> tuple[str, str]:
    """Add lines to GPT.__init__."""
    return BUILT, BUILT + "".join(f"        {line}\n" for line in lines)


def normed(*lines: str) -> tuple[str, str]:
    """Add lines to GPT.forward, where `x` (B, T, n_embd) is about to become logits."""
    return NORMED, "\n        ".join([NORMED, *lines])


def block(*lines: str) -> tuple[str, str]:
    """Add lines to Block.forward, behind the attention."""
    return BLOCK, "\n        ".join([BLOCK, *lines])
