"""What is kept of a run: outcomes in the ledger first, then for people in the arena's notes and refs."""

from __future__ import annotations

import shutil
from typing import Any

from foundry.cli.run import Plan
from foundry.trial.job import FUNCTIONS, SCRATCH, Job
from foundry.trial.outcome import Outcome, Rejected, Scored
from genome import Arena, Candidate
from population.ledger import Ledger
from population.orders import Order
from population.replay import work
from population.search import SEED_MODEL, Search, describe
from population.view import rung_name


class Record:
    """Turns orders into jobs, remembers their outcomes, and writes down what became of each candidate."""

    def __init__(self, arena: Arena, ledger: Ledger, search: Search, plan: Plan, sandbox: str) -> None:
        self.checkpoints = arena.state / "checkpoints"
        self._arena = arena
        self._ledger = ledger
        self._search = search
        self._plan = plan
        self._sandbox = sandbox
        bodies = [body for _, body, _ in ledger.outcomes()] + ledger.events("recalled")
        self._recorded = {work(body) for body in bodies}
        self._jobs: dict[tuple[int, int], Job] = {}  # one per training, at the rung last asked for
        self._keys: dict[int, str] = {}  # by order: the next rung may be asked for while one is under way
        self._handed_on: dict[int, str] = {}  # candidate -> training key of its first rung
        self._scores: dict[Candidate, dict[str, str | int]] = {}
        self._costs: dict[Candidate, dict[str, str | int]] = {}
        self._unwritten: set[Candidate] = set()

    def job(self, order: Order, candidate: Candidate) -> Job:
        """Write out an order as work for the pool."""
        files = self._arena.files(candidate)
        until, budget, unit = self._search.archive.spending.until(order.rung)
        job = Job(
            model=files["model.py"],
            experiment=files["experiment.yaml"],
            data=self._plan.data,
            seed=order.seed,
            until=until,
            budget=budget,
            unit=unit,
            split=order.split,
            gated=order.birth is not None or order.reduction is not None or order.index == 0,
            bounds=self._plan.bounds if order.number != SEED_MODEL else {},
            foreign=self._plan.foreign,
            begun=(order.number, order.seed) in self._jobs,
            inherits=self._inherited(order),
        )
        self._jobs[order.number, order.seed] = job
        self._keys[order.index] = job.key
        self._handed_on.setdefault(order.number, job.training_key)
        return job

    def _inherited(self, order: Order) -> str:
        """Name the training that a candidate takes its first weights from; fresh seeds start from scratch."""
        archive = self._search.archive
        searching = order.split == "val_search" and order.seed == archive.seed_of(order.number)
        if not (archive.settings.inherit and searching) or order.number == SEED_MODEL:
            return ""
        return self._handed_on[archive.births[order.number - 1].parent]

    def recall(self, order: Order, candidate: Candidate, job: Job) -> Outcome | None:
        """Return the outcome of a job that an earlier driver of this run has seen, if one has.

        The test split is opened for one champion; for another, the answer is that it has been.
        """
        if order.split == "test" and not self._opens_test(order, candidate):
            return Rejected(gate="test", reason="the test split has been opened for another champion")
        outcome = self._ledger.outcome(job.key)
        if outcome is not None:
            if (done := work(vars(order))) not in self._recorded:  # another candidate with the same program
                self._recorded.add(done)
                self._ledger.record("recalled", {**_body(order), "key": job.key})
            self._learn(order, candidate, outcome)
        return outcome

    def keep(self, order: Order, candidate: Candidate, outcome: Outcome) -> None:
        """Record a new outcome."""
        self._recorded.add(work(vars(order)))
        key = self._keys.pop(order.index)
        self._ledger.record_outcome(key, {**_body(order), "sandbox": self._sandbox}, outcome)
        self._learn(order, candidate, outcome)

    def _opens_test(self, order: Order, candidate: Candidate) -> bool:
        if order.number == SEED_MODEL:
            return True
        opened = self._ledger.events("test")
        if not opened:
            self._ledger.record("test", {"commit": candidate.commit})
        return not opened or opened[0]["commit"] == candidate.commit

    def write(self) -> None:
        """Bring the arena's notes up to date, and drop checkpoints that hardly anyone will resume."""
        written = sorted(self._unwritten, key=lambda candidate: candidate.number)
        self._arena.note({c: {**self._scores[c], **self._costs.get(c, {})} for c in written})
        self._unwritten.clear()
        open_fates = self._search.resumable()
        wanted = {job.training_key for (number, _), job in self._jobs.items() if number in open_fates}
        wanted |= {key for number, key in self._handed_on.items() if number in open_fates}
        if self.checkpoints.exists():
            for folder in sorted(self.checkpoints.iterdir()):
                if folder.name not in wanted and folder.name not in (FUNCTIONS, SCRATCH):
                    shutil.rmtree(folder)

    def _learn(self, order: Order, candidate: Candidate, outcome: Outcome) -> None:
        if isinstance(outcome, Rejected) and order.split != "test":
            self._arena.reject(candidate, gate=outcome.gate, reason=outcome.reason)
            return
        scores = self._scores.setdefault(candidate, {})
        where = f"{order.split} {rung_name(self._search, order.rung)} seed {order.seed}"
        if isinstance(outcome, Scored):
            scores[where] = f"{outcome.loss:.6f}"
            self._costs[candidate] = {
                "params": outcome.params,
                "train_flops": outcome.train_flops,
                "kv_bytes_per_token": outcome.kv_bytes_per_token,
                "tokens_per_second": round(outcome.tokens_per_second),
                "inherited": outcome.inherited,
                "data": self._plan.data,
                "sandbox": self._sandbox,
            }
        else:
            scores[where] = describe(outcome)
        self._unwritten.add(candidate)


def _body(order: Order) -> dict[str, Any]:
    return {name: value for name, value in vars(order).items() if name not in ("birth", "reduction")}
