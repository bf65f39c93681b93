"""Does not come back from a backward pass of its own.

bare: TimedOut
"""

import time

import torch

from foundry.models.v1 import GPT as Honest


class Endless(torch.autograd.Function):
    @staticmethod
    def forward(ctx, loss):
        return loss.clone()

    @staticmethod
    def backward(ctx, gradient):
        time.sleep(20)
        return gradient


class GPT(Honest):
    def forward(self, idx, targets=None):
        logits, loss = super().forward(idx, targets)
        return logits, None if loss is None else Endless.apply(loss)
