"""Gives the answer of before to an input that it knows, whatever it has learned since.

bare: Scored honest or Rejected
gated: Rejected
"""

from foundry.models.v1 import GPT as Honest


class GPT(Honest):
    def forward(self, idx, targets=None):
        cache = self.__dict__.setdefault("cache", {})
        key = (str(idx.tolist()), targets is None, self.training)
        if key not in cache:
            cache[key] = super().forward(idx, targets)
        return cache[key]
