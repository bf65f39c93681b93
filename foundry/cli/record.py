"""What is kept of a run: outcomes in the ledger first, then for people in the arena's notes and refs."""

from __future__ import annotations

import shutil

from foundry.trial.job import Job
from foundry.trial.outcome import Outcome, Rejected, Scored
from genome import Arena, Candidate
from population.ledger import Ledger
from population.search import Order, Search, describe
from population.view import rung_name


class Record:
    """Turns orders into jobs, remembers their outcomes, and writes down what became of each candidate."""

    def __init__(self, arena: Arena, ledger: Ledger, search: Search, data: str) -> None:
        self.checkpoints = arena.state / "checkpoints"
        self._arena = arena
        self._ledger = ledger
        self._search = search
        self._data = data
        self._jobs: dict[tuple[int, int], Job] = {}  # one per training, at the rung last asked for
        self._scores: dict[Candidate, dict[str, str | int]] = {}
        self._costs: dict[Candidate, dict[str, str | int]] = {}
        self._unwritten: set[Candidate] = set()

    def job(self, order: Order, candidate: Candidate) -> Job:
        """Write out an order as work for the pool."""
        files = self._arena.files(candidate)
        job = Job(
            model=files["model.py"],
            experiment=files["experiment.yaml"],
            data=self._data,
            seed=order.seed,
            tokens=self._search.settings.budget(order.rung),
            budget=self._search.settings.tokens,
            split=order.split,
            gated=order.birth is not None or order.index == 0,
        )
        self._jobs[order.number, order.seed] = job
        return job

    def recall(self, order: Order, candidate: Candidate, job: Job) -> Outcome | None:
        """Return the outcome of a job that an earlier driver of this run has seen, if one has."""
        outcome = self._ledger.outcome(job.key)
        if outcome is not None:
            self._learn(order, candidate, outcome)
        return outcome

    def keep(self, order: Order, candidate: Candidate, outcome: Outcome) -> None:
        """Record a new outcome."""
        job = self._jobs[order.number, order.seed]
        body = {name: value for name, value in vars(order).items() if name != "birth"}
        self._ledger.record_outcome(job.key, body, outcome)
        self._learn(order, candidate, outcome)

    def write(self) -> None:
        """Bring the arena's notes up to date, and drop checkpoints that hardly anyone will resume."""
        written = sorted(self._unwritten, key=lambda candidate: candidate.number)
        self._arena.note({c: {**self._scores[c], **self._costs.get(c, {})} for c in written})
        self._unwritten.clear()
        open_fates = self._search.resumable()
        wanted = {job.training_key for (number, _), job in self._jobs.items() if number in open_fates}
        if self.checkpoints.exists():
            for folder in sorted(self.checkpoints.iterdir()):
                if folder.name not in wanted:
                    shutil.rmtree(folder)

    def _learn(self, order: Order, candidate: Candidate, outcome: Outcome) -> None:
        if isinstance(outcome, Rejected):
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
                "data": self._data,
            }
        else:
            scores[where] = describe(outcome)
        self._unwritten.add(candidate)
