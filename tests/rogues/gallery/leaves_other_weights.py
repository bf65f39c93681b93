"""Puts a link to another candidate's weights where its own are to be read from.

bare: Crashed ended without an answer
level: landlock
"""

import os

from foundry.trial import desk

PLACES = {}  # filled in by the test

_examine = desk.Desk.examine


def examine(self, steps):
    os.unlink("weights.safetensors")
    os.symlink(PLACES["checkpoint"], "weights.safetensors")
    _examine(self, steps)


desk.Desk.examine = examine
