"""The comparison with real trainings: what it shipped, how it goes on, what its table and curves say."""

import json
import math
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest

import operators
from benchmarks.search import real
from benchmarks.search.real_report import at, draw, mean, reached, report
from benchmarks.search.trained_methods import SETTINGS, Space, plan
from operators import Source
from population.search import Search
from population.spending import Amount

ROOT = Path(__file__).parents[2]
SHIPPED = pytest.mark.skipif(not real.FILE.exists(), reason="no results are shipped yet")


def body(**runs: list[list[tuple[int, float]]]) -> dict[str, Any]:
    """Results by hand: for each method, runs of (full trainings spent, confirmed loss from there on)."""
    confirmed = {"seed": {"losses": [3.0, 3.0], "flops": 100}}
    pieces = []
    for method, curves in runs.items():
        for seed, curve in enumerate(curves):
            steps = []
            for spent, loss in curve:
                confirmed[str(loss)] = {"losses": [loss - 0.1, loss + 0.1], "flops": 100}
                steps.append({"flops": 100 * spent, "seconds": float(spent), "program": str(loss)})
            pieces.append({"method": method, "seed": seed, "steps": steps, "flops": 1600, "seconds": 16.0})
    return {"base": "seed", "confirmed": confirmed, "pieces": pieces}


def test_what_is_missing_comes_seed_by_seed_and_the_ablations_at_the_end() -> None:
    done = body(ours=[[(1, 2.0)]], theirs=[[(1, 2.0)]])
    done["pieces"].pop()
    wanted = ["ours", "theirs", "  without"]
    whole = [("theirs", 0), ("ours", 1), ("theirs", 1)]
    assert real.missing(done, wanted, 2) == [*whole, ("  without", 0), ("  without", 1)]
    assert all(seed < real.ABLATED for name, seed in real.missing(done, wanted, 9) if name.startswith(" "))


def test_a_curve_is_a_staircase_that_begins_with_the_seed_model() -> None:
    curve = [(4.0, 2.5), (8.0, 2.8), (9.0, 2.4)]
    assert [at(curve, cost, 3.0) for cost in (0, 3.9, 4, 8.5, 100)] == [3.0, 3.0, 2.5, 2.8, 2.4]
    assert reached(curve, 2.6) == 9.0  # at 4 it came to 2.5 and did not stay
    assert reached(curve, 2.9) == 4.0
    assert math.isinf(reached(curve, 2.3))
    assert mean([curve, [(6.0, 2.6)]], 3.0) == [
        (cost, pytest.approx(loss)) for cost, loss in ((4, 2.75), (6, 2.55), (8, 2.7), (9, 2.5))
    ]


def test_the_report_says_what_each_takes_to_where_another_ends() -> None:
    lines = report(body(ours=[[(2, 2.4), (6, 2.0)]], theirs=[[(8, 2.5)], [(12, 2.3)]])).splitlines()
    assert lines[2] == "| ours | 1 | 2.400 | 2.000 | 2.000 | 2.000 | 2.000 to 2.000 | 16 |"
    assert lines[3] == "| theirs | 2 | 3.000 | 2.750 | 2.400 | 2.400 | 2.300 to 2.500 | 16 |"
    assert lines[-1] == "| theirs (2.400) | 12.0 | 2.0 | 0.17 |"


def test_the_picture_is_the_same_for_the_same_results(tmp_path: Path) -> None:
    results = body(ours=[[(2, 2.4), (6, 2.0)]], theirs=[[(8, 2.5)]])
    for name in ("a.svg", "b.svg"):
        draw(tmp_path / name, results)
    picture = (tmp_path / "a.svg").read_text()
    assert picture == (tmp_path / "b.svg").read_text()
    assert "ours" in picture
    assert "CPU seconds" in picture


def test_results_of_another_budget_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "real.json"
    made = real.head(2.0)
    real.save(path, {"made": made, "pieces": [], "confirmed": {}})
    command = [sys.executable, "-m", "benchmarks.search.real", "--out", str(path), "--budget", "3"]
    refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert refused.returncode == 2
    assert refused.stderr == f"{path} was made with another budget: give another --out\n"


@pytest.mark.parametrize("method", SETTINGS)
def test_a_search_of_the_comparison_keeps_nothing_for_its_end(method: str) -> None:
    search = Search(plan(method, seed=1, budget=10**12).search)
    assert search.settings.unit == search.settings.budget_unit == "flops"
    assert search.archive.affords(Amount(flops=10**12))
    assert not search.archive.affords(Amount(flops=10**12 + 1))
    assert search.settings.looks[-1] == search.settings.finalists == 0


def test_optuna_asks_for_programs_that_our_operators_make() -> None:
    made = plan("Foundry", 0, 0)
    space = Space(Source(made.model, made.experiment), made.operators)
    default = space.program(optuna.trial.FixedTrial(space.defaults()))
    assert default.source == space.seed
    assert default.words == ()
    rng = random.Random(0)
    used = rng.sample(sorted(space.edits), 4)
    parameters: dict[str, Any] = {**space.defaults(), **{f"use {name}": 1.0 for name in used}}
    for name in used:
        edit = rng.choice(space.edits[name])
        parameters[f"edit of {name}"] = f"{edit.variant} @ {edit.site}"
    parameters["learning_rate"] = 0.004
    program = space.program(optuna.trial.FixedTrial(parameters))
    assert program == space.program(optuna.trial.FixedTrial(parameters))
    assert operators.canonical(program.source) != operators.canonical(space.seed)
    assert "learning rate → 0.004" in program.words
    assert 1 < len(program.words) <= 5  # an edit may take another's place away


@pytest.mark.slow
def test_a_command_that_was_stopped_goes_on_after_its_last_piece(tmp_path: Path) -> None:
    out = tmp_path / "real.json"

    def run(*methods: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "benchmarks.search.real", "--out", str(out), "--budget", "1.5"]
        subprocess.run([*command, "--seeds", "1", "--methods", *methods], cwd=ROOT, check=True)
        found: dict[str, Any] = json.loads(out.read_text())
        return found

    first = run("plain tournament")
    both = run("plain tournament", "random walks")
    assert both["pieces"][0] == first["pieces"][0]
    assert [piece["method"] for piece in both["pieces"]] == ["plain tournament", "random walks"]
    assert out.with_suffix(".svg").exists()


@SHIPPED
def test_what_is_shipped_says_where_it_comes_from_and_keeps_its_budget() -> None:
    results = json.loads(real.FILE.read_text())
    assert {"packages", "processor", "data_sha256", "model_sha256", "experiment_sha256"} <= set(
        results["made"]
    )
    full, seeds = real.full_flops(results), len(results["made"]["confirmed_with"])
    assert len({(piece["method"], piece["seed"]) for piece in results["pieces"]}) == len(results["pieces"])
    for piece in results["pieces"]:
        assert piece["method"] in SETTINGS
        assert piece["flops"] <= (results["made"]["budget"] + 2) * full
        costs = [step["flops"] for step in piece["steps"]]
        assert costs == sorted(costs)
        for step in piece["steps"]:
            assert len(results["confirmed"][step["program"]]["losses"]) == seeds
    assert report(results).count("\n") > len({piece["method"] for piece in results["pieces"]})
