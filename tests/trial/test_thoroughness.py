"""How thoroughly a score is audited: what others wrote at every rung, what operators wrote at the last."""

from __future__ import annotations

from dataclasses import replace

import pytest
from trial_helpers import EXPERIMENT, STEP, outcomes

from foundry.data import dataset
from foundry.data.settings import Data
from foundry.trial.job import Job
from foundry.trial.outcome import Rejected, Scored
from foundry.trial.pool import Pool

LAST = "        return logits, loss\n"
SCORED = "        if not torch.is_grad_enabled() and targets is not None:\n"
AHEAD = f"{SCORED}            logits = logits + 9 * F.one_hot(idx.roll(-1, 1), self.config.vocab_size)\n"
ASIDE = f"{SCORED}            logits = logits + logits.mean(dim=0)\n"
ROLLS = f"{SCORED}            logits = logits + torch.rand_like(logits)\n"
REMEMBERS = """            memory = self.__dict__.setdefault("memory", {})
            for row, answer in zip(idx.tolist(), logits):
                for end in range(1, len(row) + 1):
                    answer[end - 1] = memory.setdefault(tuple(row[:end]), answer[end - 1].clone())
"""
FULL = 5 * STEP  # what a job of these tests trains for


@pytest.fixture(scope="module")
def longer(job: Job, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A text with several batches to be scored on, the last of them short."""
    text = tmp_path_factory.mktemp("longer") / "text.txt"
    text.write_text(dataset.read_text("shakespeare_char")[:200_000])
    sha256 = dataset.load(Data(dataset=str(text))).sha256
    return replace(job, experiment=EXPERIMENT.replace("shakespeare_char", str(text)), data=sha256)


def changed(job: Job, how: str) -> Job:
    """Let a model do something else where it is scored, gates left out."""
    before, after = job.model.rsplit(LAST, 1)
    return replace(job, model=before + how + LAST + after)


@pytest.mark.parametrize("foreign", [False, True])
@pytest.mark.parametrize("budget", [4 * FULL, FULL])
def test_what_leaks_is_caught_at_every_rung(pool: Pool, longer: Job, budget: int, foreign: bool) -> None:
    job = replace(longer, budget=budget, foreign=foreign)
    found = outcomes(pool, ahead=changed(job, AHEAD), aside=changed(job, ASIDE), rolls=changed(job, ROLLS))
    gates = {name: outcome.gate for name, outcome in found.items() if isinstance(outcome, Rejected)}
    assert gates == {
        "ahead": "causality at scoring",
        "aside": "batch independence at scoring",
        "rolls": "state dict at scoring" if job.thorough else "deterministic at scoring",
    }


def test_what_remembers_its_questions_passes_for_an_operators_work_below_the_last_rung_alone(
    pool: Pool, longer: Job
) -> None:
    remembers = changed(longer, AHEAD + REMEMBERS)
    found = outcomes(
        pool,
        below=remembers,
        foreign=replace(remembers, foreign=True, seed=1),
        last=replace(remembers, budget=FULL),
    )
    assert isinstance(found["below"], Scored)  # nobody meant to: operators write no such thing
    for name in ("foreign", "last"):
        outcome = found[name]
        assert isinstance(outcome, Rejected)
        assert outcome.gate.endswith("at scoring")  # what it remembers may show first
