"""The rogues' gallery: every hostile or broken model is contained, typed, and harms no innocent neighbour."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rogues_helpers import LEVELS, STEPS, V1, Rogue, gallery
from rogues_surroundings import SECRET, Surroundings

from foundry.data import dataset
from foundry.data.settings import Data
from foundry.trial.job import Job, Limits
from foundry.trial.outcome import Outcome, Scored
from foundry.trial.pool import Pool

EXPERIMENT = (Path(__file__).parents[2] / "experiments" / "micro.yaml").read_text("utf-8")
STEP = 8 * 32  # tokens
ROGUES = gallery()
LIMITS = Limits(seconds=4, memory=1200 << 20, file_size=64 << 20)
WORKERS = 4


class Yard:
    """A pool in which rogues meet innocents."""

    def __init__(self, pool: Pool, surroundings: Surroundings, job: Job) -> None:
        self.pool = pool
        self.surroundings = surroundings
        self._job = job
        self._places = surroundings.places(dataset.load(Data(dataset=str(surroundings.text))))
        self._apart = itertools.count()
        self.honest = {STEPS: _loss(self._outcomes({"v1": [self._trial(V1, STEPS)]})["v1"])}
        self._own = surroundings.processes()

    def complaints(self, company: list[Rogue], gates: str) -> list[str]:
        """Run rogues beside an innocent and say what came otherwise than it should."""
        self.surroundings.plant()
        jobs = {rogue.name: self._trials(rogue, gates == "gated") for rogue in company}
        found = self._outcomes({**jobs, "innocent": [self._trial(V1, STEPS)]})
        said = (
            [] if _loss(found.pop("innocent")) == self.honest[STEPS] else ["the innocent has another score"]
        )
        for rogue in company:
            expected = rogue.expects(gates)
            assert expected is not None
            if wrong := expected.complaint(found[rogue.name], self._honest_after(rogue)):
                said.append(f"{rogue.name}: {wrong}")
        said += self.surroundings.complaints()
        return said + [f"process {pid} is left" for pid in self.surroundings.left_beside(self._own)]

    def score_after(self, rogue: Rogue) -> float:
        """Run v1 for the very work that a rogue was given before, when it could have left a score for it."""
        job = self._trials(rogue, False)[0]
        self._outcomes({rogue.name: [job]})
        return _loss(self._outcomes({"v1": [replace(job, model=V1, foreign=False)]})["v1"])

    def _honest_after(self, rogue: Rogue) -> float:
        steps = rogue.rungs()[-1]
        if steps not in self.honest:
            self.honest[steps] = _loss(self._outcomes({"v1": [self._trial(V1, steps)]})["v1"])
        return self.honest[steps]

    def _trials(self, rogue: Rogue, gated: bool) -> list[Job]:
        source = rogue.source(self._places)
        first, *others = (self._trial(source, steps, gated=gated) for steps in rogue.rungs())
        return [first, *(replace(other, budget=first.budget, gated=False) for other in others)]

    def _trial(self, source: str, steps: int, *, gated: bool = False) -> Job:
        """Make a job of its own, trained and audited as what others wrote is: no score is recalled."""
        budget = 400 * STEP + next(self._apart)  # a few tokens more to spend make no step more
        return replace(self._job, model=source, until=steps * STEP, budget=budget, gated=gated, foreign=True)

    def _outcomes(self, trials: dict[str, list[Job]]) -> dict[str, Outcome]:
        """Run the trials of each to the last, as many at a time as the pool takes."""
        waiting = [(name, list(jobs)) for name, jobs in trials.items()]
        left: dict[str, list[Job]] = {}
        found: dict[str, Outcome] = {}
        deadline = time.monotonic() + 120
        while len(found) < len(trials):
            assert time.monotonic() < deadline, f"no news of {trials.keys() - found.keys()}"
            while waiting and self.pool.free:
                name, jobs = waiting.pop()
                left[name] = jobs[1:]
                self.pool.start(name, jobs[0])
            for name, outcome in self.pool.finished(timeout=0.5):
                if left[name]:
                    waiting.append((name, left.pop(name)))
                else:
                    found[name] = outcome
        return found


def _loss(outcome: Outcome) -> float:
    assert isinstance(outcome, Scored), outcome
    return outcome.loss


STRONGEST = "auto"


@pytest.fixture(
    scope="module", params=[STRONGEST, *(pytest.param(level, marks=pytest.mark.slow) for level in LEVELS[:2])]
)
def yard(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    root = tmp_path_factory.mktemp("rogues").resolve()
    surroundings = Surroundings(root, dataset.read_text("shakespeare_char")[:100_000])
    experiment = EXPERIMENT.replace("shakespeare_char", str(surroundings.text))
    sha256 = dataset.load(Data(dataset=str(surroundings.text))).sha256
    job = Job(model=V1, experiment=experiment, data=sha256, seed=0, until=STEP, budget=STEP)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(root / "home"))
        patch.setenv("FOUNDRY_TEST_SECRET", SECRET)
        with Pool(
            WORKERS,
            checkpoints=surroundings.checkpoints,
            limits=LIMITS,
            preload=experiment,
            sandbox=request.param,
        ) as pool:
            yield Yard(pool, surroundings, job)
    surroundings.close()


def companies(gates: str) -> list[list[Rogue]]:
    """Those that fill their time share it, those that are soon over do not wait for them."""
    found: list[list[Rogue]] = []
    for slow, size in ((True, WORKERS - 1), (False, 8)):
        rogues = [
            rogue
            for rogue in ROGUES
            if (expected := rogue.expects(gates)) and ("TimedOut" in expected.kinds) == slow
        ]
        found += [rogues[start : start + size] for start in range(0, len(rogues), size)]
    return found


def _name(company: list[Rogue]) -> str:
    return "+".join(rogue.name for rogue in company)


@pytest.mark.parametrize("company", companies("bare"), ids=_name)
def test_contained_without_any_gate(yard: Yard, company: list[Rogue]) -> None:
    tried = [rogue for rogue in company if LEVELS.index(rogue.level) <= LEVELS.index(yard.pool.sandbox)]
    if not tried:
        pytest.skip(f"contained from {company[0].level} on")
    said = yard.complaints(tried, "bare")
    assert not said, "\n".join(said)


@pytest.mark.parametrize("company", companies("gated"), ids=_name)
def test_stopped_behind_the_gates(yard: Yard, company: list[Rogue]) -> None:
    said = yard.complaints(company, "gated")
    assert not said, "\n".join(said)


def test_no_rogue_chooses_the_score_of_another_program(yard: Yard) -> None:
    (rogue,) = (rogue for rogue in ROGUES if rogue.name == "claims_anothers_function")
    assert yard.score_after(rogue) == yard.honest[STEPS]


def test_there_are_enough() -> None:
    assert len(ROGUES) >= 40
