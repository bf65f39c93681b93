"""What is wrong is said in a sentence, the doctor finds it, and the run ends as if nothing had been."""

from __future__ import annotations

from pathlib import Path

import damage
import pytest
from damage import Damage, copied
from recovery_helpers import check_whole, doctor, evolve, findings, git, refusal, result

from population.ledger import Ledger

MENDED: dict[Damage, str] = {
    damage.locks: "is locked, and no git is at work",
    damage.unfinished_files: "was never finished",
    damage.no_head: "HEAD is gone",
    damage.head_to_nowhere: "HEAD points to nowhere",
    damage.head_of_nulls: "HEAD points to nowhere",
    damage.no_ledger: "is gone",
    damage.overwritten_page: "is damaged",
    damage.truncated_ledger: "is damaged",
    damage.ledger_of_garbage: "is not a ledger, or is damaged",
    damage.event_of_garbage: "has an event that cannot be read",
    damage.trial_recorded_twice: "has two outcomes of one trial",
    damage.settings_of_nothing: "has settings that are no plan of a run",
    damage.deleted_branch: "its commit",
    damage.deleted_champion: "the branch champion is gone",
    damage.scribbled_note: "the note of g001",
    damage.strange_branch: "is not the ledger's number",
    damage.empty_ref: "names no commit",
    damage.scribbled_packed_refs: "packed-refs has 1 lines that are none",
    damage.damaged_index: "the index cannot be read",
    damage.partial_checkpoints: "checkpoints/",
}
LEFT_TO_RESUME: dict[Damage, str] = {
    damage.deleted_candidate: "is gone",
    damage.deleted_notes: "no note",
    damage.empty_commit: "is damaged",
    damage.damaged_model: "is damaged",
    damage.lost_notes_tree: "refs/notes/foundry leads to objects that are missing",
}
REFUSED = (  # by --resume, before anything is started
    damage.no_head,
    damage.head_of_nulls,
    damage.no_ledger,
    damage.overwritten_page,
    damage.truncated_ledger,
    damage.ledger_of_garbage,
    damage.event_of_garbage,
    damage.trial_recorded_twice,
    damage.settings_of_nothing,
)
EVERY = {**MENDED, **LEFT_TO_RESUME}


def name(befall: Damage) -> str:
    return befall.__name__


@pytest.fixture
def arena(finished: Path, tmp_path: Path) -> Path:
    return copied(finished, tmp_path / "arena")


def test_an_arena_that_is_well(finished: Path) -> None:
    said = doctor(finished)
    assert "is well: " in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("befall", EVERY, ids=name)
def test_the_doctor_finds_it_and_writes_nothing(befall: Damage, arena: Path) -> None:
    befall(arena)
    files = [path for path in arena.rglob("*") if path.is_file() and "-shm" not in path.name]
    before = {path: path.read_bytes() for path in files}
    found = findings(arena)
    assert any(EVERY[befall] in finding["what"] for finding in found), found
    after = {path: path.read_bytes() for path in before if path.exists()}
    assert after == before


@pytest.mark.parametrize("befall", MENDED, ids=name)
def test_the_doctor_mends_it(befall: Damage, arena: Path) -> None:
    befall(arena)
    found = findings(arena, "--repair")
    assert any(MENDED[befall] in finding["what"] and finding["mended"] for finding in found), found
    left = [finding for finding in found if not finding["mended"]]
    assert all("--resume" in finding["remedy"] for finding in left), left
    check_whole(arena)


@pytest.mark.parametrize("befall", REFUSED, ids=name)
def test_resume_says_the_way_on_in_one_sentence(befall: Damage, arena: Path) -> None:
    befall(arena)
    assert "foundry doctor" in refusal(arena)


@pytest.mark.slow
@pytest.mark.parametrize("befall", EVERY, ids=name)
def test_the_way_on_leads_to_the_same_result(befall: Damage, finished: Path, arena: Path) -> None:
    befall(arena)
    doctor(arena, "--repair", code=None)
    evolve("--arena", arena, "--resume", "--workers", 2)
    assert result(arena) == result(finished)
    check_whole(arena)
    assert "is well" in doctor(arena)


def test_after_all_this_at_once_the_result_is_the_same(finished: Path, arena: Path) -> None:
    together = (
        damage.scribbled_note,
        damage.deleted_branch,
        damage.deleted_champion,
        damage.clock_set_back,
        damage.partial_checkpoints,
        damage.overwritten_page,
        damage.unfinished_files,
        damage.locks,
        damage.head_to_nowhere,
    )
    for befall in together:
        befall(arena)
    doctor(arena, "--repair", code=None)
    evolve("--arena", arena, "--resume", "--workers", 2)
    assert result(arena) == result(finished)
    check_whole(arena)
    assert "is well" in doctor(arena)


def test_what_was_broken_is_kept(arena: Path) -> None:
    damage.ledger_of_garbage(arena)
    broken = damage.ledger(arena).read_bytes()
    for count in ("", "-2"):
        doctor(arena, "--repair", code=None)
        assert (damage.state(arena) / f"ledger.sqlite.damaged{count}").read_bytes() == broken
        damage.ledger_of_garbage(arena)


def test_a_ledger_is_begun_again_without_its_plan_by_the_same_options(arena: Path) -> None:
    damage.no_ledger(arena)
    git(arena, "update-ref", "-d", "refs/foundry/plan")
    (finding,) = findings(arena, "--repair")
    assert "begin the run again with the options that it was begun with" in finding["remedy"]
    assert not finding["mendable"]


def test_the_test_split_is_opened_for_the_same_champion_only(finished: Path, arena: Path) -> None:
    with Ledger.read(damage.ledger(finished)) as ledger:
        opened = ledger.events("test")
    damage.no_ledger(arena)
    doctor(arena, "--repair", code=None)
    with Ledger.read(damage.ledger(arena)) as ledger:
        assert ledger.events("test") == opened


def test_a_clock_set_back_takes_no_time_away(arena: Path) -> None:
    with Ledger.read(damage.ledger(arena)) as ledger:
        before = ledger.active_seconds()
    damage.clock_set_back(arena)
    with Ledger.open(damage.ledger(arena)) as ledger:
        ledger.record("driver", {"workers": 1})
        ledger.record("stopped", {})
    with Ledger.read(damage.ledger(arena)) as ledger:
        assert before - 0.001 <= ledger.active_seconds() < before + 60
