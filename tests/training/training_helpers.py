"""Small models, texts and experiments for the tests of training."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable

import torch
from torch import Tensor, nn

from foundry.data.batches import draw
from foundry.seed import read_model
from foundry.source import build_model, load_module
from foundry.training import distributed, experiment, init
from foundry.training.world import World

torch.set_num_threads(1)

VOCABULARY = 13
SIZES: dict[str, object] = {
    "n_layer": 2,
    "n_head": 2,
    "n_embd": 16,
    "block_size": 8,
    "vocab_size": VOCABULARY,
    "dropout": 0.0,
    "bias": False,
}


def sizes(base: str, **changes: object) -> dict[str, object]:
    """Return the small configuration of a seed model, with changes."""
    return {**SIZES, **({"n_kv_head": 1} if base == "v2" else {}), **changes}


def source_of(base: str, *changes: tuple[str, str]) -> str:
    """Return a seed model's source with each (old, new) replaced everywhere; every old text must be there."""
    source = read_model(base)
    for old, new in changes:
        assert old in source, f"{base} no longer holds {old!r}"
        source = source.replace(old, new)
    return source


def model_from(source: str, model_args: dict[str, object], seed: int = 0) -> nn.Module:
    """Build and initialise a model as a trial does."""
    module = load_module(source)
    return init.initialised(lambda: build_model(module, model_args), seed)


def small(base: str = "v1", seed: int = 0, **changes: object) -> nn.Module:
    """Build a seed model in its small configuration."""
    return model_from(read_model(base), sizes(base, **changes), seed)


def recipe(**training: object) -> experiment.Experiment:
    """Make an experiment with batches of 4 blocks of 8, a short warm-up and the given changes."""
    settings: dict[str, object] = {"batch_size": 4, "warmup_iters": 2, "max_iters": 20, "schedule": "wsd"}
    made = experiment.Training(**{**settings, **training})  # type: ignore[arg-type]
    return experiment.Experiment(model_args=SIZES, training=made)


def random_tokens(n: int = 400) -> Tensor:
    """Return token ids (n,) without any pattern."""
    return torch.randint(VOCABULARY, (n,), generator=torch.Generator().manual_seed(0), dtype=torch.int32)


def first_batch(tokens: Tensor, batch_size: int = 4) -> tuple[Tensor, Tensor]:
    """Return the batch of seed 0 and step 0."""
    return draw(tokens, seed=0, step=0, batch_size=batch_size, block_size=8)


def parameters(model: nn.Module) -> dict[str, Tensor]:
    """Return copies of a model's parameters by name."""
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def differing(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    """Name the tensors that are not equal bit for bit, of those that both have."""
    return [name for name in one if name in other and not torch.equal(one[name], other[name])]


def together(work: Callable[..., None], *args: object, size: int = 2) -> None:
    """Call `work(world, *args)` in forked processes of one world, each on one thread; all must succeed."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=_member, args=(work, World(rank, size, rank, size), port, args))
        for rank in range(size)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * size


def _member(work: Callable[..., None], world: World, port: int, args: tuple[object, ...]) -> None:
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    os.environ |= {"RANK": str(world.rank), "WORLD_SIZE": str(world.size)}
    torch.set_num_threads(1)
    with distributed.joined(world, torch.device("cpu")):
        work(world, *args)
