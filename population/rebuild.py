"""The standings of a run whose ledger is lost, from the arena's refs and notes alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from genome import Candidate
from population.standings import Failure, Row, Standings

_SCORE = re.compile(r"val_search (?P<rung>T(?:/(?P<share>[0-9]{1,9}))?) seed (?P<seed>-?[0-9]{1,18})")
_TRIAL = re.compile(r"(val_search|val_confirm|test) T(/[0-9]{1,9})? seed -?[0-9]{1,18}")
_LOSS = re.compile(r"[0-9]+\.[0-9]+")
_FIGURE = re.compile(r"[0-9]{1,30}")
CONFIRMED_AS = "confirmed as"  # in the note of a champion's own branch: the name of whom it is made of
_COSTS = ("params", "tokens_per_second", "train_flops", "kv_bytes_per_token")


def from_notes(
    candidates: Sequence[Candidate],
    notes: Mapping[str, Mapping[str, str]],
    *,
    arena: str,
    champion: Candidate | None,
) -> Standings:
    """Draw up standings from what the notes say; what only the ledger knew, such as spent time, is 0."""
    scored = [
        (c, *best)
        for c in candidates
        if (best := _deepest(note := notes.get(c.commit, {}), c.seed)) and _has_costs(note)
    ]
    crowned = notes.get(champion.commit, {}).get(CONFIRMED_AS, champion.name) if champion else ""
    scored.sort(key=lambda entry: (entry[1], entry[3], entry[0].number))
    by_commit = {c.commit: _scores(notes.get(c.commit, {}), c.seed) for c in candidates}
    seed_model = by_commit[candidates[0].commit]
    rows = [
        _row(
            rank,
            candidate,
            notes[candidate.commit],
            parent=by_commit.get(candidate.parents[0], {}) if candidate.parents else {},
            seed_model=seed_model,
            at=(rung, loss),
            crowned=crowned,
        )
        for rank, (candidate, _, rung, loss) in enumerate(scored, 1)
    ]
    failures = [failure for c in candidates if (failure := _failure(c, notes.get(c.commit, {})))]
    rejected = [notes[c.commit]["rejected"] for c in candidates if "rejected" in notes.get(c.commit, {})]
    kinds = Counter(failure.kind for failure in failures if failure.kind != "rejected")
    generation = max(c.generation for c in candidates)
    return Standings(
        arena=arena,
        dataset=notes.get(candidates[0].commit, {}).get("data", "")[:8],
        phase="done",
        generation=generation,
        generations=generation,
        births=len(candidates) - 1,
        births_planned=len(candidates) - 1,
        share=1.0,
        evaluated=sum(1 for candidate, *_ in scored if candidate.number != 0),
        rejected=dict(sorted(Counter(rejected).items())),
        failed=dict(sorted(kinds.items())),
        duplicates=0,
        tokens_spent=0,
        flops_spent=0,
        seconds=0.0,
        seconds_left=0.0,
        rows=tuple(rows),
        failures=tuple(failures),
        running=(),
        log="drawn from refs and notes: the ledger is not there",
        sandbox=" and ".join(sorted({note["sandbox"] for note in notes.values() if "sandbox" in note}))
        or "?",
    )


def _row(
    rank: int,
    candidate: Candidate,
    note: Mapping[str, str],
    *,
    parent: Mapping[str, float],
    seed_model: Mapping[str, float],
    at: tuple[str, float],
    crowned: str,
) -> Row:
    """Write one line, of a score at a rung beside those of the parent and the seed model there."""
    rung, loss = at
    return Row(
        rank=rank,
        name=candidate.name,
        words=candidate.words,
        rung=rung,
        loss=loss,
        sigma=None,
        versus_parent=loss - parent[rung] if rung in parent else None,
        versus_seed=loss - seed_model[rung] if rung in seed_model else None,
        params=int(note["params"]),
        tokens_per_second=float(note["tokens_per_second"]),
        status=_status(candidate, crowned),
        pareto=False,
        flops=int(note["train_flops"]),
        kv_bytes=int(note["kv_bytes_per_token"]),
    )


def is_readable(note: Mapping[str, str]) -> bool:
    """Say whether a note has what a run writes: why it was rejected, whom it is made of, or its trials."""
    if "rejected" in note:
        return "reason" in note
    if CONFIRMED_AS in note:
        return True
    ends = [value for key, value in note.items() if _TRIAL.fullmatch(key)]
    if any(_LOSS.fullmatch(value) for value in ends):
        return _has_costs(note)
    return bool(ends)


def _has_costs(note: Mapping[str, str]) -> bool:
    return all(_FIGURE.fullmatch(note.get(cost, "")) for cost in _COSTS)


def _status(candidate: Candidate, crowned: str) -> str:
    if candidate.name == crowned:
        return "champion"
    return "seed" if candidate.number == 0 else "scored"


def _failure(candidate: Candidate, note: Mapping[str, str]) -> Failure | None:
    """Say what stopped a candidate, where something did."""
    if "rejected" in note:
        kind, reason = "rejected", f"{note['rejected']} {note.get('reason', '')}"
    elif note and not is_readable(note):
        kind, reason = "unreadable", "its note does not say what a note of ours says"
    else:
        ends = [value for key, value in note.items() if _SCORE.fullmatch(key) and not _LOSS.fullmatch(value)]
        if not ends:
            return None
        kind, _, reason = ends[-1].partition(": ")
    return Failure(name=candidate.name, words=candidate.words, kind=kind, reason=reason)


def _scores(note: Mapping[str, str], seed: int) -> dict[str, float]:
    """Losses by rung at the search's seed; failures have no number and are passed over."""
    found = {}
    for key, value in note.items():
        match = _SCORE.fullmatch(key)
        if match and int(match["seed"]) == seed and _LOSS.fullmatch(value):
            found[match["rung"]] = float(value)
    return found


def _deepest(note: Mapping[str, str], seed: int) -> tuple[int, str, float] | None:
    """Return the score at the largest budget: its share 1/n as n, its name, its loss."""
    shares = [(int(rung.partition("/")[2] or 1), rung, loss) for rung, loss in _scores(note, seed).items()]
    return min(shares, default=None)
