"""Warns ten thousand times.

bare: Scored honest
gated: Scored honest
"""

import warnings

for number in range(10_000):
    warnings.warn(f"warning {number} {'x' * 100}", stacklevel=1)
