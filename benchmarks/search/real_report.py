"""What searches with real trainings came to: a table, and curves of confirmed loss over FLOPs and seconds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MARKS = (4, 8, 12, 16)  # full trainings of the seed model
_WORST = math.log(63)  # nats: a program that failed with a fresh seed is as good as guessing

Curve = Sequence[tuple[float, float]]  # cost, and the confirmed loss from there on
Curves = Mapping[str, list[Curve]]  # by method, one for each seed


def curves(body: Mapping[str, Any], cost: str) -> Curves:
    """Return each piece's confirmed loss over what it had cost, FLOPs in full trainings or seconds."""
    unit = body["confirmed"][body["base"]]["flops"] if cost == "flops" else 1
    found: dict[str, list[Curve]] = {}
    for piece in body["pieces"]:
        points = [(step[cost] / unit, _loss(body, step["program"])) for step in piece["steps"]]
        found.setdefault(piece["method"], []).append(points)
    return found


def _loss(body: Mapping[str, Any], program: str) -> float:
    losses = body["confirmed"][program]["losses"]
    return statistics.fmean(_WORST if loss is None else loss for loss in losses)


def at(curve: Curve, cost: float, start: float) -> float:
    """Return the confirmed loss of what was to be handed over by then; the seed model's at first."""
    return next((loss for spent, loss in reversed(curve) if spent <= cost), start)


def mean(runs: Sequence[Curve], start: float) -> Curve:
    """Average the curves of several seeds, at every cost at which one of them changes."""
    costs = sorted({spent for run in runs for spent, _ in run})
    return [(cost, statistics.fmean(at(run, cost, start) for run in runs)) for cost in costs]


def reached(curve: Curve, target: float) -> float:
    """Return the cost from which on a curve is at or below a loss; infinite where it never stays there."""
    cost = math.inf
    for spent, loss in curve:
        cost = min(cost, spent) if loss <= target else math.inf
    return cost


def report(body: Mapping[str, Any]) -> str:
    """Write Markdown: losses at the marks, then what each method takes to reach where another ends."""
    by_flops = curves(body, "flops")
    start = _loss(body, body["base"])
    seconds: dict[str, list[float]] = {}
    for piece in body["pieces"]:
        seconds.setdefault(piece["method"], []).append(piece["seconds"])
    title = " | ".join(f"after {mark}" for mark in MARKS)
    lines = [f"| method | seeds | {title} | best to worst | CPU s |", f"|---|{'--:|' * (len(MARKS) + 3)}"]
    for method, runs in by_flops.items():
        cells = " | ".join(f"{statistics.fmean(at(run, mark, start) for run in runs):.3f}" for mark in MARKS)
        ends = sorted(at(run, math.inf, start) for run in runs)
        lines.append(
            f"| {method} | {len(runs)} | {cells} | {ends[0]:.3f} to {ends[-1]:.3f} "
            f"| {statistics.fmean(seconds[method]):.0f} |"
        )
    return "\n".join([*lines, "", *_ratios(by_flops, start)])


def _ratios(by_flops: Curves, start: float) -> list[str]:
    """Compare what the first method takes with the others, each to where the other's mean ends."""
    ours, *others = by_flops
    lines = [f"| to the mean loss that … ends at | its own | {ours} | ratio |", "|---|--:|--:|--:|"]
    for method in others:
        theirs = mean(by_flops[method], start)
        target = theirs[-1][1]
        costs = [reached(curve, target) for curve in (theirs, mean(by_flops[ours], start))]
        own, cost = (f"{value:.1f}" if math.isfinite(value) else "-" for value in costs)
        says = (
            math.isfinite(costs[1]) and costs[0] > 0 and target < start
        )  # not where it got there for nothing
        ratio = f"{costs[1] / costs[0]:.2f}" if says else "-"
        lines.append(f"| {method} ({target:.3f}) | {own} | {cost} | {ratio} |")
    return lines


def draw(path: Path, body: Mapping[str, Any]) -> None:
    """Draw the mean curves over FLOPs and over seconds; the same figures give the same bytes."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    start = _loss(body, body["base"])
    with rc_context({"svg.hashsalt": "foundry", "svg.fonttype": "none", "text.parse_math": False}):
        figure = Figure(figsize=(11, 4.8), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, cost, label in (
            (left, "flops", "FLOPs, in full trainings of the seed model"),
            (right, "seconds", "CPU seconds"),
        ):
            for number, (method, runs) in enumerate(curves(body, cost).items()):
                if method.startswith(" "):
                    continue
                average = mean(runs, start)
                end = max(piece[cost] for piece in body["pieces"] if piece["method"] == method)
                end /= body["confirmed"][body["base"]]["flops"] if cost == "flops" else 1
                points = [(0.0, start), *average, (end, average[-1][1])]
                axes.step(*zip(*points, strict=True), where="post", color=f"C{number}", label=method)
            axes.set_xlabel(label)
            axes.grid(alpha=0.3)
        left.set_ylabel("confirmed loss of what it would hand over (nats per token)")
        left.legend(title="mean over the seeds", fontsize="small")
        metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
        figure.savefig(path, metadata=metadata, dpi=150)
