"""Text is shown as soon as it is certain, and never twice."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from foundry.decoding.text import TextStream


def decode(ids: Iterable[int]) -> str:
    """Tokens that are single bytes: the hardest case."""
    return bytes(ids).decode("utf-8", errors="replace")


@given(st.text(), st.binary())
def test_pieces_make_the_whole(text: str, noise: bytes) -> None:
    data = text.encode() + noise + text.encode()
    stream = TextStream(decode)
    pieces = [stream.push(byte) for byte in data]
    assert "".join(pieces) + stream.finish() == decode(data)


def test_a_character_appears_with_its_last_byte() -> None:
    stream = TextStream(decode)
    assert [stream.push(byte) for byte in "aé€".encode()] == ["a", "", "é", "", "", "€"]
    assert stream.finish() == ""


def test_an_unfinished_character_is_marked_at_the_end() -> None:
    stream = TextStream(decode)
    assert stream.push("é".encode()[0]) == ""
    assert stream.finish() == "\N{REPLACEMENT CHARACTER}"
