"""Text is shown as soon as it is certain, and never twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from decoding_sources import BLOCK, CACHED, model_of, random_tokens
from hypothesis import given
from hypothesis import strategies as st

from foundry.decoding.decoder import CachedDecoder
from foundry.decoding.sampling import Sampling, generate, generators
from foundry.decoding.text import TextStream
from foundry.decoding.writing import write


def decode(ids: Iterable[int]) -> str:
    """Tokens that are single bytes: the hardest case."""
    return bytes(ids).decode("utf-8", errors="replace")


def decode_words(ids: Iterable[int]) -> str:
    """Tokens of one byte, of which a space is left out where it is the first."""
    return decode(ids).removeprefix(" ")


@given(st.text(), st.binary(), st.sampled_from([decode, decode_words]))
def test_pieces_make_the_whole(text: str, noise: bytes, read: Callable[[Iterable[int]], str]) -> None:
    data = text.encode() + noise + text.encode()
    stream = TextStream(read)
    pieces = [stream.push(byte) for byte in data]
    assert "".join(pieces) + stream.finish() == read(data)


@given(st.text(min_size=1), st.text(), st.sampled_from([decode, decode_words]))
def test_a_text_goes_on(before: str, text: str, read: Callable[[Iterable[int]], str]) -> None:
    stream = TextStream(read, before.encode()[-1])
    pieces = [stream.push(byte) for byte in text.encode()]
    assert "".join(pieces) + stream.finish() == text


def test_a_character_appears_with_its_last_byte() -> None:
    stream = TextStream(decode)
    assert [stream.push(byte) for byte in "aé€".encode()] == ["a", "", "é", "", "", "€"]
    assert stream.finish() == ""


def test_an_unfinished_character_is_marked_at_the_end() -> None:
    stream = TextStream(decode)
    assert stream.push("é".encode()[0]) == ""
    assert stream.finish() == "\N{REPLACEMENT CHARACTER}"


def test_what_is_written_goes_on_from_the_prompt() -> None:
    """Every token is a word with a space, but the first of a text has none."""

    def read(ids: Iterable[int]) -> str:
        return "".join(f" {number}" for number in ids).removeprefix(" ")

    prompt, shown = random_tokens(2, 5), list[str]()
    asked = (CachedDecoder(model_of(CACHED["v1"])), prompt, 70, Sampling(temperature=0))
    drawn = [token.tolist() for token in generate(*asked, generators(0, 2), block_size=BLOCK)]
    tokens = generate(*asked, generators(0, 2), block_size=BLOCK)
    written = write(tokens, asked[0], read, shown.append, rows=2)
    for row, text in enumerate(written.texts):
        ids = prompt[row].tolist()
        assert read(ids) + text == read([*ids, *(token[row] for token in drawn)])
    assert "".join(shown) == written.texts[0]
    assert written.tokens == 140
