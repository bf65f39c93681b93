"""The experiment that a pretrained model begins with, as text. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from foundry.zoo.beginning import Beginning

BLOCK = 1024  # tokens: the context of the largest models would take more memory than their weights
_CHAT_BLOCK = 256  # tokens of conversations in a row
_TRAINING: Mapping[str, Any] = {
    **{"batch_size": 4, "gradient_accumulation_steps": 4, "max_iters": 200, "eval_interval": 50},
    **{"learning_rate": 3e-4, "min_lr": 3e-5, "warmup_iters": 20, "beta2": 0.95},
}
_GENTLY = {"learning_rate": 2e-5, "min_lr": 2e-6}  # weights that are good already
_ADAPTERS = {
    **{"batch_size": 2, "gradient_accumulation_steps": 1, "max_iters": 24, "eval_interval": 6},
    **{"learning_rate": 1e-3, "min_lr": 0.0, "warmup_iters": 3, "beta2": 0.99, "weight_decay": 0.0},
}
_LORA = {"rank": 16, "alpha": 32, "dropout": 0.05, "targets": ["all-linear"]}


def experiment_text(given: Beginning) -> str:
    """Write experiment.yaml with every argument of the model spelled out.

    A model of learned positions keeps its context, for it has a parameter for each; others see blocks of
    1,024 tokens at most, or 256 of conversations.
    """
    args = dict(given.model_args)
    context = args["block_size"]
    assert isinstance(context, int)
    longest = _CHAT_BLOCK if given.chats else BLOCK
    shortened = given.base_model == "llama" and context > longest
    if shortened:
        args["block_size"] = longest
    body: dict[str, object] = {"name": given.name, "base_model": given.base_model}
    if given.checkpoint is not None:
        body |= {"init_from": "pretrained", "checkpoint": str(given.checkpoint)}
    body |= {"model_args": args, "training": _training(given)}
    if given.chats:
        body["lora"] = _LORA
    body["data"] = _data(given)
    text = "".join(f"# {comment}\n" for comment in given.comments)
    text += yaml.safe_dump(body, sort_keys=False, allow_unicode=True)
    if shortened:
        text = text.replace(f"block_size: {longest}\n", f"block_size: {longest}  # up to {context}\n")
    return text


def _training(given: Beginning) -> dict[str, Any]:
    if given.chats:
        return {**_TRAINING, **_ADAPTERS}
    return {**_TRAINING, **(_GENTLY if given.checkpoint is not None else {})}


def _data(given: Beginning) -> dict[str, object]:
    data: dict[str, object] = {"dataset": given.chats or "shakespeare_char", **given.spelling}
    if given.chats:
        data["conversations"] = {"format": given.conversations}
    return data
