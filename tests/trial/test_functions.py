"""Programs that compute the same are known, and their scores are taken over without training again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from trial_helpers import STEP, V1, outcomes

from foundry.trial.job import Job
from foundry.trial.outcome import Scored
from foundry.trial.pool import Pool


@pytest.fixture(scope="module")
def job(job: Job) -> Job:
    return replace(job, until=6 * STEP)  # which is trained so far nowhere else


def one(pool: Pool, job: Job) -> Scored:
    outcome = outcomes(pool, job=job)["job"]
    assert isinstance(outcome, Scored), outcome
    return outcome


IDLE = V1.replace("        x = self.transformer.ln_f(x)", "        x = self.transformer.ln_f(x) * 1.0")


def test_another_text_that_computes_the_same_is_not_trained_again(pool: Pool, job: Job) -> None:
    first = one(pool, job)
    other = one(pool, replace(job, model=IDLE))
    assert IDLE != V1
    assert not first.recalled
    assert other.recalled
    assert (other.loss, other.function) == (first.loss, first.function)


@pytest.mark.parametrize(
    "change",
    [
        {"model": V1.replace("nn.GELU()", "nn.ReLU()")},
        {
            "model": V1.replace(
                "        x = self.transformer.ln_f(x)", "        x = self.transformer.ln_f(x) * 1.001"
            )
        },
        {"seed": 1},
        {"until": 7 * STEP},
        {"split": "val_confirm"},
    ],
)
def test_what_differs_in_anything_is(pool: Pool, job: Job, change: dict[str, object]) -> None:
    one(pool, job)
    other = one(pool, replace(job, **change))  # type: ignore[arg-type]
    assert not other.recalled


def test_settings_that_show_late_count_as_another_program(pool: Pool, job: Job) -> None:
    """A floor of the learning rate changes nothing in the first updates."""
    first = one(pool, job)
    assert "min_lr" in job.experiment
    lines = [line for line in job.experiment.splitlines() if "min_lr" not in line]
    index = next(i for i, line in enumerate(lines) if "learning_rate" in line)
    lines.insert(index + 1, "  min_lr: 0.00007")
    other = one(pool, replace(job, experiment="\n".join(lines) + "\n"))
    assert other.function != first.function
    assert not other.recalled


def test_budgets_in_flops_pay_for_as_many_updates_as_they_buy(pool: Pool, job: Job) -> None:
    in_tokens = one(pool, job)
    per_step = in_tokens.train_flops // 6
    in_flops = replace(job, until=6 * per_step + 1, budget=20 * per_step, unit="flops")
    assert one(pool, in_flops).loss == in_tokens.loss
    few = outcomes(pool, job=replace(in_flops, until=per_step - 1))["job"]
    assert getattr(few, "gate", None) == "budget"


def test_bounds_refuse_before_training(pool: Pool, job: Job) -> None:
    small = outcomes(pool, job=replace(job, bounds={"params": 1000}))["job"]
    assert getattr(small, "gate", None) == "max_params"
    assert isinstance(outcomes(pool, job=replace(job, bounds={"params": 10**9}))["job"], Scored)


def test_a_child_starts_from_its_parents_weights_where_they_fit(pool: Pool, job: Job) -> None:
    parent = replace(job, seed=9)
    scratch = one(pool, parent)
    child = replace(parent, inherits=parent.training_key)
    assert one(pool, child).loss < scratch.loss  # as much training again
    wider = replace(child, model=V1.replace("4 * config.n_embd", "5 * config.n_embd"))
    assert one(pool, wider).loss < one(pool, replace(wider, inherits="")).loss
    orphan = replace(parent, inherits="0" * 64)
    assert one(pool, orphan).loss == scratch.loss


def test_a_choice_of_training_text_is_scored_on_the_whole_of_the_validation_text(
    pool: Pool, job: Job
) -> None:
    whole = one(pool, job)
    chosen = job.experiment.replace("data:\n", "data:\n  filters: [min_length=40]\n")
    assert chosen != job.experiment
    other = one(pool, replace(job, experiment=chosen))
    assert not other.recalled
    assert other.loss != whole.loss
    assert other.bits_per_byte / other.loss == pytest.approx(whole.bits_per_byte / whole.loss)
