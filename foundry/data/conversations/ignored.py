"""Which target a model's own loss leaves out: -100, as torch does, or -1, as nanoGPT does."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from foundry.data.batches import Batch, Batches
from foundry.data.conversations.turns import IGNORED
from foundry.errors import UserError

KNOWN = (IGNORED, -1)
_SAME = 1e-4  # of the loss: a z-loss over all positions stays below, cross-entropy of a position does not
_LENGTH = 16


@torch.no_grad()
def ignored_target(model: nn.Module, *, vocab_size: int, block_size: int) -> int:
    """Find out by trying, with a causal model on the CPU: a target left out makes later tokens irrelevant.

    Raises:
        UserError: the model leaves out neither.
    """
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(vocab_size, (2, min(block_size, _LENGTH)), generator=generator)
    tokens[1, 0] = tokens[0, 0]
    was_training = model.training
    model.eval()
    try:
        return next(number for number in KNOWN if _leaves_out(model, tokens, number))
    except StopIteration:
        raise UserError(
            "this model's loss counts every target; to train on the assistant's words alone it must leave "
            "out targets of -100 or -1, as F.cross_entropy(..., ignore_index=-1) does"
        ) from None
    finally:
        model.train(was_training)


def _leaves_out(model: nn.Module, tokens: torch.Tensor, number: int) -> bool:
    """Compare the loss of one first token after which different ones follow."""
    targets = torch.full_like(tokens[:1], number)
    targets[0, 0] = 0
    try:
        one, other = (float(model(row[None], targets)[1]) for row in tokens)
    except (IndexError, RuntimeError):  # out of bounds, as torch says of targets that it does not leave out
        return False
    return abs(one - other) <= _SAME * max(1.0, abs(one))  # False for NaN


@dataclass(frozen=True)
class Translated:
    """Batches whose unlearned targets are what the model leaves out."""

    batches: Batches
    ignored: int

    def draw(self, *, seed: int, step: int, total: int, batch_size: int, block_size: int) -> Batch:
        """Return what the batches give, with other targets where nothing is learned."""
        inputs, targets = self.batches.draw(
            seed=seed, step=step, total=total, batch_size=batch_size, block_size=block_size
        )
        return inputs, targets.masked_fill(targets == IGNORED, self.ignored)
