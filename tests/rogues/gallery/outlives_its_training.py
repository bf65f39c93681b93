"""Goes on after it has asked to be examined, and then changes the weights that its next rung begins with.

bare: Scored honest
rungs: 2
"""

import time

import torch

from foundry.training import checkpoint
from foundry.trial import desk

_save, _examine, saved = checkpoint.save, desk.Desk.examine, []


def save(*what):
    saved.append(what)
    _save(*what)


def examine(self, steps):
    _examine(self, steps)
    time.sleep(1)  # until what it is scored on is under way
    path, model, optimizers, step = saved[0]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 2
    _save(path, model, optimizers, step)


checkpoint.save, desk.Desk.examine = save, examine
