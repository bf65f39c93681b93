"""What a series of samples says: its mean, its slope by the hour, and whether that is flat."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from scipy import stats

BLOCKS = 12
FLAT = 0.02  # of the mean, per hour
WARM = 0.25  # of the samples are not counted: caches fill


def row(name: str, points: Sequence[tuple[float, float]]) -> str:
    """Write a line of a Markdown table for points of (seconds, value): mean, least, most, slope, interval."""
    counted = points[int(WARM * len(points)) :]
    values = [value for _, value in counted]
    mean = statistics.fmean(values)
    about = f"| {name} | {len(points)} | {mean:.4g} | {min(values):.4g} | {max(values):.4g} |"
    size = len(counted) // BLOCKS
    if size == 0:
        return f"{about} too few | |"
    blocks = [counted[i * size : (i + 1) * size] for i in range(BLOCKS)]
    hours = [statistics.fmean(at for at, _ in block) / 3600 for block in blocks]
    means = [statistics.fmean(value for _, value in block) for block in blocks]
    if len(set(means)) == 1:
        return f"{about} 0 | flat |"
    fit = stats.linregress(hours, means)
    half = float(stats.t.ppf(0.975, BLOCKS - 2)) * fit.stderr
    low, high = fit.slope - half, fit.slope + half
    if max(abs(low), abs(high)) < FLAT * abs(mean):
        said = "flat"
    elif low <= 0 <= high:
        said = "none seen"
    else:
        said = "rises" if low > 0 else "falls"
    return f"{about} {fit.slope:+.3g} ({low:+.3g} to {high:+.3g}) | {said} |"
