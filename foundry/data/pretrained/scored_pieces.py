"""Pieces with scores, as SentencePiece itself and GGUF files keep a tokenizer of byte pairs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from foundry.data.pretrained.definition import end_among
from foundry.data.pretrained.pieces import NEVER, STRETCHES, Pieces, Taken

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)  # kinds, as both number them


def definition(
    tokens: Sequence[str],
    scores: Sequence[float],
    kinds: Sequence[int],
    *,
    prefix: bool,
    start: tuple[int, ...],
    named_end: Iterable[str],
    path: object,
) -> Pieces:
    """Make merges of scores: of all pairs that make a token, those of the highest score come first.

    Args:
        prefix: whether a space comes before a text.
        start: the tokens before a text.
        named_end: what the file says ends a text.

    Raises:
        UserError: nothing ends a text.
    """
    of_kind: dict[int, dict[str, int]] = {kind: {} for kind in range(NORMAL, BYTE + 1)}
    for number, (token, kind) in enumerate(zip(tokens, kinds, strict=True)):
        of_kind[kind][token] = number
    normal, added = of_kind[NORMAL], {**of_kind[CONTROL], **of_kind[UNKNOWN]}
    return Pieces(
        vocab={**normal, **of_kind[BYTE]},
        merges=list(_merges(normal, scores)),
        added=dict(sorted(added.items(), key=lambda item: item[1])),
        taken=[
            Taken(content=token, number=number, normalized=not prefix)
            for token, number in of_kind[USER_DEFINED].items()
        ],
        prefix=STRETCHES if prefix else NEVER,
        byte_fallback=bool(of_kind[BYTE]),
        unknown=next(iter(of_kind[UNKNOWN]), None),
        start=start,
        end=end_among(added, named_end, path),
    )


def _merges(normal: Mapping[str, int], scores: Sequence[float]) -> Iterator[tuple[str, str]]:
    """List every pair that makes a token; of those that make the same, the longer first part comes first."""
    for token in sorted(normal, key=lambda token: (-scores[normal[token]], normal[token])):
        for at in range(len(token) - 1, 0, -1):
            if token[:at] in normal and token[at:] in normal:
                yield token[:at], token[at:]
