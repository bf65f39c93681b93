"""Outcomes cross processes and time as JSON, whole or not at all."""

from __future__ import annotations

import pytest

from foundry.trial.outcome import Crashed, Diverged, OutOfMemory, Rejected, Scored, TimedOut, decode, encode

OUTCOMES = [
    Scored(
        loss=2.5,
        bits_per_byte=3.6,
        params=10,
        train_flops=7,
        work=1,
        tokens=8,
        tokens_per_second=9.5,
        seconds=1.5,
        train_seconds=1.25,
        kv_bytes_per_token=64,
        peak_memory=1 << 28,
    ),
    Rejected(gate="causality", reason="logits at 3 change with token 5 — “é”"),
    Crashed(reason="RuntimeError: no"),
    TimedOut(seconds=2.5),
    OutOfMemory(reason="asked for 4 GB"),
    Diverged(step=17),
]


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: type(outcome).__name__)
def test_round_trip(outcome: object) -> None:
    assert decode(encode(outcome)) == outcome  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"kind": "Won"}',
        '{"kind": "Diverged"}',
        '{"kind": "Diverged", "step": 1, "x": 2}',
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any words will do
        decode(text)
