"""Notes and messages in git that anybody may have written: read as far as they can be, no exception."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzz_data_helpers import FILES, examples, looking
from hypothesis import given
from hypothesis import strategies as st

from genome import Arena, ArenaError, Candidate
from genome.message import read_candidate
from genome.notes import read_note
from population.rebuild import from_notes, is_readable
from population.standings import as_json

KEYS = (
    "val_search T seed 0",
    "val_search T/9 seed 0",
    f"val_search T/{'9' * 30} seed 0",
    "val_confirm T seed ٣",
    "test T seed 1000",
    "params",
    "tokens_per_second",
    "train_flops",
    "kv_bytes_per_token",
    "rejected",
    "reason",
    "data",
)
TRAILERS = ("Foundry-Number", "Operator", "Variant", "Site", "Generation", "Seed")
values = st.text(max_size=20) | st.sampled_from(
    ["3.25", "1" * 5000, "-1", "nan", "1e400", "٣", "Crashed: x", "", "12"]
)
notes = st.dictionaries(st.sampled_from(KEYS), values, max_size=9) | st.dictionaries(
    st.text(), values, max_size=3
)


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    with Arena.create(tmp_path_factory.mktemp("fuzz") / "arena") as arena:
        arena.plant(FILES, seed=0)
        yield arena


@examples
def test_notes(examples: int, arena: Arena) -> None:
    (seed_model,) = arena.candidates()

    @looking(examples)
    @given(notes | st.text(max_size=200).map(read_note))
    def check(note: dict[str, str]) -> None:
        is_readable(note)
        drawn = from_notes([seed_model], {seed_model.commit: note}, arena="a", champion=None)
        as_json(drawn)

    check()


@examples
def test_bytes_for_notes(examples: int, arena: Arena) -> None:
    @looking(examples // 10)
    @given(st.binary(max_size=80))
    def check(content: bytes) -> None:
        (seed_model,) = arena.candidates()
        command = ["notes", "--ref=foundry", "add", "-f", "--allow-empty", "-F", "-", seed_model.commit]
        _git(arena.path, *command, stdin=content)
        read = arena.notes()
        from_notes([seed_model], read, arena="a", champion=None)
        arena.note({seed_model: {"val_search": 1.5}})
        assert arena.notes() == {seed_model.commit: {"val_search": "1.5"}}

    check()


@examples
def test_messages(examples: int) -> None:
    lines = st.tuples(st.sampled_from(TRAILERS) | st.text(max_size=8), values).map(": ".join)
    like_ours = st.lists(lines, max_size=8).map(lambda block: "words\n\n" + "\n".join(block) + "\n")

    @looking(examples * 5)
    @given(like_ours | st.text(max_size=80))
    def check(message: str) -> None:
        found = read_candidate(commit="a" * 40, tree="b" * 40, parents=(), message=message)
        assert found is None or isinstance(found, Candidate)

    check()


@examples
def test_commits_of_others_on_our_branches(examples: int, arena: Arena) -> None:
    before = arena.candidates()

    @looking(examples // 10)
    @given(st.binary(max_size=60), st.sampled_from(TRAILERS), values)
    def check(message: bytes, trailer: str, value: str) -> None:
        text = message.replace(b"\0", b"") + f"x\n\n{trailer}: {value}\nSeed: 1\n".encode(errors="replace")
        text = text.replace(b"\0", b"")
        commit = _git(arena.path, "commit-tree", "HEAD^{tree}", stdin=text).decode().strip()
        _git(arena.path, "update-ref", "refs/heads/candidate/g001-0001-odd", commit)
        assert arena.candidates() == before
        with pytest.raises(ArenaError):
            arena.files("0" * 39 + "1")

    check()


def _git(folder: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    person = ["-c", "user.name=a", "-c", "user.email=a@b"]
    done = subprocess.run(
        ["git", "-C", str(folder), *person, *arguments], input=stdin, capture_output=True, check=True
    )
    return done.stdout
