"""The table that searches are replayed over: whole, in step with its programs, and informative."""

import gzip
import json
import math
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from scipy.stats import spearmanr

import operators
from benchmarks.search import make_table, space
from benchmarks.search.space import BASE, FACTORS, FILE, SEEDS, STEPS, Point, Table
from foundry.errors import UserError

torch.set_num_threads(1)

ROOT = Path(__file__).parents[2]
FURTHEST: Point = tuple(list(values)[-1] for values in FACTORS.values())


@pytest.fixture(scope="module")
def table() -> Table:
    return Table.load()


def test_every_point_has_a_loss_at_every_seed_and_rung(table: Table) -> None:
    assert table.steps == STEPS
    assert table.seeds == SEEDS
    assert list(table.rows) == space.architectures()
    assert space.architectures()[0] == BASE
    uniform = math.log(63)  # characters
    for point in space.points():
        for seed in table.seeds:
            losses = [table.loss(point, seed, rung) for rung in range(len(STEPS))]
            assert all(0 < loss < uniform for loss in losses), point
            assert 0 < table.confirm(point, seed) < uniform
            assert 0 < table.test(point, seed) < uniform


def test_the_file_is_small_and_says_where_it_comes_from(table: Table) -> None:
    assert FILE.stat().st_size < 200_000
    assert {"commit", "torch", "processor", "data_sha256", "programs_sha256"} <= set(table.made)


def test_a_null_mutation_has_the_numbers_of_its_parent(table: Table) -> None:
    null = list(FACTORS).index(space.NULL)
    nulls = [point for point in space.neighbours(FURTHEST) if point[:null] == FURTHEST[:null]]
    assert len(nulls) == len(FACTORS[space.NULL]) - 1
    assert all(table.row(point) is table.row(FURTHEST) for point in nulls)


def test_neighbours_differ_in_one_coordinate_and_know_each_other() -> None:
    for point in (BASE, FURTHEST):
        found = space.neighbours(point)
        assert len(found) == len(set(found)) == sum(len(values) - 1 for values in FACTORS.values())
        for other in found:
            assert sum(a != b for a, b in zip(point, other, strict=True)) == 1
            assert point in space.neighbours(other)


def test_flops_grow_with_the_rung_and_the_width(table: Table) -> None:
    flops = [table.flops(BASE, rung) for rung in range(len(STEPS))]
    assert [later / before for before, later in pairwise(flops)] == [3, 3]
    wide: Point = tuple("96" if name == "width" else value for name, value in zip(FACTORS, BASE, strict=True))
    assert table.flops(wide, 2) > 2 * table.flops(BASE, 2)


def test_the_space_is_read_without_torch() -> None:
    code = (
        "import sys; from benchmarks.search.space import Table; Table.load(); print('torch' in sys.modules)"
    )
    read = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert read.stdout == "False\n"


def test_the_first_rung_of_the_base_comes_out_again(table: Table) -> None:
    training = make_table.Training(BASE, seed=0)
    training.advance(STEPS[0])
    assert training.score("val_search") == pytest.approx(table.loss(BASE, 0, 0), abs=1e-4)
    row = table.row(BASE)
    assert make_table.cost(BASE) == (row.params, row.flops_per_step)


def test_the_null_factor_changes_the_program_but_no_loss() -> None:
    losses = []
    for value in FACTORS[space.NULL]:
        training = make_table.Training((*BASE[:-1], value), seed=1)
        training.advance(4)
        losses.append(training.score("val_search"))
    assert losses == [losses[0]] * 3


@pytest.mark.slow
def test_a_whole_training_of_the_furthest_mutant_comes_out_again(table: Table) -> None:
    made = make_table.line(FURTHEST, seed=1)  # built with the null factor changed, looked up without
    assert made["search"] == pytest.approx(table.row(FURTHEST).search[1], abs=0.01)
    assert made["confirm"] == pytest.approx(table.confirm(FURTHEST, 1), abs=0.01)
    assert made["test"] == pytest.approx(table.test(FURTHEST, 1), abs=0.01)


@pytest.mark.slow
def test_every_point_is_a_program_of_its_own() -> None:
    programs = {operators.canonical(space.source(point)) for point in space.points()}
    assert len(programs) == len(space.points())
    assert len({space.source(point).model for point in space.points()}) == 2 * 2 * 2 * 3 * 2


def test_rungs_tell_of_the_end_the_later_the_better(table: Table) -> None:
    for seed in table.seeds:
        first, second, last = (
            [table.loss(point, seed, rung) for point in table.rows] for rung in range(len(STEPS))
        )
        early, late = spearmanr(first, last).statistic, spearmanr(second, last).statistic
        assert 0.3 < early < late < 1


def test_writing_what_was_read_gives_the_same_file(table: Table, tmp_path: Path) -> None:
    lines = [
        {
            "point": space.label(point),
            "seed": seed,
            "seconds": row.seconds,
            "search": list(row.search[number]),
            "confirm": row.confirm[number],
            "test": row.test[number],
        }
        for point, row in table.rows.items()
        for number, seed in enumerate(table.seeds)
    ]
    costs = {point: (row.params, row.flops_per_step) for point, row in table.rows.items()}
    make_table.write(tmp_path / "again.json.gz", dict(table.made), lines[::-1], costs)
    again = (tmp_path / "again.json.gz").read_bytes()
    assert gzip.decompress(again) == gzip.decompress(FILE.read_bytes())


def test_an_interrupted_run_goes_on_after_its_last_whole_line(tmp_path: Path) -> None:
    made: dict[str, object] = {"programs_sha256": "p", "data_sha256": "d", "torch": "2"}
    partial = tmp_path / "partial"
    assert make_table.resume(partial, made) == (made, [])
    with partial.open("a") as file:
        file.write(json.dumps({"point": "a", "seed": 0}) + '\n{"point": "b", "se')
    assert make_table.resume(partial, made) == (made, [{"point": "a", "seed": 0}])
    assert partial.read_text().endswith("}\n")
    with pytest.raises(UserError, match="another data_sha256"):
        make_table.resume(partial, {**made, "data_sha256": "e"})
