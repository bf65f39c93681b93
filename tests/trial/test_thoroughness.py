"""How thoroughly a score is audited: what others wrote at every rung, what operators wrote at the last."""

from __future__ import annotations

from dataclasses import replace

import pytest
from trial_helpers import STEP, outcomes

from foundry.trial.job import Job
from foundry.trial.outcome import Rejected, Scored
from foundry.trial.pool import Pool

LAST = "        return logits, loss\n"
LEAKS = """        if not torch.is_grad_enabled() and targets is not None:
            logits = logits + 9 * F.one_hot(idx.roll(-1, 1), self.config.vocab_size)
"""
REMEMBERS = """            memory = self.__dict__.setdefault("memory", {})
            for row, answer in zip(idx.tolist(), logits):
                for end in range(1, len(row) + 1):
                    answer[end - 1] = memory.setdefault(tuple(row[:end]), answer[end - 1].clone())
"""
FULL = 5 * STEP  # what a job of these tests trains for


def leaking(job: Job, how: str) -> Job:
    """Let a model see the next token where it is scored, gates left out."""
    before, after = job.model.rsplit(LAST, 1)
    return replace(job, model=before + how + LAST + after)


@pytest.mark.parametrize("foreign", [False, True])
@pytest.mark.parametrize("budget", [4 * FULL, FULL])
def test_what_leaks_is_caught_at_every_rung(pool: Pool, job: Job, budget: int, foreign: bool) -> None:
    found = outcomes(pool, leaks=leaking(replace(job, budget=budget, foreign=foreign), LEAKS))["leaks"]
    assert isinstance(found, Rejected)
    assert found.gate == "causality at scoring"


def test_what_remembers_its_questions_passes_for_an_operators_work_below_the_last_rung_alone(
    pool: Pool, job: Job
) -> None:
    remembers = leaking(job, LEAKS + REMEMBERS)
    found = outcomes(
        pool,
        below=remembers,
        foreign=replace(remembers, foreign=True, seed=1),
        last=replace(remembers, budget=FULL),
    )
    assert isinstance(found["below"], Scored)  # nobody meant to: operators write no such thing
    assert {type(found[name]) for name in ("foreign", "last")} == {Rejected}
