"""A plain ProcessPoolExecutor, as a careful person writes it in an hour.

Each candidate is a future with a time limit. Exceptions are caught one by one; a pool that breaks is made
anew, and so is one whose workers are all stuck; results are written to a file as they come, and a script
that is started again skips what the file has. What it does not have is what nobody writes in an hour: a
sandbox, limits on memory, or a score out of the candidate's reach.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.faults.research import evaluate
from benchmarks.faults.task import Task, answer


class Script:
    """The pool, and what is under way in it."""

    def __init__(self, task: Task) -> None:
        self.task = task
        known = json.loads(task.answers.read_text("utf-8")) if task.answers.exists() else {}
        self.scores: dict[str, float] = known.get("scores", {})
        self.said: dict[str, str] = known.get("said", {})
        self.waiting = [name for name in task.sources if name not in {**self.scores, **self.said}]
        self.running: dict[Future[float], tuple[str, float]] = {}
        self._renew()

    def run(self) -> None:
        """Score every candidate."""
        while self.waiting or self.running:
            while self.waiting and len(self.running) < self.task.workers - self.stuck:
                name = self.waiting.pop(0)
                future = self.pool.submit(
                    evaluate, self.task.sources[name], Path(self.task.text), self.task.steps
                )
                self.running[future] = (name, time.monotonic() + self.task.seconds)
            done, _ = wait(self.running, timeout=0.1, return_when=FIRST_COMPLETED)
            broken = [self._take(future) for future in done]
            self._give_up()
            if any(broken) or (self.stuck >= self.task.workers and not self.running):
                self._renew()
            answer(self.task, self.scores, self.said)
        self.pool.shutdown(wait=False, cancel_futures=True)

    def _renew(self) -> None:
        self.pool = ProcessPoolExecutor(self.task.workers)
        self.stuck = 0

    def _take(self, future: Future[float]) -> bool:
        """Note a result; say whether the pool is broken."""
        name, _ = self.running.pop(future)
        try:
            self.scores[name] = future.result()
        except Exception as error:
            self.said[name] = f"{type(error).__name__}: {error}"[:120]
            return type(error).__name__ == "BrokenProcessPool"
        return False

    def _give_up(self) -> None:
        """Count those that are late as failed; their processes cannot be had back."""
        for future, (name, deadline) in list(self.running.items()):
            if time.monotonic() > deadline:
                del self.running[future]
                self.said[name] = "TimeoutError"
                self.stuck += 1


if __name__ == "__main__":
    Script(Task.read(sys.argv[1])).run()
