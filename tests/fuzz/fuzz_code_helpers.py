"""Mutants: sources and experiments that nobody would write, each made from its number alone.

A mutant begins as one of the seed models or of the foreign sources of the operators' tests, with the micro
experiment, and suffers one to three rounds of damage. Many no longer parse, many parse and mean nonsense,
some are models.
"""

from __future__ import annotations

import ast
import copy
import functools
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import operators
from operators import Source

ROOT = Path(__file__).parents[2]
FOREIGN = ROOT / "tests" / "operators" / "sources"
MICRO = (ROOT / "experiments" / "micro.yaml").read_text("utf-8")
STEP = 8 * 32  # tokens of an update, where nothing has changed them
_WORD = re.compile(r"\w+|\s+|[^\w\s]")
_NUMBER = re.compile(r"(?<=: )\S+$", re.MULTILINE)  # or any other value
_ODD = (
    *("0", "-1", "2", "1e308", "10**12", "None", "True", "...", "''", "()", "lambda: 0", "yield", "await x"),
    *("*", "**", ":=", "@", "\x00", "\ufeff", "é", "\u202e", "\t", "\n", "'''", "\\", "#", "self", "targets"),
    *("nonlocal x", "global x", "class", "async", "return", "raise", "del x", "__class__", "super", "torch"),
)
_ODD_VALUES = (
    *(
        "0",
        "-1",
        "1",
        "2",
        "3",
        "4",
        "7",
        "64",
        "1000",
        "1.0e-30",
        "1.0e-3",
        "0.5",
        "1.0e+30",
        ".nan",
        ".inf",
    ),
    *("1000000000", "99999999999999999999", "true", "null", '"64"', "[]", "''", "adamw", "muon", "cosine"),
)


@dataclass(frozen=True)
class Mutant:
    """A source, and how it came to be."""

    number: int
    source: Source
    history: tuple[str, ...]

    def __str__(self) -> str:
        return f"mutant {self.number} ({', '.join(self.history)})"


def mutant(number: int) -> Mutant:
    """Make a mutant, always the same for the same number."""
    rng = random.Random(f"fuzz/code/{number}")
    name, source = rng.choice(_beginnings())
    history = [name]
    for _ in range(rng.choice([1, 1, 1, 1, 2, 3])):
        way = rng.choice(_OFTEN)
        source = _WAYS[way](source, rng)
        history.append(way)
    return Mutant(number, source, tuple(history))


@functools.cache
def _beginnings() -> list[tuple[str, Source]]:
    seeds = [ROOT / "foundry" / "models" / f"{name}.py" for name in ("v1", "v2")]
    found = [(path.stem, Source(path.read_text("utf-8"), MICRO)) for path in seeds]
    plain = re.sub(r"^  (bias|dropout):.*\n", "", MICRO, flags=re.MULTILINE)
    foreign = sorted(FOREIGN.glob("*.txt"))
    return found * 4 + [(path.stem, Source(path.read_text("utf-8"), plain)) for path in foreign]


def _edited(source: Source, rng: random.Random) -> Source:
    """Apply a row of generic edits, with no gate between them."""
    names = sorted(name for name, operator in operators.load().items() if operator.family == "generic")
    for _ in range(rng.randint(1, 4)):
        if found := operators.lookup(rng.choice(names)).sites(source):
            source = operators.apply(source, rng.choice(found))
    return source


def _respelled(source: Source, rng: random.Random) -> Source:
    """Delete, double, exchange or replace words and signs, wherever they stand."""
    parts = _WORD.findall(source.model) or [""]
    for _ in range(rng.randint(1, 3)):
        at, other = rng.randrange(len(parts)), rng.randrange(len(parts))
        match rng.randrange(5):
            case 0:
                parts[at] = ""
            case 1:
                parts[at] *= 2
            case 2:
                parts[at], parts[other] = parts[other], parts[at]
            case 3:
                parts[at] = parts[other]
            case _:
                parts[at] = rng.choice(_ODD)
    return Source("".join(parts), source.experiment)


def _cut(source: Source, rng: random.Random) -> Source:
    """Take a stretch of characters out, put it elsewhere, or end the text there."""
    text = source.model
    start = rng.randint(0, len(text))
    end = min(len(text), start + rng.randint(0, 400))
    rest = text[:start] + text[end:]
    to = rng.randint(0, len(rest))
    changed = rng.choice([rest, rest[:to] + text[start:end] + rest[to:], text[:start]])
    return Source(changed, source.experiment)


def _regrown(source: Source, rng: random.Random) -> Source:
    """Replace parts of the syntax tree by others, which gives sources that still parse."""
    try:
        tree = ast.parse(source.model)
        for _ in range(rng.randint(1, 3)):
            rng.choice([_graft, _graft, _shuffle, _rename])(tree, rng)
        return Source(ast.unparse(ast.fix_missing_locations(tree)), source.experiment)
    except (SyntaxError, ValueError, RecursionError, TypeError, AttributeError):
        return source  # no tree, or none that can be written down


def _graft(tree: ast.Module, rng: random.Random) -> None:
    """Put an expression in the place of another, or an odd constant."""
    places = [
        (node, field, index)
        for node in ast.walk(tree)
        for field, value in ast.iter_fields(node)
        for index, part in enumerate(value if isinstance(value, list) else [value])
        if isinstance(part, ast.expr) and isinstance(getattr(part, "ctx", ast.Load()), ast.Load)
    ]
    if not places:
        return
    node, field, index = rng.choice(places)
    giver, its, at = rng.choice(places)
    value = getattr(giver, its)
    constant = ast.Constant(rng.choice([0, -1, 2, 1e-9, 1e9, None, True, "x", 10**7]))
    scion = copy.deepcopy(value[at] if isinstance(value, list) else value) if rng.random() < 0.7 else constant
    if isinstance(getattr(node, field), list):
        getattr(node, field)[index] = scion
    else:
        setattr(node, field, scion)


def _shuffle(tree: ast.Module, rng: random.Random) -> None:
    """Delete a statement, double it or move it into another block."""
    blocks = [
        block
        for node in ast.walk(tree)
        for block in [getattr(node, "body", None)]
        if isinstance(block, list) and block
    ]
    if not blocks:
        return
    block, other = rng.choice(blocks), rng.choice(blocks)
    statement = block[rng.randrange(len(block))]
    if rng.random() < 0.5:
        block[block.index(statement)] = ast.Pass()
    if rng.random() < 0.7:
        other.insert(rng.randint(0, len(other)), copy.deepcopy(statement))


def _rename(tree: ast.Module, rng: random.Random) -> None:
    """Call one thing by the name of another."""
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    if names and rng.random() < 0.5:
        rng.choice(names).id = rng.choice(names).id
    elif attributes:
        rng.choice(attributes).attr = rng.choice(attributes).attr


def _remeasured(source: Source, rng: random.Random) -> Source:
    """Put other values into the experiment."""
    text = source.experiment
    for _ in range(rng.randint(1, 2)):
        if found := list(_NUMBER.finditer(text)):
            value = rng.choice(found)
            text = text[: value.start()] + rng.choice(_ODD_VALUES) + text[value.end() :]
    return Source(source.model, text)


_WAYS: dict[str, Callable[[Source, random.Random], Source]] = {
    "cut": _cut,
    "edited": _edited,
    "regrown": _regrown,
    "remeasured": _remeasured,
    "respelled": _respelled,
}
_OFTEN = (
    "cut",
    "edited",
    "regrown",
    "regrown",
    "regrown",
    "remeasured",
    "remeasured",
    "respelled",
    "respelled",
)
