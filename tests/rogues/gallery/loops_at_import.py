"""Loops before it has defined anything.

bare: TimedOut
gated: TimedOut
"""

for _ in range(10**9):
    pass
