"""What the processes of a `World` do together: agree on figures, copy a model to all or share it out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from foundry.errors import UserError
from foundry.training.blocks import blocks
from foundry.training.world import World


@contextlib.contextmanager
def joined(world: World, device: torch.device) -> Iterator[None]:
    """Connect to the other processes, if there are any: by nccl on GPUs, by gloo on CPUs.

    Raises:
        UserError: devices of this kind train in one process only.
    """
    if world.size == 1:
        yield
        return
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"training.device {device.type} trains in one process, not in {world.size}")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def mean(world: World, value: float) -> float:
    """Return the mean of what all processes give, to all of them."""
    return value if world.size == 1 else _total(value) / world.size


def first_says(world: World, value: float) -> float:
    """Return what the first process gives, to all of them."""
    return value if world.size == 1 else _total(value if world.first else 0.0)


def _total(value: float) -> float:
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    tensor = torch.tensor(value, dtype=torch.float64, device=device)
    dist.all_reduce(tensor)
    return tensor.item()


def replicate(model: nn.Module, device: torch.device) -> nn.Module:
    """Keep a copy of the model in each process and average their gradients (DDP)."""
    return _Replica(model, device_ids=[device.index] if device.type == "cuda" else None)


class _Replica(DistributedDataParallel):
    def set_requires_gradient_sync(self, now: bool) -> None:
        """Average the gradients of the next backward pass, or let them add up; FSDP2 calls it so."""
        self.require_backward_grad_sync = now


def shard(model: nn.Module, world: World, device: torch.device) -> None:
    """Keep a part of every parameter in each process (FSDP2); a block is whole only while it computes."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (world.size,))
    for module in (*blocks(model), model):
        # the model itself, too: by default it would stay whole after an evaluation, its parts out of reach
        fully_shard(module, mesh=mesh, reshard_after_forward=True)


def synchronise(world: World, model: nn.Module, now: bool) -> None:
    """Say whether the next backward pass brings the processes' gradients together."""
    if world.size > 1:
        model.set_requires_gradient_sync(now)  # type: ignore[operator]


def whole(tensor: Tensor) -> Tensor:
    """Return all of a tensor, gathered from the processes where it is shared out; all must ask."""
    gather = getattr(tensor, "full_tensor", None)  # of a DTensor, whose import takes what eager.py saves
    return gather() if gather else tensor


def shared_like(tensor: Tensor, example: Tensor) -> Tensor:
    """Return this process's part of a whole tensor, placed and shared out as the example is."""
    tensor = tensor.to(example.device)
    if not hasattr(example, "full_tensor"):
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(example, DTensor)
    return distribute_tensor(tensor, example.device_mesh, example.placements, src_data_rank=None)
