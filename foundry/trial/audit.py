"""Does a trained model still do what the gates have seen: look at no later token, and at no other row?

While a model is scored, some rows of its batches are noted. In the end they are asked about again, mixed with
those of other batches, and half of them cut off at some place, with other tokens behind it. What is said up
to there must be what was said before.

A thorough audit notes rows of every batch, and asks a twin, made anew in a process of its own with nothing
but the same weights. The two cannot agree on anything in between, so neither memory of what was asked, nor
knowing that this is the second time, nor cheating in a few batches only helps. A light one, of a random share
of the batches, asks the same process: it finds what an operator brought about by accident, in candidates that
are audited thoroughly before one of them can be finalist or champion.

Which batches, rows and places is drawn from the text that is scored on and the job: the same in each
repetition, and unknown to a process that has never held that text.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from foundry.data.splits import Split
from foundry.trial.outcome import AT_SCORING, Rejected

SAME = 1e-3  # nats; what experts round differently with other tokens beside them stays below
SAME_ROUNDED = 0.1  # where a cache of few bits may round a value up that it rounded down before
LIGHT = 0.25  # of the batches
_UNLIKELY = -20.0  # nats; below it rounding counts for more than the difference
_POSITIONS = 4  # compared at the end of what is kept, and as many anywhere before

Ask = Callable[[Tensor], Tensor]  # inputs (B, T) -> logits (B, T, vocabulary)


@dataclass(frozen=True)
class Noted:
    """A row of an answer, to be compared at some positions."""

    batch: Tensor  # (B, T), inputs
    row: int
    place: int  # tokens that are kept, from the first
    positions: Tensor  # (n,), all below place
    said: Tensor  # (n, vocabulary), log-probabilities

    @property
    def time(self) -> int:
        """Tokens of the row."""
        return self.batch.size(1)

    def apart(self, answer: Tensor) -> float:
        """Return how many nats another answer (T, vocabulary) is away at most."""
        apart = (_normalised(answer[self.positions]) - self.said).abs().max().item()
        return apart if math.isfinite(apart) else math.inf


class Auditor:
    """Chooses what is audited, and compares."""

    def __init__(
        self,
        split: Split,
        job_key: str,
        vocab_size: int,
        rows: Sequence[int],  # of each batch
        same: float = SAME,
        share: float = 1.0,
    ) -> None:
        seed = hashlib.sha256(split.tokens.tobytes() + job_key.encode("ascii")).digest()[:8]
        self._generator = torch.Generator().manual_seed(int.from_bytes(seed, "big") >> 1)
        self._vocab_size = vocab_size
        self._batches = len(rows)
        drawn = torch.randperm(len(rows), generator=self._generator).tolist()
        drawn.sort(key=lambda batch: rows[batch] == 1)  # a row that nobody stands beside comes last
        self._chosen = frozenset(drawn[: math.ceil(share * len(rows))])
        self._by_twin = share == 1
        self._seen = 0
        self._same = same
        self._noted: list[Noted] = []

    def look(self, inputs: Tensor, logits: Tensor) -> None:
        """Note whole rows of an answer and beginnings of rows; of all batches together, enough for one."""
        self._seen += 1
        if self._seen - 1 not in self._chosen:
            return
        rows, time = inputs.shape
        pairs = math.ceil(rows / (2 * self._batches))
        for place in (length for _ in range(pairs) for length in (time, 1 + self._below(max(1, time - 1)))):
            anywhere = torch.randint(place, (_POSITIONS,), generator=self._generator)
            positions = torch.cat((torch.arange(max(0, place - _POSITIONS), place), anywhere))
            row = self._below(rows)
            said = _normalised(logits[row, positions])
            self._noted.append(Noted(inputs, row, place, positions, said))

    def verdict(self, ask: Ask) -> Rejected | None:
        """Ask again, a twin or whoever was asked before; say what is wrong, if it is wrong twice."""
        for time in sorted({noted.time for noted in self._noted}):
            noted = [noted for noted in self._noted if noted.time == time]
            most = max(len(each.batch) for each in noted)
            questions = math.ceil(len(noted) / most)
            rows = max(math.ceil(len(noted) / questions), math.ceil(most / 2))  # no larger than need be
            for start in range(0, len(noted), rows):
                wrong = self._wrong(noted[start : start + rows], rows, ask)
                if wrong and (wrong := self._wrong(wrong, rows, ask)):
                    return self._diagnosis(wrong, ask)
        return None

    def _wrong(self, noted: Sequence[Noted], rows: int, ask: Ask) -> list[Noted]:
        """Ask about rows among `rows`, with all else replaced; return those that are answered otherwise."""
        time = noted[0].time
        inputs = torch.randint(self._vocab_size, (rows, time), generator=self._generator)
        for row, each in enumerate(noted):
            original = each.batch[each.row]
            inputs[row] = torch.where(torch.arange(time) < each.place, original, self._others(original))
        answer = ask(inputs)
        return [each for row, each in enumerate(noted) if each.apart(answer[row]) > self._same]

    def _diagnosis(self, wrong: Sequence[Noted], ask: Ask) -> Rejected:
        first = min(wrong, key=lambda noted: noted.place < noted.time)  # a whole row, if there is one
        beside_others = self._others(first.batch)
        beside_others[first.row] = first.batch[first.row]
        if (apart := first.apart(ask(first.batch)[first.row])) > self._same:
            who = "a twin with the same weights" if self._by_twin else "asked again, it"
            gate = "state dict" if self._by_twin else "deterministic"
            return Rejected(gate=f"{gate}{AT_SCORING}", reason=f"{who} is {apart:.2g} nats apart")
        if first.place == first.time or first.apart(ask(beside_others)[first.row]) > self._same:
            reason = "what it says of a row changes when other rows of its batch do"
            return Rejected(gate=f"batch independence{AT_SCORING}", reason=reason)
        reason = f"what it says up to position {first.place - 1} changes when later tokens do"
        return Rejected(gate=f"causality{AT_SCORING}", reason=reason)

    def _others(self, inputs: Tensor) -> Tensor:
        """Replace every token by a different one."""
        steps = torch.randint(1, self._vocab_size, inputs.shape, generator=self._generator)
        return (inputs + steps) % self._vocab_size

    def _below(self, n: int) -> int:
        return int(torch.randint(n, (), generator=self._generator))


def _normalised(logits: Tensor) -> Tensor:
    """Return log-probabilities: what is added to all logits alike could hide any difference."""
    return F.log_softmax(logits, dim=-1).clamp(min=_UNLIKELY)
