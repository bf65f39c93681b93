"""A run as its ledger knows it, for reading: the same search asked again and told what was recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from foundry.trial.outcome import Rejected
from population.ledger import Ledger
from population.orders import Born, Menu, Order
from population.search import Search
from population.settings import Settings

NOTHING_NEW = Rejected(
    gate="duplicate", reason="no edit that was tried gives a new program that the first rung can pay for"
)
BUILT_UPON = Rejected(gate="ablation", reason="another edit of the lineage builds on what would be taken out")


def unborn(order: Order) -> Rejected:
    """Say why there is no candidate for an order."""
    return NOTHING_NEW if order.birth else BUILT_UPON


def replay(settings: Settings, menu: Menu, ledger: Ledger) -> Search:
    """Return the search in the state that the recorded outcomes lead to."""
    search = resumed(settings, menu, ledger)
    by_key = {key: outcome for key, _, outcome in ledger.outcomes()}
    outcomes = {work(body): outcome for _, body, outcome in ledger.outcomes()}
    outcomes |= {work(body): by_key[body["key"]] for body in ledger.events("recalled")}
    births = ledger.births()
    while order := search.ask():
        if order.number in births:
            search.introduce(order.number, born(births[order.number]))
        if outcome := outcomes.get(work(vars(order))):
            search.tell(order, outcome)
        elif order.number in births and births[order.number]["commit"] is None:
            search.tell(order, unborn(order))
    return search


def resumed(settings: Settings, menu: Menu, ledger: Ledger) -> Search:
    """Return a search at its beginning, which will close where it was closed before."""
    search = Search(settings, menu)
    for event in ledger.events("closed"):
        search.close(event["orders"], event["allowance"])
    return search


def born(body: Mapping[str, Any]) -> Born:
    """Read what the record of a birth says of the candidate."""
    return Born(operators=tuple(body["operators"]), numbers=body["numbers"])


def work(order: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a trial does; its index may change when a run is extended."""
    return tuple(order[name] for name in ("number", "rung", "seed", "split"))
