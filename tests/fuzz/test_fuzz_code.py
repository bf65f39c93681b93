"""Source that is nonsense, or nearly right: through parsing, operators, gates and trials, with no exception.

A few hundred mutants here; ten thousand in the nightly set, in pieces of a hundred: `-m slow -k piece-17`.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import resource
import signal
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from fuzz_code_helpers import MICRO, ROOT, STEP, Mutant, mutant
from fuzz_data_helpers import examples, looking
from hypothesis import given
from hypothesis import strategies as st

import operators
from foundry import gates
from foundry.data import dataset
from foundry.data.settings import Data
from foundry.errors import UserError
from foundry.training import experiment
from foundry.trial.job import Job, Limits
from foundry.trial.outcome import Crashed, Diverged, Outcome, OutOfMemory, Rejected, Scored, TimedOut
from foundry.trial.pool import Pool
from operators import Source
from operators.syntax.program import read_program

FEW, PIECES, PIECE = 240, 100, 100
SHARE = 10  # of those that a gate stops, one in so many is tried all the same
READ = 80  # of the few, those that an operator looks at
VOCABULARY = 65
KILLED = "killed"  # stands where the gate stands; gates bound neither time nor memory
PATIENCE = 3  # seconds of CPU for a mutant in the gates
LIMITS = Limits(seconds=60, memory=1200 << 20, file_size=64 << 20)
V1 = (ROOT / "foundry" / "models" / "v1.py").read_text("utf-8")


def numbers(piece: int) -> range:
    """Return the mutants of a nightly piece; none of them is among the few that each run sees."""
    return range(FEW + piece * PIECE, FEW + (piece + 1) * PIECE)


def check_reading(one: Mutant) -> None:
    """Ask of a mutant what the loop asks of every candidate before it is one."""
    read_program(one.source.model)
    rng = random.Random(one.number)
    operator = operators.lookup(rng.choice(sorted(operators.load())))
    if sites := operator.sites(one.source):
        operators.canonical(operators.apply(one.source, rng.choice(sites)))
    with contextlib.suppress(UserError):
        experiment.parse(one.source.experiment)


def gated(one: Mutant) -> str:
    """Return the gate that stops a mutant; nothing if it passes all."""
    try:
        parsed = experiment.parse(one.source.experiment)
    except UserError:
        return "experiment"
    args = {**parsed.model_args, "vocab_size": VOCABULARY}
    subject = gates.Subject(source=one.source.model, model_args=args, batch_size=parsed.training.batch_size)
    failure = gates.check(subject)
    if failure is None:
        return ""
    assert failure.reason.isprintable()
    assert 0 < len(failure.reason) <= 500, failure
    return failure.gate


def verdicts(mutants: list[Mutant]) -> list[str]:
    """Put mutants through the gates in a child, and in another one where one of them takes the child along.

    Raises AssertionError if the gates raise.
    """
    found: list[str] = []
    while len(found) < len(mutants):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            _answer(mutants[len(found) :], writing)
        os.close(writing)
        with os.fdopen(reading, encoding="utf-8") as answers:
            lines = [json.loads(line) for line in answers]
        os.waitpid(child, 0)
        raised = [(str(mutants[len(found) + i]), *line) for i, line in enumerate(lines) if len(line) > 1]
        assert not raised, "\n".join(raised[0])
        found += [line[0] for line in lines]
        if len(found) < len(mutants):
            found.append(KILLED)
    return found


def _answer(mutants: list[Mutant], writing: int) -> None:
    """Write one line for each mutant: the gate that stops it, or what the gates raised and where."""
    try:
        torch.set_num_threads(1)
        resource.setrlimit(resource.RLIMIT_DATA, (3 << 30, 3 << 30))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for one in mutants:
            signal.setitimer(signal.ITIMER_PROF, PATIENCE)  # ends the child
            signal.alarm(20 * PATIENCE)
            try:
                line = [gated(one)]
            except BaseException as error:
                line = [type(error).__name__, traceback.format_exc()]
            os.write(writing, json.dumps(line).encode() + b"\n")
    finally:
        os._exit(0)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "text.txt"
    path.write_text(dataset.read_text("shakespeare_char")[:5_000])
    return path


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    checkpoints = tmp_path_factory.mktemp("checkpoints")
    with Pool(2, checkpoints=checkpoints, limits=LIMITS, preload=MICRO) as opened:
        yield opened


def outcomes(pool: Pool, sources: dict[str, Source], text: Path) -> dict[str, Outcome]:
    """Train and score sources, two at a time."""
    sha256 = dataset.load(Data(dataset=str(text))).sha256
    waiting, found = list(sources.items()), dict[str, Outcome]()
    while len(found) < len(sources):
        while waiting and pool.free:
            name, source = waiting.pop(0)
            described = source.experiment.replace("shakespeare_char", str(text))
            job = Job(model=source.model, experiment=described, data=sha256, seed=0, until=STEP, budget=STEP)
            pool.start(name, job)
        found |= dict(pool.finished(timeout=1.0))
    return found


def check_trials(pool: Pool, mutants: list[Mutant], text: Path) -> dict[str, Outcome]:
    """Hold trials to it that each ends as one of the outcomes, and an innocent as ever; return how."""
    server = pool.server_pid
    readable = [one for one in mutants if _is_readable(one)]
    innocent = Source(V1, MICRO)
    found = outcomes(pool, {"before": innocent, **{str(one): one.source for one in readable}}, text)
    found |= outcomes(pool, {"after": innocent}, text)
    before, after = found.pop("before"), found.pop("after")
    assert isinstance(before, Scored)
    assert isinstance(after, Scored)
    assert before.loss == after.loss
    assert pool.server_pid == server
    for name, outcome in found.items():
        _check_outcome(name, outcome)
    pool._complaints.seek(0)  # where the server and the examiners, which run none of this, would complain
    said = pool._complaints.read().decode(errors="replace")
    assert "Traceback" not in said, said[-2000:]
    return found


def _is_readable(one: Mutant) -> bool:
    """Say whether an experiment could have become a job: the driver reads it before it makes one."""
    try:
        experiment.parse(one.source.experiment)
    except UserError:
        return False
    return True


def _check_outcome(name: str, outcome: Outcome) -> None:
    match outcome:
        case Rejected(reason=reason) | Crashed(reason=reason) | OutOfMemory(reason=reason):
            assert reason.isprintable(), (name, outcome)
            assert 0 < len(reason) <= 500, (name, outcome)
            assert "AssertionError" not in reason or isinstance(outcome, Rejected), (name, outcome)
        case Scored(loss=loss, params=params):
            assert 0 < loss < math.inf, (name, outcome)  # 1e13 where weight decay is 1e20
            assert params > 0, (name, outcome)
        case Diverged(step=step):
            assert step >= 0, (name, outcome)
        case TimedOut(seconds=seconds):
            assert seconds == LIMITS.seconds, (name, outcome)


@examples
def test_any_text_can_be_read(examples: int) -> None:
    """Random characters, and what is almost Python."""
    words = st.sampled_from(V1.split()) | st.sampled_from(["(", ")", ":", "\n", "\n    ", '"', "\\", "\0"])
    texts = st.text(max_size=80) | st.lists(words, max_size=40).map(" ".join)
    names = sorted(operators.load())

    @looking(examples)
    @given(texts, st.sampled_from(names))
    def check(text: str, name: str) -> None:
        source = Source(text, MICRO)
        program = read_program(text)
        assert program is None or program.module.code == text
        for edit in operators.lookup(name).sites(source)[:3]:
            operators.apply(source, edit)
        gates.run("syntax", gates.Subject(source=text, model_args={}, batch_size=1))

    check()


def test_mutants_are_the_same_each_time() -> None:
    assert [mutant(number) for number in range(20)] == [mutant(number) for number in range(20)]


def test_mutants_are_read_and_gated() -> None:
    mutants = [mutant(number) for number in range(FEW)]
    for one in mutants[:READ]:
        check_reading(one)
    found = Counter(verdicts(mutants))
    assert found.total() == FEW
    assert len(found) >= 8, found  # they get far enough to be stopped in many ways
    assert found[""] >= 5, found


def test_mutants_are_trained_and_scored(pool: Pool, text: Path) -> None:
    found = check_trials(pool, [mutant(number) for number in range(24)], text)
    assert len({type(outcome) for outcome in found.values()}) >= 2


@pytest.mark.slow
@pytest.mark.parametrize("piece", range(PIECES), ids=lambda piece: f"piece-{piece}")
def test_thousands_of_mutants(piece: int, pool: Pool, text: Path) -> None:
    mutants = [mutant(number) for number in numbers(piece)]
    for one in mutants:
        check_reading(one)
    stopped = verdicts(mutants)
    tried = [one for one, gate in zip(mutants, stopped, strict=True) if not gate or one.number % SHARE == 0]
    found = check_trials(pool, tried, text)
    print(f"piece {piece}:", dict(Counter(stopped)), dict(Counter(type(o).__name__ for o in found.values())))
    for name, outcome in found.items():
        if isinstance(outcome, Crashed):
            print(f"  {name}: {outcome.reason}")
