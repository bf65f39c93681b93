"""Several texts at once, the first of them shown as it comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from torch import Tensor

from foundry.decoding.decoder import Decoder
from foundry.decoding.text import TextStream


@dataclass(frozen=True)
class Written:
    """Texts, and how fast they came."""

    texts: tuple[str, ...]
    tokens: int  # of all texts together
    seconds: float
    bytes_per_token: int  # of the cache, for one token of one text; 0 without one


def write(
    tokens: Iterator[Tensor],
    decoder: Decoder,
    decode: Callable[[Iterable[int]], str],
    show: Callable[[str], None],
    *,
    rows: int,
) -> Written:
    """Turn ids (rows,) as `generate` yields them into texts; `show` is given each piece of the first one.

    They go on from what the decoder has read when the first ids come.
    """
    streams = [TextStream(decode) for _ in range(rows)]
    texts = [""] * rows
    started, steps, cache = time.perf_counter(), 0, 0
    for ids in tokens:
        if not steps:
            streams = [TextStream(decode, after) for after in decoder.newest]
        steps, cache = steps + 1, decoder.bytes_per_token
        pieces = [stream.push(token) for stream, token in zip(streams, ids.tolist(), strict=True)]
        show(pieces[0])
        texts = [text + piece for text, piece in zip(texts, pieces, strict=True)]
    seconds = time.perf_counter() - started
    ends = [stream.finish() for stream in streams]
    show(ends[0])
    texts = [text + end for text, end in zip(texts, ends, strict=True)]
    return Written(tuple(texts), steps * rows, seconds, cache // rows)
