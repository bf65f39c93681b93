"""Random walks: long rows of edits from the seed models, each put through the gates.

    python -m benchmarks.walks --walks 500 --record walks.jsonl

Walks begin by turns at each seed model and at each foreign source of the tests that has nanoGPT's interface.
A step draws an operator from those that find something, each as likely as the next, then one of its edits.
The child must parse, print back byte for byte and come out the same when its parent is read afresh; whether
it passes the gates is counted, by operator. The walk goes on from a child that passes, and otherwise from its
parent again.

With `--record` each walk is a line of a file as soon as it ends, and what the file has is not taken again.
"""

from __future__ import annotations

import argparse
import ast
import gc
import json
import multiprocessing
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path

import torch
import yaml

import operators
from foundry import gates
from foundry.errors import UserError
from foundry.training import experiment
from operators import Edit, Source
from operators.operator import offers
from operators.syntax.experiment import read_experiment
from operators.syntax.program import read_program

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "operator_walks.md"
FOREIGN = ("conv1d", "einsum", "encoder", "functional")  # those with GPTConfig, GPT and generate
SEEDS = ("v1", "v2", "gpt2", "llama", *FOREIGN)
LENGTH = 30
VOCABULARY = 65
OFTEN = 10  # walks from one writing of the page to the next
RENEWED = 50  # walks of a worker before another takes its place: executed sources stay in memory
BROKEN = "promise"  # stands where the gate stands, for what no operator may do

EXPERIMENT = """\
name: walk
base_model: {seed}
model_args:
  n_layer: 2
  n_head: 4
  n_embd: 64
  block_size: 32
  dropout: 0.0
  bias: false
training:
  batch_size: 8
  gradient_accumulation_steps: 1
  max_iters: 800
  optimizer: adamw
  learning_rate: 1.0e-3
  min_lr: 1.0e-4
  weight_decay: 0.1
  beta1: 0.9
  beta2: 0.99
  grad_clip: 1.0
  schedule: cosine
  warmup_iters: 40
  lr_decay_iters: 800
data:
  dataset: shakespeare_char
  split: standard
  filters: []
  dedupe: none
  curriculum: none
"""


class BrokenPromiseError(Exception):
    """An operator gave text that does not parse or print back, or differs from one time to the next."""


@dataclass(frozen=True)
class Step:
    """One proposal of a walk, and the gate that stopped it; no gate where it passed."""

    walk: int
    edit: Edit
    gate: str
    reason: str
    parent: Source
    child: Source


def start(walk: int) -> Source:
    """Return the seed model that a walk begins at, with an experiment that names every key it knows."""
    seed = SEEDS[(walk - 1) % len(SEEDS)]
    foreign, ours = ROOT / "tests" / "operators" / "sources" / f"{seed}.txt", ROOT / "foundry" / "models"
    path = foreign if seed in FOREIGN else ours / f"{seed}.py"
    model = path.read_text(encoding="utf-8")
    unknown = set(yaml.safe_load(EXPERIMENT)["model_args"]) - _fields(model)
    lines = EXPERIMENT.format(seed=seed).splitlines(keepends=True)
    return Source(model, "".join(line for line in lines if line.partition(":")[0].strip() not in unknown))


def _fields(model: str) -> set[str]:
    """Return the fields of a source's GPTConfig."""
    classes = {node.name: node for node in ast.parse(model).body if isinstance(node, ast.ClassDef)}
    fields = [node.target for node in classes["GPTConfig"].body if isinstance(node, ast.AnnAssign)]
    return {target.id for target in fields if isinstance(target, ast.Name)}


def steps(walk: int, length: int = LENGTH) -> Iterator[Step]:
    """Yield the steps of one walk, the same for the same number. Raises BrokenPromiseError."""
    rng = random.Random(f"walk/{walk}")
    source, menu = start(walk), dict[str, list[Edit]]()
    for _ in range(length):
        edit = draw(source, menu, rng)
        child = applied(source, edit)
        gate, reason = verdict(child)
        yield Step(walk, edit, gate, reason, source, child)
        if not gate:
            source, menu = child, {}


def draw(source: Source, menu: dict[str, list[Edit]], rng: random.Random) -> Edit:
    """Draw one of the operators that find something, then one of its edits.

    Only operators that are drawn are asked; `menu` remembers what they found.
    """
    names = sorted(operators.load())
    while True:  # some operator always finds something
        name = rng.choice(names)
        if name not in menu:
            menu[name] = operators.lookup(name).sites(source)
        if menu[name]:
            return rng.choice(menu[name])
        names.remove(name)


def applied(source: Source, edit: Edit) -> Source:
    """Apply an edit and hold the operator to what it promises of any source.

    Raises:
        BrokenPromiseError: the message names the edit.
        Exception: whatever an operator raises, which it never should.
    """
    child = operators.apply(source, edit)
    rewritten = child.model != source.model
    for cache in (read_experiment, offers, *([read_program] if rewritten else [])):
        cache.cache_clear()
    if operators.apply(source, edit) != child:
        raise BrokenPromiseError(f"{edit} gives something else the second time")
    program = read_program(child.model)
    if program is None:
        raise BrokenPromiseError(f"{edit} does not parse")
    if rewritten and program.module.code != child.model:
        raise BrokenPromiseError(f"{edit} does not print back as it was parsed")
    if _canonical(source) == _canonical(child):
        raise BrokenPromiseError(f"{edit} changes nothing")
    return child


_canonical = lru_cache(maxsize=8)(operators.canonical)  # a child's is asked for again where it is the parent


def verdict(source: Source) -> tuple[str, str]:
    """Return the gate that stops a source, and its reason; two empty texts if it passes all of them."""
    try:
        parsed = experiment.parse(source.experiment)
    except UserError as error:
        return "experiment", str(error)
    args = {**parsed.model_args, "vocab_size": VOCABULARY}
    return _examined(source.model, json.dumps(args), parsed.training.batch_size)


@lru_cache(maxsize=8)  # a good third of the edits change nothing that the gates see of their parent
def _examined(model: str, args: str, batch_size: int) -> tuple[str, str]:
    subject = gates.Subject(source=model, model_args=json.loads(args), batch_size=batch_size)
    failure = gates.check(subject)
    return (failure.gate, failure.reason) if failure is not None else ("", "")


@dataclass(frozen=True)
class Walk:
    """What is kept of a walk: each edit with the gate that stopped it, and how long it took."""

    number: int
    verdicts: tuple[tuple[Edit, str, str], ...]
    seconds: float


def take(walk: int, length: int, keep: Path | None) -> Walk:
    """Take one walk; what an operator raises ends it and is kept as a verdict."""
    torch.set_num_threads(1)
    gc.set_threshold(100_000, 20, 100)  # syntax trees are many objects without cycles
    began = time.process_time()
    verdicts: list[tuple[Edit, str, str]] = []
    try:
        for step in steps(walk, length):
            verdicts.append((step.edit, step.gate, step.reason))
            if step.gate and keep is not None:
                _save(step, len(verdicts), keep)
    except Exception as error:
        edit = Edit("(none)", "", "")
        verdicts.append((edit, BROKEN, f"{type(error).__name__}: {error}"))
    return Walk(walk, tuple(verdicts), time.process_time() - began)


def _save(step: Step, number: int, folder: Path) -> None:
    """Write the child that failed, its parent's model and its experiment, under a name that says which."""
    stem = f"{step.edit.operator}-{step.gate}-{step.walk:04d}-{number:02d}"
    said = f"# {step.edit}\n# {step.gate}: {step.reason}\n"
    (folder / f"{stem}.py").write_text(said + step.child.model, encoding="utf-8")
    (folder / f"{stem}.parent.py").write_text(step.parent.model, encoding="utf-8")
    (folder / f"{stem}.yaml").write_text(step.child.experiment, encoding="utf-8")


def page(walks: Sequence[Walk], length: int) -> str:
    """Return the table of pass rates as Markdown; walks that are not taken yet are not spoken of."""
    command = f"python -m benchmarks.walks --walks {len(walks)}"
    command += f" --first {walks[0].number}" if walks[0].number != 1 else ""
    command += f" --length {length}" if length != LENGTH else ""
    verdicts = [one for walk in walks for one in walk.verdicts]
    stopped: dict[str, Counter[str]] = defaultdict(Counter)
    for edit, gate, _ in verdicts:
        stopped[edit.operator][gate] += 1
    passed = sum(gates[""] for gates in stopped.values())
    seconds = sum(walk.seconds for walk in walks) / len(walks)
    head = (
        "# Random walks\n\n"
        f"Generated by `{command}`.\n\n"
        f"{len(walks)} walks of {length} edits, by turns from {', '.join(SEEDS)}: of {len(verdicts)} "
        f"proposals {passed} pass all gates, {passed / len(verdicts):.1%}. "
        f"{_broken(verdicts)} One walk takes {seconds:.1f} s of one core.\n\n"
        "An operator is drawn from those that find something, each as likely as the next, then one of its "
        "edits; a child that fails\na gate is counted and dropped, and the walk goes on from its parent.\n\n"
    )
    rows = [_row(name, stopped[name]) for name in _worst_first(stopped)]
    return head + "\n".join(["| operator | proposals | pass | stopped by |", "|---|--:|--:|---|", *rows, ""])


def _broken(verdicts: Iterable[tuple[Edit, str, str]]) -> str:
    reasons = [reason for _, gate, reason in verdicts if gate == BROKEN]
    if not reasons:
        return "No operator raised, and every child parsed, printed back and came out the same twice."
    return f"{len(reasons)} walks ended early: {'; '.join(sorted(set(reasons)))}."


def _worst_first(stopped: dict[str, Counter[str]]) -> list[str]:
    return sorted(stopped, key=lambda name: (stopped[name][""] / stopped[name].total(), name))


def _row(name: str, counts: Counter[str]) -> str:
    by = sorted(((gate, n) for gate, n in counts.items() if gate), key=lambda one: (-one[1], one[0]))
    said = ", ".join(f"{gate} {n}" for gate, n in by)
    return f"| {name} | {counts.total()} | {counts[''] / counts.total():.1%} | {said} |"


def recorded(record: Path | None) -> dict[int, Walk]:
    """Return the walks that a file holds, by number."""
    lines = record.read_text(encoding="utf-8").splitlines() if record is not None and record.is_file() else []
    walks = [json.loads(line) for line in lines]
    return {
        walk["number"]: Walk(
            walk["number"],
            tuple((Edit(**edit), gate, reason) for edit, gate, reason in walk["verdicts"]),
            walk["seconds"],
        )
        for walk in walks
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Take the walks and write the page as they end; return 1 if an operator broke a promise."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.walks", description=__doc__)
    parser.add_argument("--walks", type=int, default=500)
    parser.add_argument("--first", type=int, default=1, help="number of the first walk")
    parser.add_argument("--length", type=int, default=LENGTH, help="edits in a walk")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--page", type=Path, default=PAGE, help="where to write the table")
    parser.add_argument("--keep", type=Path, help="a folder for children that failed, with their parents")
    parser.add_argument("--record", type=Path, help="a file of walks, which are not taken twice")
    options = parser.parse_args(arguments)
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
    numbers = range(options.first, options.first + options.walks)
    done = {number: walk for number, walk in recorded(options.record).items() if number in numbers}
    left = [number for number in numbers if number not in done]
    for walk in _taken(left, options.workers, partial(take, length=options.length, keep=options.keep)):
        done[walk.number] = walk
        if options.record is not None:
            with options.record.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(walk)) + "\n")
        if len(done) % OFTEN == 0:
            options.page.write_text(page(_sorted(done), options.length), encoding="utf-8")
    options.page.write_text(page(_sorted(done), options.length), encoding="utf-8")
    print(page(_sorted(done), options.length))
    return int(any(gate == BROKEN for walk in done.values() for _, gate, _ in walk.verdicts))


def _taken(numbers: Sequence[int], workers: int, walk: Callable[[int], Walk]) -> Iterator[Walk]:
    """Take walks in processes of their own, in order."""
    with multiprocessing.get_context("spawn").Pool(workers, maxtasksperchild=RENEWED) as pool:
        yield from pool.imap(walk, numbers)


def _sorted(done: Mapping[int, Walk]) -> list[Walk]:
    return [done[number] for number in sorted(done)]


if __name__ == "__main__":
    raise SystemExit(main())
