"""A race: does a challenger that beat the incumbent on one seed also beat it on fresh ones?

The seed that made it a challenger is not among those of the race: it was chosen for its luck there. So often
does a challenger take over after four fresh seeds (simulated; differences in standard deviations of a paired
difference; only who is better on the single seed comes to race):

    true difference               2 better  1 better  0.5 better  none   0.5 worse  1 worse  2 worse
    better on a single seed       0.977     0.841     0.691       0.500  0.309      0.159    0.023
    wins the race                 0.999     0.947     0.768       0.422  0.125      0.017    0.000
    takes over                    0.977     0.796     0.531       0.211  0.039      0.003    0.000
    seeds that the race takes     4.0       3.9       3.7         3.3    2.8        2.4      2.0
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

_CLEARLY = 2  # seeds on which a challenger that trails has to be worse to lose at once


def verdict(
    challenger: Mapping[int, float], incumbent: Mapping[int, float], seeds: Sequence[int]
) -> Literal["won", "lost"] | int:
    """Decide a race from the losses by seed so far: over, or the seed to run next.

    The challenger has won when all `seeds` are run and its mean loss over them is below the incumbent's;
    equal is not enough. It has lost as soon as it trails over the seeds run and was worse on two of them. The
    seeds are looked at in their order; the one returned is missing on one side at least. A training that
    failed has no loss, and what follows from that is for the caller to say.
    """
    differences: list[float] = []
    for seed in seeds:
        if seed not in challenger or seed not in incumbent:
            return seed
        differences.append(challenger[seed] - incumbent[seed])
        if math.fsum(differences) > 0 and sum(d > 0 for d in differences) >= _CLEARLY:
            return "lost"
    return "won" if math.fsum(differences) < 0 else "lost"
