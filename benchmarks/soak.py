"""Hours of evolution among faults: are memory, descriptors, processes and disk flat?

    python -m benchmarks.soak --minutes 120

Two things go on side by side. A pool in this process is fed rogues (tests/rogues/gallery) and innocents, and
its server is killed now and then. Beside it evolve.py works on a micro experiment; its driver, its server or
one of its trials is killed at random moments, and the run is taken up again; a run that has ended begins
anew in another folder. What they hold is sampled all the while. At the end, each series with its slope:
least squares over the means of twelve blocks of the last three quarters, with a 95% interval. What moves by
less than 2% an hour is `flat`; where zero is in a wider interval, no slope is seen. Disks are filled by
rogues, up to what a trial may write; a full disk is the business of tests/recovery.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "rogues"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "recovery"))

from killing import adopting_orphans, descendants, name_of
from recovery_helpers import events
from rogues_helpers import V1, Rogue, gallery

from benchmarks import slopes
from foundry.data import dataset
from foundry.data.settings import Data
from foundry.trial.job import Job, Limits
from foundry.trial.outcome import Outcome, Scored
from foundry.trial.pool import Pool, PoolError

ROOT = Path(__file__).parents[1]
STEP = 8 * 32  # tokens
SEEDS = 10  # of innocents, so that there are not ever more different trainings
READING = 60  # seconds that a run which has just been taken up is left out of the samples of its driver
PATIENCE = 60  # seconds that processes are given to end when all is over
PLAN = ("--population", 4, "--tokens", 3000, "--finalists", 1, "--workers", 1)


@dataclass
class Tally:
    """What has happened, and what was wrong with it."""

    events: Counter[str] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list)


class Rogues:
    """A pool of our own, in which rogues meet innocents for as long as one likes."""

    def __init__(self, folder: Path, text: Path, limits: Limits, rng: random.Random, tally: Tally) -> None:
        micro = (ROOT / "experiments" / "micro.yaml").read_text("utf-8")
        self._experiment = micro.replace("shakespeare_char", str(text))
        sha256 = dataset.load(Data(dataset=str(text))).sha256
        self._job = Job(
            model=V1,
            experiment=self._experiment,
            data=sha256,
            seed=0,
            until=5 * STEP,
            budget=5 * STEP,
            foreign=True,  # nobody's score is recalled, the innocents' neither
        )
        self._rng = rng
        self._tally = tally
        self._serial = itertools.count()
        self._honest: dict[int, float] = {}
        self._seeds: dict[str, int] = {}
        self._news = True  # whether a trial has ended since the last kill
        self._places = _places(folder)
        self.checkpoints = folder / "checkpoints"
        self.pool = Pool(2, checkpoints=self.checkpoints, limits=limits, preload=self._experiment)
        fit = [rogue for rogue in gallery() if not _is_weak(rogue, self.pool.sandbox)]
        self._rogues = fit

    def turn(self) -> None:
        """Keep the pool busy, and take in what has ended."""
        while self.pool.free:
            name, job = self._next()
            self.pool.start(name, job)
        for name, outcome in self.pool.finished(timeout=0.25):
            self._end(name, outcome)

    def kill_server(self) -> None:
        """Kill the process that the pool started, if it has come to anything since the last time.

        A pool whose server dies again and again before any trial ends gives up, and on a machine that is
        short of time a server may take long to come to one.
        """
        if not self._news:
            return
        self._news = False
        os.kill(self.pool.server_pid, signal.SIGKILL)
        self._tally.events["kill of the pool's server"] += 1

    def _next(self) -> tuple[str, Job]:
        number = next(self._serial)
        if number % 2 == 0:
            name = f"{number} innocent"
            seed = self._seeds[name] = number // 2 % SEEDS
            return name, Job(**{**vars(self._job), "seed": seed})
        rogue = self._rng.choice(self._rogues)
        source = rogue.source(self._places)
        return f"{number} {rogue.name}", Job(**{**vars(self._job), "model": source, "gated": False})

    def _end(self, name: str, outcome: Outcome) -> None:
        self._tally.events[f"trial {type(outcome).__name__}"] += 1
        self._news = True
        if name not in self._seeds:
            return
        seed = self._seeds.pop(name)
        loss = outcome.loss if isinstance(outcome, Scored) else None
        if loss is None or self._honest.setdefault(seed, loss) != loss:
            self._tally.complaints.append(f"an innocent became {outcome}, not {self._honest.get(seed)}")


class Evolution:
    """A run of evolve.py, killed and taken up again, one arena after the other."""

    def __init__(self, folder: Path, text: Path, generations: int, rng: random.Random, tally: Tally) -> None:
        self._folder = folder
        self._plan = [*PLAN, "--generations", generations]
        self._experiment = folder / "micro.yaml"
        micro = (ROOT / "experiments" / "micro.yaml").read_text("utf-8")
        self._experiment.write_text(micro.replace("shakespeare_char", str(text)))
        self._rng = rng
        self._tally = tally
        self._number = 0
        self.begun = time.monotonic()
        self._start()

    @property
    def arena(self) -> Path:
        """Where the present run lives."""
        return self._folder / f"arena{self._number}"

    def turn(self) -> None:
        """Take the run up again if it was killed, begin another if it has ended."""
        code = self.process.poll()
        if code is None:
            return
        self._tally.events[f"evolve.py ended with {code}"] += 1
        if code not in (0, 2, -signal.SIGKILL):
            said = (self._folder / "evolve.log").read_text(errors="replace")[-600:]
            self._tally.complaints.append(f"evolve.py ended with {code}: {said}")
        if code == 2:
            self._repair()
        if code == 0:
            self._check()
            shutil.rmtree(self.arena)
            self._number += 1
        self._start()

    def kill(self) -> None:
        """Kill the driver, its server or one of a trial's processes."""
        below = descendants(self.process.pid)
        victim, what = self._rng.choice(
            [(self.process.pid, "driver")] * 2 + [(pid, "process below the driver") for pid in below]
        )
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
            self._tally.events[f"kill of evolve's {what}"] += 1

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()

    def _start(self) -> None:
        known = (self.arena / ".git" / "foundry" / "ledger.sqlite").exists()
        words = ["--resume", "--workers", 1] if known else [*self._plan, "--experiment", self._experiment]
        self._tally.events["evolve.py taken up" if known else "evolve.py begun"] += 1
        words += ["--seed", self._number] if not known else []
        with (self._folder / "evolve.log").open("w") as log:
            command = [sys.executable, str(ROOT / "evolve.py"), "--arena", str(self.arena), *map(str, words)]
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT
            )
        self.begun = time.monotonic()

    def _repair(self) -> None:
        command = [sys.executable, "-m", "foundry", "doctor", "--arena", str(self.arena), "--repair"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        self._tally.events["repair"] += 1
        if not (self.arena / ".git" / "foundry" / "ledger.sqlite").exists():
            shutil.rmtree(self.arena, ignore_errors=True)  # killed before there was a run
        elif done.returncode not in (0, 1):
            self._tally.complaints.append(f"doctor: {(done.stdout + done.stderr)[-400:]}")

    def _check(self) -> None:
        fsck = ["git", "-C", str(self.arena), "fsck", "--strict", "--no-dangling"]
        if subprocess.run(fsck, capture_output=True, check=False).returncode:
            self._tally.complaints.append(f"git fsck finds fault with {self.arena.name}")


class Samples:
    """Series of numbers, each with the seconds at which it was taken."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.series: dict[str, list[tuple[float, float]]] = {}
        self._strays: set[int] = set()

    def add(self, name: str, value: float) -> None:
        """Note one number."""
        self.series.setdefault(name, []).append((time.monotonic() - self.began, value))

    def take(self, rogues: Rogues, evolution: Evolution, folder: Path) -> None:
        """Look at everything once."""
        self.add("soak driver: RSS MB", _memory(os.getpid(), "VmRSS", "status"))
        self.add("soak driver: descriptors", _descriptors(os.getpid()))
        trees = {"pool": [rogues.pool.server_pid, *descendants(rogues.pool.server_pid)]}
        if time.monotonic() - evolution.begun > READING:
            self.add("evolve driver: RSS MB", _memory(evolution.process.pid, "VmRSS", "status"))
            self.add("evolve driver: descriptors", _descriptors(evolution.process.pid))
            trees["evolve"] = descendants(evolution.process.pid)
        for name, pids in trees.items():
            self.add(f"{name} trials: PSS MB", sum(_memory(pid, "Pss", "smaps_rollup") for pid in pids))
            self.add(f"{name} trials: descriptors", sum(map(_descriptors, pids)))
            self.add(f"{name} trials: processes", len(pids))
        kin = {evolution.process.pid, *trees["pool"], *descendants(evolution.process.pid)}
        strays = set(_reaped(set(descendants(os.getpid())) - kin))
        self.add("processes of nobody", len(strays & self._strays))  # who is there twice has not just begun
        self._strays = strays
        self.add("pool's checkpoints MB", _size(rogues.checkpoints) / 1e6)
        self.add("temporary files MB", _size(folder / "tmp") / 1e6)
        self.add("temporary folders", len(list((folder / "tmp").iterdir())))
        self.add("arena MB", _size(evolution.arena) / 1e6)
        if known := events(evolution.arena):
            self.add("arena KB per event", _size(evolution.arena) / 1e3 / known)

    def table(self) -> str:
        """Write each series as a row: first, last, most, slope and whether that is flat."""
        rows = [slopes.row(name, points) for name, points in self.series.items()]
        head = "| series | samples | mean | least | most | slope per hour (95%) | |"
        return "\n".join([head, "|---|--:|--:|--:|--:|--:|---|", *rows])


def _memory(pid: int, key: str, file: str) -> float:
    """Return MB of a process, 0 if it is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
            if line.startswith(f"{key}:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _descriptors(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def _reaped(strays: set[int]) -> list[int]:
    """Bury what has ended, and return what has not."""
    for pid in sorted(strays):
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
    return [pid for pid in strays if Path(f"/proc/{pid}").exists()]


def _left() -> list[str]:
    """Name the processes that are still there when they have had time to end."""
    ends = time.monotonic() + PATIENCE
    while (left := _reaped(set(descendants(os.getpid())))) and time.monotonic() < ends:
        time.sleep(0.1)
    return [name_of(pid) for pid in left]


def _size(folder: Path) -> int:
    total = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_blocks * 512
    return total


def _places(folder: Path) -> dict[str, object]:
    """Tell rogues where to do harm: places of their own, and a listener that is none."""
    victim = folder / "victim"
    victim.mkdir()
    names = {name: str(victim / name) for name in ("data", "ledger", "checkpoint", "memo")}
    return {
        **names,
        "mark": str(victim),
        "driver": os.getpid(),
        "secret": "a secret",
        "folders": [str(victim)],
        "tcp": 9,
        "udp": 9,
        "unix": f"soak-{os.getpid()}",
        "needles": [],
    }


def _is_weak(rogue: Rogue, sandbox: str) -> bool:
    order = ("process", "landlock", "bwrap")
    return order.index(rogue.level) > order.index(sandbox)


@contextlib.contextmanager
def _surroundings() -> Iterator[Path]:
    """Give a folder, and have all temporary files in it."""
    with tempfile.TemporaryDirectory(prefix="soak-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "tmp").mkdir()
        os.environ["TMPDIR"] = tempfile.tempdir = str(folder / "tmp")
        yield folder


def soak(options: argparse.Namespace) -> tuple[Samples, Tally]:
    """Let it all go on for as long as was asked."""
    rng, tally = random.Random(options.seed), Tally()
    limits = Limits(seconds=options.trial_seconds, memory=1200 << 20, file_size=64 << 20)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    with _surroundings() as folder, adopting_orphans():
        text = folder / "text.txt"
        text.write_text(dataset.read_text("shakespeare_char")[:20_000])
        rogues, evolution = (
            Rogues(folder, text, limits, rng, tally),
            Evolution(folder, text, options.generations, rng, tally),
        )
        samples = Samples()
        ends = samples.began + 60 * options.minutes
        sampled, struck = 0.0, samples.began + rng.expovariate(1 / options.strikes)
        try:
            while (now := time.monotonic()) < ends:
                rogues.turn()
                evolution.turn()
                if now - sampled >= options.every:
                    sampled = now
                    samples.take(rogues, evolution, folder)
                if now >= struck:
                    struck = now + rng.expovariate(1 / options.strikes)
                    evolution.kill() if rng.random() < 0.8 else rogues.kill_server()
        except (PoolError, KeyboardInterrupt) as error:  # what was seen until then is told all the same
            tally.complaints.append(
                f"{type(error).__name__} after {(now - samples.began) / 60:.0f} min: {error}"
            )
        evolution.close()
        rogues.pool.close()
        if left := _left():
            tally.complaints.append(f"{left} outlive everything")
    return samples, tally


def main(arguments: Sequence[str] | None = None) -> int:
    """Soak, and print the table; 1 if something was wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--generations", type=int, default=6, help="of each run of evolve.py")
    parser.add_argument("--every", type=float, default=5, help="seconds between samples")
    parser.add_argument("--strikes", type=float, default=45, help="mean seconds between kills")
    parser.add_argument("--trial-seconds", type=float, default=20, help="limit of a trial in the pool")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    samples, tally = soak(options)
    print(samples.table())
    print()
    for name, number in sorted(tally.events.items()):
        print(f"{number:6} {name}")
    print(f"{len(tally.complaints):6} complaints")
    for complaint in tally.complaints[:20]:
        print(f"       {complaint}")
    return int(bool(tally.complaints))


if __name__ == "__main__":
    raise SystemExit(main())
