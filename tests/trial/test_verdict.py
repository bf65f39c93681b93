"""A trainee cannot talk itself into a score: the examiner's word counts, and what it may say is bounded."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundry.trial.outcome import Crashed, Diverged, Outcome, OutOfMemory, Rejected, Scored, encode
from foundry.trial.verdict import verdict

COSTS = {
    "params": 10,
    "train_flops": 100,
    "work": 5,
    "tokens": 64,
    "tokens_per_second": 9.5,
    "train_seconds": 0.5,
    "kv_bytes_per_token": 2,
    "inherited": 0,
    "peak_memory": 1 << 20,
}
REPORT = {"loss": 2.5, "bits_per_byte": 3.6, "function": "abc", "recalled": False}
SCORED = Scored(**COSTS, **REPORT, seconds=1.5)  # type: ignore[arg-type]
KILLED = 9  # as waitpid says it of SIGKILL


def judge(report: dict[str, object], said: object, status: int = 256) -> Outcome:
    return verdict(report, json.dumps(said).encode(), status, 1.5)


def test_costs_and_report_make_a_score() -> None:
    assert judge(REPORT, COSTS) == SCORED


def test_a_score_without_a_report_is_none() -> None:
    assert isinstance(judge({}, COSTS), Crashed)
    assert isinstance(judge({}, {"kind": "Scored", **asdict(SCORED)}), Crashed)
    assert isinstance(judge(REPORT, {"kind": "Scored", **asdict(SCORED)}), Crashed)


def test_who_has_said_its_costs_is_not_to_blame_for_a_scoring_that_never_ends() -> None:
    """So it is tried once more, as one that was killed from outside."""
    assert judge({}, COSTS, KILLED) == Crashed(reason="its scoring ended without an answer")
    assert judge(REPORT, COSTS, KILLED) == SCORED


@pytest.mark.parametrize("field", [*REPORT, "seconds", "kind"])
def test_a_trainee_that_names_its_own_score_has_none(field: str) -> None:
    assert isinstance(judge(REPORT, {**COSTS, field: 0}), Crashed)


@pytest.mark.parametrize("value", ["10", None, True, -1, [1], 1e31])
def test_costs_are_numbers(value: object) -> None:
    assert isinstance(judge(REPORT, {**COSTS, "tokens": value}), Crashed)


@pytest.mark.parametrize(
    "failure", [Crashed(reason="x"), Diverged(step=3), OutOfMemory(reason="y"), Rejected(gate="z", reason="")]
)
def test_a_failure_is_believed(failure: Outcome) -> None:
    assert verdict(REPORT, encode(failure).encode(), 256, 1.0) == failure


def test_the_examiner_has_the_last_word() -> None:
    refused = Rejected(gate="causality at scoring", reason="")
    assert judge({"outcome": json.loads(encode(refused))}, COSTS) == refused


def test_silence_is_told_as_it_ended() -> None:
    assert verdict(REPORT, b"", KILLED, 1.0) == Crashed(reason="the trial's process was killed by SIGKILL")
    assert verdict({}, b"", 7 << 8, 1.0) == Crashed(reason="the trial's process ended with status 7")


@given(st.binary(max_size=300))
def test_no_noise_is_a_score(noise: bytes) -> None:
    assert not isinstance(verdict(REPORT, noise, KILLED, 1.0), Scored)


def test_numbers_that_json_should_not_have_are_no_costs() -> None:
    text = json.dumps(COSTS).replace("9.5", "NaN")
    assert isinstance(verdict(REPORT, text.encode(), 256, 1.0), Crashed)
