"""Amounts of a budget as people write them: 60m, 1.5h, 2e15flops, 50Mtokens."""

from __future__ import annotations

import argparse
import re

_UNITS = {
    "s": ("seconds", 1.0),
    "m": ("seconds", 60.0),
    "min": ("seconds", 60.0),
    "h": ("seconds", 3600.0),
    "tokens": ("tokens", 1.0),
    "flops": ("flops", 1.0),
}
_SCALES = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_FORM = re.compile(r"(?P<number>\d+\.?\d*(?:e\+?\d+)?)(?P<scale>[kMGTPE]?)(?P<unit>[a-zA-Z]+)")


def amount(text: str) -> tuple[int, str]:
    """Read an amount as (how much, of "seconds", "tokens" or "flops").

    Raises:
        argparse.ArgumentTypeError: it is not of that form.
    """
    form = _FORM.fullmatch(text.strip())
    unit = _UNITS.get(form["unit"].lower()) if form else None
    if not form or unit is None or (form["scale"] and unit[0] == "seconds"):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no budget: write 60m, 1.5h, 2e15flops or 50Mtokens for example"
        )
    value = float(form["number"]) * _SCALES.get(form["scale"], 1.0) * unit[1]
    if not 1 <= value < 1e30:
        raise argparse.ArgumentTypeError(f"{text!r} is too small or too large a budget")
    return int(value), unit[0]
