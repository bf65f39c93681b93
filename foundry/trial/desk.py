"""A candidate's side of the wire to its examiner: asks for batches to train on, answers what it is asked.

The tokens lie with the examiner. What comes here are, in a process that trains, its batches, one after the
other; in one that may write nowhere, the inputs of the split that is scored, without their targets.
"""

from __future__ import annotations

import socket
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from foundry.data.batches import Batch, Batches
from foundry.data.conversations.arrange import Arranged, Marks
from foundry.decoding import rounded
from foundry.trial import wire
from foundry.trial.functions import Known


class Desk:
    """The material of a trial (see foundry/data/material.py), held by the examiner, and the examination."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        facts = wire.receive(connection)
        self.vocab_size: int = facts["vocab_size"]
        self.marks = Marks(**facts["marks"]) if facts["marks"] else None

    def batches(self) -> Batches:
        """Return what draws through the wire."""
        return _Drawn(self._connection)

    def rows(self, *, block_size: int, single: str) -> Arranged:
        """Have conversations arranged over there, in the sizes of the job."""
        wire.send(self._connection, {"op": "rows", "single": single})
        return Arranged(_Drawn(self._connection), ())

    def is_known(self, known: Known) -> bool:
        """Say what this program computes; if its score is known, there is nothing more to do."""
        wire.send(self._connection, {"op": "known", **asdict(known)})
        return bool(wire.receive(self._connection)["known"])

    def examine(self, steps: int) -> None:
        """Have processes examined that are made from the weights, after so many updates."""
        wire.send(self._connection, {"op": "examine", "steps": steps})

    def ready(self, model: nn.Module, kv_cache: str) -> None:
        """Answer until the examiner has enough, as a model with such a cache does."""
        wire.send(self._connection, {"op": "ready"})
        self._answer(model, kv_cache)

    @torch.no_grad()
    def _answer(self, model: nn.Module, kv_cache: str) -> None:
        """Send the logits of whatever inputs come, until none come.

        The model is given its own inputs as targets, because sources give logits for every position only
        where there are targets.
        """
        model.eval()
        device = next(model.parameters()).device
        while "shape" in (message := wire.receive(self._connection)):
            inputs = wire.receive_tensor(self._connection, tuple(message["shape"]), torch.int64).to(device)
            logits = rounded.predicted(model, inputs, kv_cache).float()
            wire.send(self._connection, {"shape": list(logits.shape)}, logits)


@dataclass(frozen=True)
class _Drawn:
    """Batches that another process draws."""

    connection: socket.socket

    def draw(self, *, seed: int, step: int, total: int, batch_size: int, block_size: int) -> Batch:
        """Return inputs and targets as foundry/data/batches.py does; sizes and seed are the job's own."""
        wire.send(self.connection, {"op": "draw", "step": step, "total": total})
        shape = tuple(wire.receive(self.connection)["shape"])
        return self._tensor(shape), self._tensor(shape)

    def _tensor(self, shape: tuple[int, ...]) -> Tensor:
        return wire.receive_tensor(self.connection, shape, torch.int64)
