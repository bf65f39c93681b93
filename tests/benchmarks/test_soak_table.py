"""What the soak's table says of a series: its slope by the hour, and whether that is flat."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from scipy import stats

from benchmarks import soak

HOUR = 3600.0


def row(of: Callable[[float], float], hours: float = 4.0, every: float = 60.0) -> list[str]:
    """Sample a function of hours and return the cells of its row."""
    samples = soak.Samples()
    times = [every * number for number in range(int(hours * HOUR / every))]
    samples.series["it"] = [(at, of(at / HOUR)) for at in times]
    head, line, found = samples.table().splitlines()
    assert head.count("|") == line.count("|") == found.count("|")
    return [cell.strip() for cell in found.strip("|").split("|")]


def slope(cells: list[str]) -> tuple[float, float, float]:
    """Read a slope and its interval."""
    mean, low, _, high = cells[5].replace("(", "").replace(")", "").split()
    return float(mean), float(low), float(high)


@pytest.mark.parametrize(
    ("per_hour", "verdict"), [(10.0, "rises"), (-10.0, "falls"), (1.9, "flat"), (-1.9, "flat"), (0.0, "flat")]
)
def test_a_line_has_its_slope(per_hour: float, verdict: str) -> None:
    cells = row(lambda hour: 100 + per_hour * (hour - 2.5))  # 100 in the middle of what is counted
    assert cells[6] == verdict
    if per_hour:
        assert slope(cells) == pytest.approx((per_hour,) * 3)
    else:
        assert cells[5] == "0"


def test_the_first_quarter_is_not_counted() -> None:
    cells = row(lambda hour: 1e6 if hour < 1 else 5.0)
    assert cells == ["it", "240", "5", "5", "5", "0", "flat"]


def test_mean_and_bounds_are_of_what_is_counted() -> None:
    cells = row(lambda hour: float(int(hour * 60)), every=60)  # 0, 1, 2 … 239, of which 60 … 239 count
    assert cells[1:5] == ["240", "149.5", "60", "239"]


def test_a_slope_that_noise_hides_is_not_seen() -> None:
    rng = random.Random(3)
    cells = row(lambda hour: 100 + 40 * rng.gauss(0, 1))
    low, high = slope(cells)[1:]
    assert low < 0 < high
    assert cells[6] == "none seen"


def test_a_slope_is_seen_through_noise() -> None:
    rng = random.Random(3)
    cells = row(lambda hour: 100 + 20 * hour + 10 * rng.gauss(0, 1))
    low, high = slope(cells)[1:]
    assert low < 20 < high
    assert cells[6] == "rises"


def test_the_interval_is_that_of_student_over_the_means_of_blocks() -> None:
    """Twelve blocks of fifteen samples after a quarter; a saw whose means are known."""
    saw = [3.0, -1.0, 2.0, -4.0, 1.0, 0.0, -2.0, 5.0, -3.0, 1.0, 2.0, -4.0]
    cells = row(lambda hour: 50 + saw[max(0, round(hour * 60) - 60) // 15])
    middles = [1 + (15 * block + 7) / 60 for block in range(12)]
    mean = sum(middles) / 12
    spread = sum((at - mean) ** 2 for at in middles)
    rise = sum((at - mean) * value for at, value in zip(middles, saw, strict=True)) / spread
    left = [v - sum(saw) / 12 - rise * (at - mean) for at, v in zip(middles, saw, strict=True)]
    error = math.sqrt(sum(value**2 for value in left) / 10 / spread)
    half = float(stats.t.ppf(0.975, 10)) * error
    assert slope(cells) == pytest.approx((rise, rise - half, rise + half), rel=0.01)


def test_a_short_series_has_no_slope() -> None:
    assert row(lambda hour: 7.0, hours=0.2)[5:] == ["too few", ""]
    assert row(lambda hour: 7.0, hours=0.3)[5:] == ["0", "flat"]
