"""The same faults against Foundry, a plain ProcessPoolExecutor and OpenEvolve, side by side.

    python -m benchmarks.faults --openevolve /path/to/its/bin/python

OpenEvolve lives in a virtual environment of its own (`pip install openevolve torch`); without it its columns
are left out. Each run has five innocents, models like v1 that differ in how they start, and one fault after
the first of them. What is measured goes into a file as it comes (`--results`), so that a benchmark that was
interrupted goes on where it was; docs/faults.md is written from it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.faults import judge, page, referee, resuming
from benchmarks.faults.gallery import FAULTS, INNOCENTS, Fault, sources
from benchmarks.faults.referee import Contestant
from benchmarks.faults.task import Task
from foundry.data import dataset
from foundry.sandbox import level

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "faults.md"
FOUNDRY = "Foundry"


def contestants(openevolve: str) -> list[Contestant]:
    """Return whom there is to compare."""
    own = [
        Contestant(FOUNDRY, "foundry_pool", {}),
        Contestant("Foundry, gates off", "foundry_pool", {"gates": "off"}),
        Contestant("ProcessPoolExecutor", "executor_script", {}),
    ]
    if not openevolve:
        return own
    return [
        *own,
        Contestant("OpenEvolve", "openevolve_run", {"python": openevolve}),
        Contestant(
            "OpenEvolve, subprocess", "openevolve_run", {"python": openevolve, "evaluation": "subprocess"}
        ),
    ]


class Bench:
    """Measures what has not been measured yet, and keeps it."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.path = Path(options.results)
        self.found: dict[str, dict[str, Any]] = {}
        if self.path.exists():
            self.found = json.loads(self.path.read_text("utf-8"))

    def measure(self, contestant: Contestant, fault: Fault) -> None:
        """Run one contestant against one fault, if that is not known; once more if an innocent is lost."""
        key = judge.key(contestant.title, fault)
        body = self.found.get(key) or self._run(contestant, fault)
        if not fault.name and len(body["scores"]) < INNOCENTS:  # all else is compared with this
            raise SystemExit(
                f"{contestant.title} scores no innocents where there is no fault: {body['said']}"
            )
        missing = judge.lost(self.found, contestant.title, fault, body)
        if missing and "repeated" not in body:
            second = self._run(contestant, fault)
            better = judge.lost(self.found, contestant.title, fault, second) < missing
            body = {**(second if better else body), "repeated": True}
        if body is not self.found.get(key):
            self._keep(key, body)

    def _run(self, contestant: Contestant, fault: Fault) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as name:
            task = self._task(contestant, fault, Path(name))
            return asdict(referee.run(contestant, task, self.options.limit))

    def resume(self, contestant: Contestant) -> None:
        """Kill one contestant's run and take it up again."""
        key = f"{contestant.title} | {page.RESUMED}"
        if key in self.found or contestant.title == "Foundry, gates off":
            return
        with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            if contestant.title == FOUNDRY:
                found = resuming.evolve(folder, self._text(folder))
            else:
                whole, killed = (
                    self._task(contestant, FAULTS[1], folder / part) for part in ("whole", "killed")
                )
                found = resuming.take_up(contestant, whole, killed, self.options.limit)
        self._keep(key, asdict(found))

    def _task(self, contestant: Contestant, fault: Fault, folder: Path) -> Task:
        victim = referee.prepare(folder)
        return Task(
            sources=sources(fault, victim),
            text=self._text(folder),
            folder=str(folder),
            steps=fault.steps,
            seconds=self.options.seconds,
            options=contestant.options,
        )

    def _text(self, folder: Path) -> str:
        path = folder / "text.txt"
        path.write_text(dataset.read_text("shakespeare_char")[:20_000], encoding="utf-8")
        return str(path)

    def _keep(self, key: str, body: dict[str, Any]) -> None:
        self.found[key] = body
        self.path.write_text(json.dumps(self.found, indent=1), encoding="utf-8")
        print(key, json.dumps(body)[:400], flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--openevolve", default="", metavar="PYTHON", help="one that OpenEvolve is installed in"
    )
    parser.add_argument("--seconds", type=float, default=12, help="limit of one candidate")
    parser.add_argument("--limit", type=float, default=150, help="limit of a run, in seconds")
    parser.add_argument("--results", default="faults.json", metavar="FILE", help="what is measured already")
    parser.add_argument("--only", default="", metavar="A,B", help="faults by name, `resume` for the kill")
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args(arguments)
    bench, only = Bench(options), set(filter(None, options.only.split(",")))
    for fault in FAULTS:
        for contestant in contestants(options.openevolve):
            if not only or fault.name in only or (not fault.name and "none" in only):
                bench.measure(contestant, fault)
    for contestant in contestants(options.openevolve):
        if not only or "resume" in only:
            bench.resume(contestant)
    if not only:
        text = page.page(
            bench.found,
            contestants(options.openevolve),
            versions=versions(options),
            seconds=options.seconds,
            sandbox=level.choose("auto"),
        )
        options.page.write_text(text, encoding="utf-8")
        print(text)
    return 0


def versions(options: argparse.Namespace) -> str:
    """Say what was compared."""
    code = "import sys, importlib.metadata as m; print(' '.join(f'{n} {m.version(n)}' for n in sys.argv[1:]))"
    ours = [sys.executable, "-c", code, "torch"]
    said = f"Python {sys.version.split()[0]}, {_said(ours)}"
    if options.openevolve:
        said += f"; {_said([options.openevolve, '-c', code, 'openevolve', 'torch'])}"
    return said


def _said(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    raise SystemExit(main())
