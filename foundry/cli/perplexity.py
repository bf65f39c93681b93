"""`foundry perplexity MODEL TEXT`: how well a model predicts any text."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from foundry.cli.edge import guarded
from foundry.cli.language_model import LanguageModel, language_model
from foundry.cli.pool_options import whole_number
from foundry.data.dataset import read_text
from foundry.errors import UserError

_PART = 64  # windows whose figures are held at once


@dataclass(frozen=True, kw_only=True)
class Perplexity:
    """What came out, and all that it depends on."""

    model: str
    text: str
    text_sha256: str
    tokens: int
    bytes: int
    block_size: int
    stride: int
    nats_per_token: float
    perplexity: float
    bits_per_byte: float
    seconds: float


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; return 0, or 2 for a mistake."""
    parser = argparse.ArgumentParser(
        prog="foundry perplexity", description="Measure how well a model predicts a text."
    )
    add = parser.add_argument
    add(
        "model",
        help="a folder that `foundry train` wrote, a folder of Hugging Face, a name from `foundry zoo`, or a "
        "candidate such as `champion`",
    )
    add("text", help="a UTF-8 file, or shakespeare_char")
    add(
        "--weights", metavar="PATH", help="of a model of the zoo: a checkpoint, or a package that carries one"
    )
    add("--arena", default="runs/evolve", help="of the candidate (default: runs/evolve)")
    add("--checkpoint", choices=("best", "latest"), default="best", help="of a training (default: best)")
    add(
        "--block", type=whole_number, metavar="N", help="tokens of context (default: the training's, or 1024)"
    )
    add(
        "--stride",
        type=whole_number,
        metavar="N",
        help="tokens from one window to the next: with fewer than the block a token sees more of what comes "
        "before it, and it takes longer (default: the block)",
    )
    add("--tokens", type=whole_number, metavar="N", help="measure the first N alone")
    add("--json", action="store_true", help="write all figures as JSON")
    add("--threads", type=whole_number, metavar="N", help="of torch (default: one per core)")
    add("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_args(argv)
    return guarded(lambda: _perplexity(options), name="foundry perplexity", debug=options.debug)


def _perplexity(options: argparse.Namespace) -> int:
    found = language_model(
        options.model,
        arena=options.arena,
        checkpoint=options.checkpoint,
        given=options.weights,
        block=options.block,
    )
    stride = options.stride or found.block_size
    if stride > found.block_size:
        raise UserError(f"a stride of {stride} would leave out tokens: the block is {found.block_size}")

    import torch

    torch.set_num_threads(options.threads or os.cpu_count() or 1)
    result = measured(found, options.text, stride=stride, most=options.tokens)
    if options.json:
        print(json.dumps(asdict(result)))
        return 0
    print(
        f"perplexity {result.perplexity:.4f}, {result.nats_per_token:.4f} nats per token, "
        f"{result.bits_per_byte:.4f} bits per byte"
    )
    print(
        f"over {result.tokens:,} tokens of {result.bytes:,} bytes, in windows of {result.block_size} tokens "
        f"every {result.stride}, {result.tokens / result.seconds:,.0f} tok/s"
    )
    return 0


def measured(found: LanguageModel, name: str, *, stride: int, most: int | None = None) -> Perplexity:
    """Measure a model on a text, or on its first tokens.

    The first of all is predicted by what the model expects before a text; where that is nothing, it is not
    counted.

    Raises:
        UserError: the text cannot be read or spelled, or is too short to predict any of it.
    """
    from foundry.decoding.likelihood import nats, spans
    from foundry.training.score import bits_per_byte

    text = read_text(name)
    ids = found.tokenizer.encode(text).tolist()
    n_bytes = len(text.encode("utf-8"))
    if most is not None and most < len(ids):
        ids = ids[:most]
        n_bytes = sum(len(spelled) for spelled in map(found.tokenizer.spelling().__getitem__, ids))
    start = found.tokenizer.start
    tokens, given = [*start, *ids], len(start) or 1
    if len(tokens) <= given:
        raise UserError(f"{name} has {len(ids)} tokens: at least {given + 1 - len(start)} are needed")
    model = found.build()
    started = time.perf_counter()
    windows = list(spans(tokens, block_size=found.block_size, stride=stride, given=given))
    parts = (windows[i : i + _PART] for i in range(0, len(windows), _PART))
    total = sum(each[0].double().sum().item() for part in parts for each in nats(model, part))
    loss = total / (len(tokens) - given)
    return Perplexity(
        model=found.name,
        text=name,
        text_sha256=hashlib.sha256(text.encode("utf-8")).hexdigest(),
        tokens=len(ids),
        bytes=n_bytes,
        block_size=found.block_size,
        stride=stride,
        nats_per_token=loss,
        perplexity=math.exp(min(loss, 700.0)),
        bits_per_byte=bits_per_byte(loss, len(ids), n_bytes),
        seconds=time.perf_counter() - started,
    )
