"""Results as notes: written in batches, replaced, kept, shown by git."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genome.notes import read_note, write_note


def test_a_note_is_replaced_and_the_others_are_kept(arena, breed, seed_files):
    seedling = arena.plant(seed_files, seed=1)
    first, second = breed(arena, 1, seedling), breed(arena, 2, seedling)
    arena.note({first: {"val_search": 2.25, "tokens": 1000}, second: {"status": "first rung"}})
    arena.note({first: {"val_search": 0.1 + 0.2}, seedling: {"val_search": "2.3 ± 0.1"}})
    assert arena.notes() == {
        first.commit: {"val_search": "0.30000000000000004"},
        second.commit: {"status": "first rung"},
        seedling.commit: {"val_search": "2.3 ± 0.1"},
    }


def test_git_shows_the_note(arena, git, seed_files):
    seedling = arena.plant(seed_files, seed=1)
    arena.note({seedling: {"val_search": "2.1034 ± 0.0120", "tokens/s": 51000}})
    assert git(arena.path, "log", "--notes=foundry", "--format=%s%n%N", "main") == (
        "Seed model\nval_search: 2.1034 ± 0.0120\ntokens/s: 51000\n\n"
    )


def test_the_same_results_again_make_no_new_commit(arena, git, seed_files):
    seedling = arena.plant(seed_files, seed=1)
    arena.note({seedling: {"val_search": 2.0}})
    tip = git(arena.path, "rev-parse", "refs/notes/foundry")
    arena.note({seedling: {"val_search": 2.0}})
    arena.note({})
    assert git(arena.path, "rev-parse", "refs/notes/foundry") == tip


def test_notes_written_by_a_person_meanwhile_are_kept(arena, breed, git, seed_files):
    seedling = arena.plant(seed_files, seed=1)
    family = [breed(arena, number, seedling) for number in range(1, 6)]
    arena.note({member: {"val_search": 2.0} for member in family})
    git(arena.path, "notes", "--ref=foundry", "append", "-m", "I like this one: yes", family[0].commit)
    git(arena.path, "notes", "--ref=foundry", "add", "-m", "by hand", seedling.commit)
    arena.note({family[1]: {"val_search": 1.0}})
    notes = arena.notes()
    assert notes[family[0].commit] == {"val_search": "2.0", "I like this one": "yes"}
    assert notes[family[1].commit] == {"val_search": "1.0"}
    assert notes[seedling.commit] == {}
    assert git(arena.path, "notes", "--ref=foundry", "show", seedling.commit) == "by hand\n"
    assert len(git(arena.path, "notes", "--ref=foundry", "list").splitlines()) == 6


def test_git_may_remove_a_note(arena, breed, git, seed_files):
    seedling = arena.plant(seed_files, seed=1)
    child = breed(arena, 1, seedling)
    arena.note({seedling: {"a": 1}, child: {"a": 2}})
    git(arena.path, "notes", "--ref=foundry", "remove", seedling.commit)
    assert arena.notes() == {child.commit: {"a": "2"}}
    assert git(arena.path, "fsck", "--strict", "--no-dangling") == ""


KEYS = st.from_regex(r"[a-z][a-z_ /.-]{0,10}[a-z]", fullmatch=True)
VALUES = st.integers() | st.floats(allow_nan=False) | st.text()


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(results=st.dictionaries(KEYS, VALUES, max_size=5))
def test_a_note_is_one_line_a_result(results):
    text = write_note(results)
    assert text.count("\n") == len(results)
    assert all(line.isprintable() for line in text.split("\n"))
    back = read_note(text)
    assert list(back) == list(results)
    numbers = {key: value for key, value in results.items() if not isinstance(value, str)}
    assert {key: type(value)(back[key]) for key, value in numbers.items()} == numbers
