"""`foundry compare A.yaml B.yaml`: is B better than A, over paired seeds, and by how much?"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from foundry.cli.curves import POINTS, curve, draw, require_drawable
from foundry.cli.edge import guarded
from foundry.cli.paired import (
    LEVEL,
    SPLIT,
    Result,
    Side,
    require_same_data,
    result,
    side,
)
from foundry.cli.pool_options import add_pool_options
from foundry.cli.prepared import prepare, read_text
from foundry.cli.together import train_all
from population import figures
from population.statistics import Comparison, compare, two_sided


def main(argv: Sequence[str] | None = None) -> int:
    """Train both with the same seeds and print whether the difference is real."""
    parser = argparse.ArgumentParser(
        prog="foundry compare", description="Train two experiments and compare them."
    )
    parser.add_argument("a", metavar="A", help="the baseline, a YAML file")
    parser.add_argument("b", metavar="B", help="what may be better")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="trainings of each (default: 5)")
    add_pool_options(parser)
    parser.add_argument(
        "--curves", type=Path, metavar="FILE", help="draw the learning curves, as .svg or .png"
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_args(argv)
    return guarded(lambda: _compare(options, Console()), name="foundry compare", debug=options.debug)


def _compare(options: argparse.Namespace, console: Console) -> int:
    if options.curves:
        require_drawable(options.curves)
    sides = _sides((options.a, options.b), options.seeds, POINTS if options.curves else 1)
    outcomes = train_all(sides, options, Console(stderr=True))
    a, b = (result(each, outcomes) for each in sides)
    curves = [curve(each, outcomes) for each in sides] if options.curves else []
    difference, p_value = compare(b.losses, a.losses), two_sided(b.losses, a.losses)
    if options.json:
        body = {"split": SPLIT, "data": sides[0].data, **_as_json(a, b, difference, p_value)}
        print(json.dumps({**body, "curves": [vars(each) for each in curves]}, indent=2))
    else:
        console.print(_table(a, b))
        console.print(verdict(b.name, difference, p_value), highlight=False, markup=False)
    if curves:  # last: a disk that is full costs the picture alone
        draw(options.curves, curves)
    return 0


def _sides(paths: Sequence[str], seeds: int, points: int) -> list[Side]:
    """Read and check both; two of the same name are called by their files."""
    sides = [side(prepare(read_text(path), path), seeds, points) for path in paths]
    require_same_data(sides)
    stems = [Path(path).stem for path in paths]
    for names in ([each.name for each in sides], stems, list(paths)):
        if len(set(names)) == len(sides):
            break
    return [replace(each, name=name) for each, name in zip(sides, names, strict=True)]


def _table(*results: Result) -> Table:
    table = Table(box=None, padding=(0, 1))
    table.add_column("experiment", no_wrap=True, overflow="ellipsis", max_width=24)
    for column in ("loss", "σ", "perplexity", "bpb", "tok/s", "params"):
        table.add_column(column, justify="right", no_wrap=True)
    for each in results:
        facts = each.facts()
        table.add_row(
            each.name,
            f"{facts['loss']:.4f}",
            f"{facts['sigma']:.4f}",
            f"{facts['perplexity']:.3f}",
            f"{facts['bits_per_byte']:.4f}",
            figures.count(facts["tokens_per_second"]),
            figures.count(facts["params"]),
        )
    return table


def verdict(name: str, difference: Comparison, p_value: float) -> str:
    """Say whether there is a difference, and how large and how sure it is."""
    interval = f"95% interval {difference.low:+.4f} to {difference.high:+.4f}"
    evidence = (
        f"{difference.mean_difference:+.4f} nats per token, {interval}, "
        f"p = {p_value:.3f} over {difference.n} paired seeds."
    )
    if p_value > LEVEL:
        return f"No difference beyond noise: {evidence}"
    return f"{name} is {'better' if difference.mean_difference < 0 else 'worse'}: {evidence}"


def _as_json(a: Result, b: Result, difference: Comparison, p_value: float) -> dict[str, object]:
    return {
        "a": {"name": a.name, "losses": a.losses, **a.facts()},
        "b": {"name": b.name, "losses": b.losses, **b.facts()},
        "difference": {
            **vars(difference),
            "p_value_two_sided": p_value,
            "beyond_noise": p_value <= LEVEL,
        },
    }
