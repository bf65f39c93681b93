"""Faults side by side: who has lost, who has won wrongly, what the page says, and the script's own score."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.faults import judge, research
from benchmarks.faults.gallery import FAULTS, INNOCENTS, V1, Fault, sources
from benchmarks.faults.page import RESUMED, page
from benchmarks.faults.referee import Contestant
from benchmarks.faults.task import Task, answer

HONEST = {"innocent0": 3.1, "innocent1": 3.2, "innocent2": 3.3}
NONE, LONGER = (fault for fault in FAULTS if not fault.name)
CHEAT = next(fault for fault in FAULTS if fault.cheats)
CRASH = next(fault for fault in FAULTS if fault.name and not fault.cheats)
CARELESS = Contestant("careless", "nowhere", {})


def ran(scores: dict[str, float], **more: Any) -> dict[str, Any]:
    """What the referee notes of a run in which nothing else went wrong."""
    nothing = {
        "said": {},
        "ended": True,
        "code": 0,
        "seconds": 7.2,
        "orphans": 0,
        "harmed": False,
        "output": 90,
    }
    return {**nothing, "scores": scores, **more}


def found(*runs: tuple[Fault, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {judge.key("careless", fault): run for fault, run in ((NONE, ran(HONEST)), *runs)}


@pytest.mark.parametrize(
    ("scores", "lost"),
    [
        (HONEST, 0),
        (HONEST | {CRASH.name: 1.0}, 0),
        ({"innocent0": 3.1, "innocent2": 3.3}, 1),
        (HONEST | {"innocent1": 3.2000001}, 1),
        ({}, 3),
    ],
    ids=["all", "with the fault's own", "one without a score", "one with another", "none"],
)
def test_an_innocent_without_its_own_score_is_lost(scores: dict[str, float], lost: int) -> None:
    run = ran(scores)
    assert judge.lost(found((CRASH, run)), "careless", CRASH, run) == lost


def test_a_longer_run_is_compared_with_one_of_its_length() -> None:
    long = next(fault for fault in FAULTS if fault.name and fault.steps == LONGER.steps)
    learned = {name: loss - 0.5 for name, loss in HONEST.items()}
    both = found((LONGER, ran(learned)), (long, ran(learned)))
    assert judge.lost(both, "careless", long, ran(learned)) == 0
    assert judge.lost(both, "careless", long, ran(HONEST)) == 3


@pytest.mark.parametrize(
    ("fault", "loss", "won"),
    [
        (CHEAT, 0.01, True),
        (CHEAT, judge.LEAST, False),
        (CHEAT, 3.0, False),
        (CHEAT, None, False),
        (CRASH, 0.01, False),
    ],
    ids=["first and too good", "not too good", "first and honest", "no score", "no cheat"],
)
def test_a_cheat_wins_where_it_is_first_with_what_it_cannot_have_earned(
    fault: Fault, loss: float | None, won: bool
) -> None:
    assert judge.wins(fault, ran(HONEST | ({} if loss is None else {fault.name: loss}))) == won


def test_a_cheat_behind_a_better_one_has_not_won() -> None:
    assert not judge.wins(CHEAT, ran({"innocent0": 0.5, CHEAT.name: 1.0}))


def written(measured: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Write the page, and return what its tables say by the first cell of each row."""
    text = page(measured, [CARELESS], versions="torch 2", seconds=8, sandbox="bwrap")
    assert "{" not in text
    assert "one may take 8 s" in text
    assert "here bwrap" in text
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", text, flags=re.MULTILINE)
    assert len(rows) == len(dict(rows)) + 1  # both tables have the line below their head
    return dict(rows)


def test_the_page_tells_each_fault_and_adds_up() -> None:
    won = ran(HONEST | {CHEAT.name: 0.25}, orphans=2)
    broke = ran({"innocent0": 3.1}, said={CRASH.name: "a|b: c"}, ended=False, output=33 << 20, harmed=True)
    said = written(found((CHEAT, won), (CRASH, broke)))
    missing = sum(bool(fault.name) for fault in FAULTS) - 2
    assert said[CHEAT.title] == "0 lost; scored 0.250; **wins**; **2 processes left**; 7 s"
    assert said[CRASH.title] == (
        "**2 lost**; a/b; **the file of another is gone**; **the run did not end**; **33 MB of output**; 7 s"
    )
    assert said[f"innocents lost, of {INNOCENTS * (missing + 2)}"] == f"2 ({missing} not measured)"
    assert said["processes left behind"] == f"2 ({missing} not measured)"
    assert said[f"wrong winners, of {sum(fault.cheats for fault in FAULTS)}"] == f"1 ({missing} not measured)"
    assert said[f"runs that did not end in time, of {missing + 2}"] == f"1 ({missing} not measured)"
    assert said["runs in which a file of others was harmed"] == f"1 ({missing} not measured)"
    assert said[FAULTS[-1].title] == "not measured"


@pytest.mark.parametrize(
    ("run", "left", "same"),
    [
        ({"orphans": 0, "same": True, "lost": []}, "0", "yes"),
        ({"orphans": 3, "same": False, "lost": ["a", "b"]}, "3", "**no**, 2 lost"),
        (None, "–", "–"),
    ],
    ids=["whole", "lost", "not measured"],
)
def test_the_page_tells_what_a_kill_has_cost(run: dict[str, Any] | None, left: str, same: str) -> None:
    said = written(found() | ({f"careless | {RESUMED}": run} if run is not None else {}))
    assert said["killed by SIGKILL: processes left"] == left
    assert said["… and taken up again, the same result"] == same


def test_each_run_has_its_fault_in_second_place_among_innocents_that_differ(tmp_path: Path) -> None:
    for fault in FAULTS:
        candidates = sources(fault, tmp_path)
        innocents = [name for name in candidates if name.startswith("innocent")]
        assert len(innocents) == INNOCENTS
        assert len({text.partition("\n")[2] for text in candidates.values()}) == len(candidates)
        assert list(candidates)[:2] == ["innocent0", fault.name or "innocent1"]
        for name, text in candidates.items():
            compile(text, name, "exec")


def test_a_task_and_its_answers_survive_the_way_through_a_file(tmp_path: Path) -> None:
    task = Task({"a": "x = 1\n"}, "text.txt", str(tmp_path), steps=3, seconds=2.5, options={"gates": "off"})
    assert Task.read(str(task.save())) == task
    answer(task, {"a": 0.1 + 0.2}, {"b": "no"})
    assert task.answers.read_text("utf-8") == '{"scores": {"a": 0.30000000000000004}, "said": {"b": "no"}}'
    assert not list(tmp_path.glob("*.partial"))


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("to be, or not to be: that is the question\n" * 60, encoding="utf-8")
    return path


def test_the_script_scores_the_last_tenth_in_nats_per_token(text: Path) -> None:
    """A model that knows nothing but how often each letter comes, whose loss can be worked out by hand."""
    letters = text.read_text("utf-8")
    known = sorted(set(letters))
    counts = torch.tensor([float(letters.count(letter)) for letter in known])
    source = (
        "import torch\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass GPTConfig:\n    block_size: int\n    vocab_size: int\n    n_layer: int\n"
        "    n_head: int\n    n_embd: int\n    dropout: float\n    bias: bool\n"
        "class GPT(torch.nn.Module):\n    def __init__(self, config):\n        super().__init__()\n"
        f"        self.logits = torch.nn.Parameter(torch.tensor({counts.log().tolist()}))\n"
        "    def forward(self, idx, targets=None):\n"
        "        logits = self.logits.expand(*idx.shape, -1)\n"
        "        return logits, logits.sum() * 0\n"
    )
    last = letters[len(letters) * 9 // 10 :]
    count = (len(last) - 1) // research.BLOCK * research.BLOCK
    probabilities = (counts / counts.sum()).tolist()
    expected = -sum(math.log(probabilities[known.index(letter)]) for letter in last[1 : count + 1]) / count
    assert research.evaluate(source, text, 0) == pytest.approx(expected, rel=1e-5)


def test_the_script_is_deterministic_learns_and_believes_no_candidate(text: Path) -> None:
    first = research.evaluate(V1, text, 4)
    assert research.evaluate(V1, text, 4) == first
    assert first < research.evaluate(V1, text, 0)
    liar = V1.replace("        return logits, loss\n", "        return logits, loss - 9\n")
    assert liar != V1
    assert research.evaluate(liar, text, 4) == first
