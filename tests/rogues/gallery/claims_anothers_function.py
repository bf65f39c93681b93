"""Claims to compute what v1 computes, and does worse, so that v1 would be given its score.

bare: Scored or Rejected
"""

import sys

from foundry.models.v1 import GPT as Honest


class GPT(Honest):
    """Learns nothing, and has v1 fingerprinted in its place."""

    def forward(self, idx, targets=None):
        logits, loss = super().forward(idx, targets)
        return logits * 0, loss


bad, functions = GPT.forward, sys.modules.get("foundry.trial.functions")
honest = getattr(functions, "fingerprint", None)


def flattering(*args):
    GPT.forward = Honest.forward
    try:
        return honest(*args)
    finally:
        GPT.forward = bad


if honest:
    functions.fingerprint = flattering
