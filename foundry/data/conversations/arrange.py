"""How the conversations of a data set are put into rows for one model."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from foundry.data.batches import Batches
from foundry.data.conversations.ignored import Translated, ignored_target
from foundry.data.conversations.isolate import LEAK, isolable, isolate
from foundry.data.conversations.rows import Packed, Single, bins_of, useful
from foundry.data.conversations.turns import Turns
from foundry.data.tokenizer import Tokenizer
from foundry.errors import UserError


@dataclass(frozen=True)
class Arranged:
    """What to draw from, and a sentence for each thing that a person should know about it."""

    batches: Batches
    notes: tuple[str, ...]


def arrange(
    model: nn.Module, turns: Turns, tokenizer: Tokenizer, *, block_size: int, single: str = ""
) -> Arranged:
    """Choose rows for a model that is still on the CPU and not compiled.

    Several conversations share a row if the model can be kept from seeing from one into the next; it is then
    changed in place. If it cannot, or `single` gives a reason against it, each has a row of its own, which is
    right for every causal model.

    Raises:
        UserError: nothing is learned within a block, or the model's loss counts every target.
    """
    chosen = useful(turns, block_size)
    if not len(chosen):
        raise UserError(f"no conversation has a word of the assistant within a block of {block_size} tokens")
    ignored = ignored_target(model, vocab_size=tokenizer.vocab_size, block_size=block_size)
    notes = list(_cut(turns, len(chosen), block_size))
    if reason := single or _packing(model, tokenizer, block_size):
        notes.append(f"one conversation in a row: {reason}")
        return Arranged(Translated(Single(turns, chosen, tokenizer.end), ignored), tuple(notes))
    bins = bins_of(turns, chosen.tolist(), block_size)
    notes.append(f"{len(chosen):,} conversations in {len(bins):,} rows of {block_size} tokens")
    return Arranged(Translated(Packed(turns, bins, tokenizer.end), ignored), tuple(notes))


def _packing(model: nn.Module, tokenizer: Tokenizer, block_size: int) -> str:
    """Isolate the texts of a row in a model, or say why that cannot be."""
    if not getattr(tokenizer, "special_tokens", {}):
        return "the tokenizer has no token that stands for the end of a text alone"
    far = isolable(model, vocab_size=tokenizer.vocab_size, end=tokenizer.end, block_size=block_size)
    if far > LEAK:
        return f"this model would see from one into the next (its logits move by {far:.2g})"
    isolate(model, tokenizer.end)
    return ""


def _cut(turns: Turns, useful: int, block_size: int) -> list[str]:
    notes = []
    if long := int((turns.lengths > block_size + 1).sum()):
        notes.append(f"{long:,} conversations are longer than a block of {block_size} tokens and are cut")
    if useless := len(turns) - useful:
        notes.append(f"{useless:,} conversations have no word of the assistant in it and are left out")
    return notes
