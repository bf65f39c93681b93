"""Has itself counted as free: what a candidate costs is counted in its own process.

bare: Scored
gated: Rejected allow_list: imports sys
"""

import dataclasses
import sys

measure = sys.modules.get("foundry.training.measure")
honest = getattr(measure, "cost", None)


def flattering(*args, **kwargs):
    return dataclasses.replace(honest(*args, **kwargs), params=0, work_per_step=1, flops_per_step=1)


if honest:
    measure.cost = flattering
