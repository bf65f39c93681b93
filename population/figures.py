"""Figures as the field writes them: a loss to four decimals, 804k parameters, 12.3k tokens/s, 3m12s."""

from __future__ import annotations


def loss(value: float) -> str:
    """Write nats per token to four decimals; as a power of ten where that would not be readable."""
    return f"{value:.4f}" if abs(value) < 1e4 else f"{value:.1e}"


def delta(value: float | None, decimals: int) -> str:
    """Write a signed difference; nothing for None."""
    if value is None:
        return ""
    return f"{value:+z.{decimals}f}" if abs(value) < 100 else f"{value:+.0e}"


def count(value: float, gap: str = "") -> str:
    """Write an amount with three digits at most and a unit: 999, 12.3k, 804k, 1.2M."""
    if value < 999.5:
        return f"{value:.0f}{gap}"
    for unit in "kMGTPEZ":
        value /= 1000
        if value < 999.5:
            return f"{value:.1f}{gap}{unit}" if value < 99.95 else f"{value:.0f}{gap}{unit}"
    return f"{value:.0e}{gap}Z"


def duration(seconds: float) -> str:
    """Write a time by its two largest units: 42s, 3m12s, 1h04m, 2d03h."""
    whole = int(max(0.0, seconds))
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if minutes == 0:
        return f"{whole}s"
    if hours == 0:
        return f"{minutes}m{whole % 60:02}s"
    if days == 0:
        return f"{hours}h{minutes % 60:02}m"
    return f"{days}d{hours % 24:02}h"
