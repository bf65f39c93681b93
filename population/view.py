"""From a search and its candidates to what a board shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from foundry.trial.outcome import Crashed, Diverged, OutOfMemory, Rejected, Scored, TimedOut
from genome import Candidate
from population.confirmation import verdict
from population.pareto import ranks
from population.replay import NOTHING_NEW
from population.search import SEED_MODEL, Search
from population.stages import confirming
from population.standings import Failure, Row, Running, Standings

DUPLICATE = NOTHING_NEW.gate  # what a birth fails at when every edit tried gives a known program

_FAILURES = {
    Rejected: "rejected",
    Crashed: "crashed",
    TimedOut: "timed out",
    OutOfMemory: "out of memory",
    Diverged: "diverged",
}


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What a driver knows and a search does not: clocks, and trials under way."""

    seconds: float  # that drivers have worked on this run
    running: Mapping[int, float]  # order -> seconds since its trial began
    log: str
    sandbox: str  # the level that trials run under


def standings(
    search: Search, family: Mapping[int, Candidate], *, arena: str, dataset: str, progress: Progress
) -> Standings:
    """Draw up the standings of a run as it is now; `family` holds the candidates by birth number."""
    failures = _failures(search, family)
    kinds = Counter(failure.kind for failure in failures)
    del kinds["rejected"]
    gates = Counter(o.gate for o in search.outcomes.values() if isinstance(o, Rejected))
    duplicates = gates.pop(DUPLICATE, 0)
    settings, births = search.settings, search.archive.births
    return Standings(
        arena=arena,
        dataset=dataset,
        phase=search.phase,
        generation=births[-1].generation if births else 0,
        generations=None if settings.budget else settings.generations,
        births=len(births),
        births_planned=None if settings.budget else settings.births,
        share=_share(search, progress),
        evaluated=len(_told(search).keys() - {SEED_MODEL}),
        rejected=dict(sorted(gates.items())),
        failed=dict(sorted(kinds.items())),
        duplicates=duplicates + len(search.archive.twins),
        tokens_spent=tokens_spent(search),
        flops_spent=search.archive.spending.total.flops,
        seconds=progress.seconds,
        seconds_left=_seconds_left(search, progress),
        rows=_rows(search, family),
        failures=failures,
        running=_running(search, family, progress.running),
        log=progress.log,
        sandbox=progress.sandbox,
    )


def rung_name(search: Search, rung: int) -> str:
    """Name a rung by its share of the full budget: T/9, T/3, T."""
    share = search.settings.share(rung)
    return f"T/{share}" if share > 1 else "T"


def tokens_spent(search: Search) -> int:
    """Add up the tokens charged so far: failures, gates and confirmation too, and trials under way."""
    return search.archive.spending.total.tokens


def _seconds_left(search: Search, progress: Progress) -> float | None:
    """Expect the rest at the pace so far."""
    settings = search.settings
    if search.finished:
        return 0.0
    if settings.budget is not None and settings.budget_unit == "seconds":
        return max(0.0, settings.budget - progress.seconds)
    done = tokens_spent(search)
    if not search.outcomes:
        return None
    return max(0.0, _planned(search) - done) * progress.seconds / done


def _share(search: Search, progress: Progress) -> float:
    """Return how much of the run is done: of its budget, or of its births."""
    settings = search.settings
    if search.finished:
        return 1.0
    if settings.budget is None:
        return len(search.archive.births) / settings.births
    spent = search.archive.spending.total
    done = progress.seconds if settings.budget_unit == "seconds" else getattr(spent, settings.budget_unit)
    return float(min(1.0, done / settings.budget))


def _planned(search: Search) -> float:
    """Expect how many tokens the whole run is charged."""
    settings, full = search.settings, search.settings.tokens
    if settings.budget is not None:
        spent = getattr(search.archive.spending.total, settings.budget_unit)
        return float(search.archive.spending.total.tokens * settings.budget / max(1, spent))
    climb = sum(
        settings.births / float(settings.eta**rung) * full * (1 / settings.share(rung) - before)
        for rung in range(settings.height)
        for before in [1 / settings.share(rung - 1) if rung else 0.0]
    )
    return climb + full * (1 + settings.looks[-1] * (settings.finalists + 1))


def _told(search: Search) -> dict[int, dict[int, Scored]]:
    """Scores by number and rung, as soon as they are told: the search itself applies them later."""
    found: dict[int, dict[int, Scored]] = {}
    for index, outcome in search.outcomes.items():
        order = search.orders[index]
        own = order.split == "val_search" and order.seed == search.archive.seed_of(order.number)
        if isinstance(outcome, Scored) and own and order.number not in search.archive.twins:
            found.setdefault(order.number, {})[order.rung] = outcome
    return found


def _rows(search: Search, family: Mapping[int, Candidate]) -> tuple[Row, ...]:
    settings = search.settings
    told = {number: scores for number, scores in _told(search).items() if number in family}
    deepest = {number: max(scores) for number, scores in told.items()}
    ranked = sorted(told, key=lambda n: (-deepest[n], told[n][deepest[n]].loss, n))
    finished = {
        n: told[n][search.archive.rungs.top] for n in ranked if deepest[n] == search.archive.rungs.top
    }
    fronts = ranks([(outcome.loss, outcome.train_flops) for outcome in finished.values()])
    front = {number for number, rank in zip(finished, fronts, strict=True) if rank == 0}
    statuses = _statuses(search, ranked)
    noise = [search.archive.sigma(rung) or None for rung in range(settings.height)]
    by_commit = {candidate.commit: number for number, candidate in family.items()}
    rows = []
    for rank, number in enumerate(ranked, 1):
        rung, candidate = deepest[number], family[number]
        outcome = told[number][rung]
        parent = by_commit.get(candidate.parents[0]) if candidate.parents else None
        rows.append(
            Row(
                rank=rank,
                name=candidate.name,
                words=candidate.words,
                rung=rung_name(search, rung),
                loss=outcome.loss,
                sigma=noise[rung],
                versus_parent=_difference(told, number, parent, rung),
                versus_seed=_difference(told, number, SEED_MODEL, rung),
                params=outcome.params,
                tokens_per_second=outcome.tokens_per_second,
                status=statuses[number],
                pareto=number in front,
                flops=outcome.train_flops,
                kv_bytes=outcome.kv_bytes_per_token,
            )
        )
    return tuple(rows)


def _difference(
    told: Mapping[int, Mapping[int, Scored]], number: int, other: int | None, rung: int
) -> float | None:
    """Compare two candidates at one rung; None where one has no score there."""
    if other is None or rung not in told.get(other, {}):
        return None
    return told[number][rung].loss - told[other][rung].loss


def _statuses(search: Search, ranked: list[int]) -> dict[int, str]:
    statuses = dict.fromkeys(ranked, "scored")
    for order in search.orders:
        climbing = order.rung > 0 and order.split == "val_search" and order.number in statuses
        if climbing and order.index not in search.outcomes:
            statuses[order.number] = "promoted"
    leading = confirming.ranked(search.archive, search.breeding.races.incumbent)[:1]
    statuses |= {number: "incumbent" for number in leading if number in statuses}
    statuses |= {SEED_MODEL: "seed"} if SEED_MODEL in statuses else {}
    if search.finished and (champion := verdict(search).confirmed) in statuses:
        statuses[champion] = "champion"
    return statuses


def _failures(search: Search, family: Mapping[int, Candidate]) -> tuple[Failure, ...]:
    found = []
    for index in sorted(search.outcomes):
        outcome, number = search.outcomes[index], search.orders[index].number
        if isinstance(outcome, Scored) or number not in family:
            continue
        reason = " ".join(str(value) for value in vars(outcome).values())
        candidate = family[number]
        found.append(
            Failure(name=candidate.name, words=candidate.words, kind=_FAILURES[type(outcome)], reason=reason)
        )
    return tuple(found)


def _running(
    search: Search, family: Mapping[int, Candidate], since: Mapping[int, float]
) -> tuple[Running, ...]:
    return tuple(
        Running(
            name=family[search.orders[index].number].name,
            words=family[search.orders[index].number].words,
            rung=rung_name(search, search.orders[index].rung),
            seed=search.orders[index].seed,
            started_seconds_ago=seconds,
        )
        for index, seconds in sorted(since.items())
    )
