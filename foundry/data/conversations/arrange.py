"""How conversations are put into rows: what a model allows, and what the data then gives."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from foundry.data.batches import Batches
from foundry.data.conversations.ignored import ignored_target
from foundry.data.conversations.isolate import LEAK, PartsError, isolable, isolate
from foundry.data.conversations.rows import Packed, Single, bins_of, useful
from foundry.data.conversations.turns import Turns
from foundry.data.tokenizer import Tokenizer
from foundry.errors import UserError


@dataclass(frozen=True)
class Marks:
    """What must be known of the tokens of conversations to keep one from seeing into the next."""

    vocab_size: int
    end: int  # twice in a row between two conversations
    special: bool  # whether it stands for the end of a text alone

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Marks:
        """Read them off a tokenizer."""
        special = bool(getattr(tokenizer, "special_tokens", {}))
        return cls(tokenizer.vocab_size, tokenizer.end, special)


@dataclass(frozen=True)
class Arranged:
    """What to draw from, and a sentence for each thing that a person should know about it."""

    batches: Batches
    notes: tuple[str, ...]


def read_by(model: nn.Module, marks: Marks, *, block_size: int, single: str = "") -> tuple[int, str]:
    """Return the target that a model's loss leaves out, and why each conversation needs a row of its own.

    Several share a row, and there is no reason, if the model can be kept from seeing from one into the next;
    it is then changed in place. `single` gives a reason from outside. The model is on the CPU and not
    compiled.

    Raises:
        UserError: the model's loss counts every target.
    """
    ignored = ignored_target(model, vocab_size=marks.vocab_size, block_size=block_size)
    return ignored, single or _packing(model, marks, block_size)


def rows(turns: Turns, end: int, *, block_size: int, single: str) -> Arranged:
    """Put conversations into rows, of which a model need not be known: one in each if there is a reason.

    Raises:
        UserError: nothing is learned within a block.
    """
    chosen = useful(turns, block_size)
    if not len(chosen):
        raise UserError(f"no conversation has a word of the assistant within a block of {block_size} tokens")
    notes = list(_cut(turns, len(chosen), block_size))
    if single:
        notes.append(f"one conversation in a row: {single}")
        return Arranged(Single(turns, chosen, end), tuple(notes))
    bins = bins_of(turns, chosen.tolist(), block_size)
    notes.append(f"{len(chosen):,} conversations in {len(bins):,} rows of {block_size} tokens")
    return Arranged(Packed(turns, bins, end), tuple(notes))


def _packing(model: nn.Module, marks: Marks, block_size: int) -> str:
    """Isolate the texts of a row in a model, or say why that cannot be."""
    if not marks.special:
        return "the tokenizer has no token that stands for the end of a text alone"
    try:
        far = isolable(model, vocab_size=marks.vocab_size, end=marks.end, block_size=block_size)
    except PartsError as error:
        return f"this model cannot be kept from seeing from one into the next: {error}"
    if far > LEAK:
        return f"this model would see from one into the next (its logits move by {far:.2g})"
    isolate(model, marks.end)
    return ""


def _cut(turns: Turns, useful: int, block_size: int) -> list[str]:
    notes = []
    if long := int((turns.lengths > block_size + 1).sum()):
        notes.append(f"{long:,} conversations are longer than a block of {block_size} tokens and are cut")
    if useless := len(turns) - useful:
        notes.append(f"{useless:,} conversations have no word of the assistant in it and are left out")
    return notes
