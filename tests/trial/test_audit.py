"""Audits: an honest model passes whatever is drawn, each kind of cheat is named, and memory does not help."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from foundry.data.splits import Split
from foundry.trial.audit import LIGHT, Ask, Auditor
from foundry.trial.outcome import Rejected

VOCABULARY = 11
SPLIT = Split(np.arange(400, dtype="<u2") % VOCABULARY, 400)
TABLE = torch.randn(VOCABULARY, VOCABULARY, generator=torch.Generator().manual_seed(0))


def honest(idx: Tensor) -> Tensor:
    """Say what follows from the running mean of the tokens so far, (B, T) -> (B, T, vocabulary)."""
    seen = TABLE[idx].cumsum(dim=1)
    return seen / torch.arange(1, idx.size(1) + 1)[:, None]


def looks_ahead(idx: Tensor) -> Tensor:
    return honest(idx) + 3.0 * torch.nn.functional.one_hot(idx.roll(-1, 1), VOCABULARY)


def looks_aside(idx: Tensor) -> Tensor:
    return honest(idx) + honest(idx).mean(dim=0)


def only_sometimes(idx: Tensor) -> Tensor:
    """Look ahead in every second row of a batch."""
    both = honest(idx).clone()
    both[::2] = looks_ahead(idx)[::2]
    return both


def audited(model: Ask, twin: Ask, key: str, batches: int = 40, share: float = 1.0) -> Rejected | None:
    auditor = Auditor(SPLIT, key, VOCABULARY, [4] * batches, share=share)
    text = torch.Generator().manual_seed(1)
    for _ in range(batches):
        idx = torch.randint(VOCABULARY, (4, 16), generator=text)
        auditor.look(idx, model(idx))
    return auditor.verdict(twin)


@pytest.mark.parametrize("share", [1.0, LIGHT])
@pytest.mark.parametrize("batches", [1, 2, 31, 64, 100])
def test_an_honest_model_passes(batches: int, share: float) -> None:
    for key in map(str, range(20)):
        assert audited(honest, honest, key, batches, share) is None


@pytest.mark.parametrize(
    ("cheat", "gate"),
    [(looks_ahead, "causality at scoring"), (looks_aside, "batch independence at scoring")],
)
@pytest.mark.parametrize("share", [1.0, LIGHT])
@pytest.mark.parametrize("batches", [1, 40])
def test_a_cheat_is_caught_and_named(cheat: Ask, gate: str, batches: int, share: float) -> None:
    found = [audited(cheat, cheat, str(key), batches, share) for key in range(40)]
    caught = [each for each in found if each is not None]
    assert {each.gate for each in caught} == {gate}
    assert len(caught) == len(found)
    assert all(each.trained for each in caught)


def test_what_cheats_in_half_of_the_rows_is_caught() -> None:
    assert None not in [audited(only_sometimes, only_sometimes, str(key)) for key in range(60)]


def remembering(cheat: Ask) -> Callable[[Tensor], Tensor]:
    """Answer as before for every beginning that was asked before: as a model does that knows of audits."""
    said: dict[tuple[int, ...], Tensor] = {}

    def answer(idx: Tensor) -> Tensor:
        logits = cheat(idx).clone()
        for row, ids in enumerate(idx.tolist()):
            for place in range(len(ids)):
                logits[row, place] = said.setdefault(tuple(ids[: place + 1]), logits[row, place].clone())
        return logits

    return answer


def test_a_memory_of_what_was_asked_does_not_help() -> None:
    """The twin is another process: it remembers nothing that the model has seen."""
    found = [audited(remembering(looks_ahead), remembering(looks_ahead), str(key)) for key in range(40)]
    assert None not in found


def test_a_twin_that_says_something_else_shows_state_outside_the_weights() -> None:
    found = audited(lambda idx: honest(idx) * 2, honest, "key")
    assert found is not None
    assert found.gate == "state dict at scoring"


def test_nan_from_a_twin_is_a_difference() -> None:
    found = audited(honest, lambda idx: honest(idx) * torch.nan, "key")
    assert found is not None


@pytest.mark.parametrize("share", [1.0, LIGHT])
def test_a_share_of_the_batches_is_audited_and_another_one_in_another_job(share: float) -> None:
    def noted(key: str) -> set[int]:
        """Say which batches are asked about again, each of one token throughout."""
        auditor = Auditor(SPLIT, key, VOCABULARY, [2] * VOCABULARY, share=share)
        for token in range(VOCABULARY):
            idx = torch.full((2, 16), token)
            auditor.look(idx, honest(idx))
        again: list[int] = []

        def answer(idx: Tensor) -> Tensor:
            again.extend(row[0] for row in idx.tolist() if len(set(row)) == 1)
            return honest(idx)

        assert auditor.verdict(answer) is None
        return set(again)

    found = [noted(str(key)) for key in range(20)]
    assert {len(batches) for batches in found} == {math.ceil(share * VOCABULARY)}
    assert set.union(*found) == set(range(VOCABULARY))


def test_a_light_audit_of_few_batches_is_of_a_whole_one() -> None:
    """Not of what is left at the end, a row that nobody else stands beside."""

    def rows_together(key: str) -> int:
        auditor = Auditor(SPLIT, key, VOCABULARY, [4, 1], share=LIGHT)
        asked: list[int] = []
        for rows in (4, 1):
            idx = torch.zeros(rows, 16, dtype=torch.int64)
            auditor.look(idx, honest(idx))

        def answer(idx: Tensor) -> Tensor:
            asked.append(len(idx))
            return honest(idx)

        assert auditor.verdict(answer) is None
        return max(asked)

    assert min(rows_together(str(key)) for key in range(20)) > 1


def test_which_rows_are_audited_depends_on_the_text_and_the_job() -> None:
    def asked(split: Split, key: str) -> list[list[int]]:
        questions: list[list[int]] = []
        auditor = Auditor(split, key, VOCABULARY, [4] * 40)
        idx = torch.zeros(4, 16, dtype=torch.int64)
        for _ in range(40):
            auditor.look(idx, honest(idx))
        auditor.verdict(lambda altered: (questions.append(altered.flatten().tolist()), honest(altered))[1])
        return questions

    other = Split(SPLIT.tokens[::-1].copy(), 400)
    assert asked(SPLIT, "a") == asked(SPLIT, "a")
    assert asked(SPLIT, "a") != asked(SPLIT, "b")
    assert asked(SPLIT, "a") != asked(other, "a")
