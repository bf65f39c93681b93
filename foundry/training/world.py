"""The processes that train one model together, as `torchrun` starts them, seen from one of them.

Free of torch: mistakes are found before anything slow begins.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from foundry.errors import UserError
from foundry.training.experiment import Training

_NAMES = {"rank": "RANK", "size": "WORLD_SIZE", "local_rank": "LOCAL_RANK", "local_size": "LOCAL_WORLD_SIZE"}


@dataclass(frozen=True)
class World:
    """One process among `size`, of which `local_size` share this machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> World:
        """Read what torchrun tells each process; without it a process is alone."""
        return cls(**{field: int(environment[name]) for field, name in _NAMES.items() if name in environment})

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    def require(self, training: Training) -> None:
        """Check that the forward passes of one update can be dealt out evenly.

        Raises:
            UserError: they cannot; the message names settings that give batches of the same size.
        """
        n, sequences = (
            training.gradient_accumulation_steps,
            training.gradient_accumulation_steps * training.batch_size,
        )
        if n % self.size == 0:
            return
        sentence = f"training.gradient_accumulation_steps {n} is not divisible by {self.size} processes"
        if sequences % self.size == 0:
            remedy = f"gradient_accumulation_steps={self.size} training.batch_size={sequences // self.size}"
            sentence += f"; training.{remedy} gives the same batch"
        raise UserError(sentence)


ALONE = World()
