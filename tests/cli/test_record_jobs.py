"""The jobs that a run writes out: whose source is audited thoroughly, and where."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from foundry.cli.paired import side
from foundry.cli.prepared import prepare
from foundry.cli.record import Record
from foundry.cli.run import begin, plan_run
from foundry.seed import read_model
from foundry.trial.job import Job
from population import replay
from population.orders import Order

MICRO = Path(__file__).parents[2] / "experiments" / "micro.yaml"
ORDERS = {
    "T/9": Order(number=0, rung=0, seed=0),
    "T/3": Order(number=0, rung=1, seed=0),
    "T": Order(number=0, rung=2, seed=0),
    "confirmation": Order(number=0, rung=2, seed=7, split="val_confirm"),
    "test": Order(number=0, rung=2, seed=7, split="test"),
}


def jobs(tmp_path: Path, seed_model: str) -> dict[str, Job]:
    """Write out orders of a run from a seed model."""
    plan = plan_run(experiment_path=str(MICRO), seed_model=seed_model, tokens=9000)
    with closing(begin(str(tmp_path / "arena"), plan)) as run:
        search = replay.resumed(plan.search, plan.menu, run.ledger)
        record = Record(run.arena, run.ledger, search, plan, "process")
        return {name: record.job(replace(order, index=3), run.seed) for name, order in ORDERS.items()}


def test_what_operators_made_of_our_own_models_is_audited_thoroughly_at_the_last_rung(tmp_path: Path) -> None:
    thorough = {name: job.thorough for name, job in jobs(tmp_path, "v1").items()}
    assert thorough == {"T/9": False, "T/3": False, "T": True, "confirmation": True, "test": True}


def test_what_others_wrote_is_audited_thoroughly_everywhere_and_shares_no_score(tmp_path: Path) -> None:
    own = tmp_path / "model.py"
    own.write_text(read_model("v1"), "utf-8")
    found = jobs(tmp_path, str(own))
    assert all(job.thorough and job.foreign for job in found.values())


@pytest.mark.parametrize("foreign", [False, True])
def test_a_comparison_treats_what_others_wrote_as_a_run_does(tmp_path: Path, foreign: bool) -> None:
    own = tmp_path / "model.py"
    own.write_text(read_model("v1"), "utf-8")
    text = MICRO.read_text("utf-8")
    if foreign:
        text = text.replace("base_model: v1", f"base_model: {own}")
    trainings = side(prepare(text, str(MICRO)), 2, points=4).trainings
    assert {job.foreign for chain in trainings for job in chain} == {foreign}
    assert [job.thorough for job in trainings[0]] == [foreign, foreign, foreign, True]
