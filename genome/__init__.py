"""Keep a population in git: a candidate is a commit on a branch of the arena. No torch, no libcst."""

from genome.arena import Arena
from genome.candidate import Candidate, Step
from genome.failures import ArenaError

__all__ = ["Arena", "ArenaError", "Candidate", "Step"]
