"""A run as its ledger knows it, for reading: the same search asked again and told what was recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from foundry.trial.outcome import Rejected
from population.ledger import Ledger
from population.search import Search, Settings

NOTHING_NEW = Rejected(
    gate="duplicate", reason="no edit that was tried gives a new program that the first rung can pay for"
)


def replay(settings: Settings, ledger: Ledger) -> Search:
    """Return the search in the state that the recorded outcomes lead to."""
    search = Search(settings)
    outcomes = {_work(body): outcome for _, body, outcome in ledger.outcomes()}
    births = ledger.births()
    while order := search.ask():
        if outcome := outcomes.get(_work(vars(order))):
            search.tell(order, outcome)
        elif order.birth and order.number in births and births[order.number]["commit"] is None:
            search.tell(order, NOTHING_NEW)
    return search


def _work(order: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a trial does; its index may change when a run is extended."""
    return tuple(order[name] for name in ("number", "rung", "seed", "split"))
