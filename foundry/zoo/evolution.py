"""The experiment of a run that begins with a pretrained model. Needs no torch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import yaml

from foundry.errors import UserError
from foundry.training.experiment import parse
from foundry.zoo.beginning import beginning, weights

PREFIX = "zoo:"
_GENTLY = {"learning_rate": 1e-4, "min_lr": 1e-5}  # weights that are good already


def begun(text: str, seed_model: str, init_from: str | None) -> str:
    """Lay a model of the zoo, given as `zoo:NAME` or `zoo:FOLDER`, over an experiment.

    Training, texts and block size stay as the experiment has them, but for the learning rate where there are
    weights to keep; the tokenizer is the model's own.

    Args:
        init_from: weights, as a path or the name of a package; by default those of the folder.

    Raises:
        UserError: there is no such model, or there are no such weights.
    """
    chosen = beginning(seed_model.removeprefix(PREFIX))
    if init_from is not None:
        chosen = replace(chosen, checkpoint=weights(init_from))
    body: dict[str, Any] = yaml.safe_load(text) or {}
    context = chosen.model_args["block_size"]
    assert isinstance(context, int)
    block = min(context, parse(text).block_size) if chosen.base_model == "llama" else context
    body |= {"base_model": chosen.base_model, "model_args": {**chosen.model_args, "block_size": block}}
    for key in ("init_from", "checkpoint"):
        body.pop(key, None)
    if chosen.checkpoint is not None:
        body |= {"init_from": "pretrained", "checkpoint": str(chosen.checkpoint)}
        body["training"] = {**(body.get("training") or {}), **_GENTLY}
    body["data"] = {**(body.get("data") or {}), **chosen.spelling}
    return yaml.safe_dump(body, sort_keys=False, allow_unicode=True)


def started(text: str, init_from: str) -> str:
    """Let an experiment start from weights that fit its own model.

    Raises:
        UserError: there are none.
    """
    body: dict[str, Any] = yaml.safe_load(text) or {}
    if "base_model" not in body:
        raise UserError("--init-from needs an experiment that names its base_model")
    body |= {"init_from": "pretrained", "checkpoint": str(weights(init_from))}
    return yaml.safe_dump(body, sort_keys=False, allow_unicode=True)
