"""The experiment that a pretrained model begins with, as text. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

BLOCK = 1024  # tokens: the context of the largest models would take more memory than their weights
_TRAINING = """\
training:
  batch_size: 4
  gradient_accumulation_steps: 4
  max_iters: 200
  eval_interval: 50
  learning_rate: {rate}
  min_lr: {least}
  warmup_iters: 20
  beta2: 0.95
data:
  dataset: shakespeare_char
"""


def experiment_text(
    name: str,
    comments: list[str],
    base_model: str,
    model_args: Mapping[str, object],
    *,
    checkpoint: Path | None,
    tokenizer: str | None,
) -> str:
    """Write experiment.yaml with every argument of the model spelled out.

    A model of learned positions keeps its context, for it has a parameter for each; others see blocks of
    1,024 tokens at most.
    """
    args = dict(model_args)
    context = args["block_size"]
    assert isinstance(context, int)
    shortened = base_model == "llama" and context > BLOCK
    if shortened:
        args["block_size"] = BLOCK
    start = {"init_from": "pretrained", "checkpoint": str(checkpoint)} if checkpoint is not None else {}
    body = {"name": name, "base_model": base_model, **start, "model_args": args}
    text = "".join(f"# {comment}\n" for comment in comments) + yaml.safe_dump(body, sort_keys=False)
    if shortened:
        text = text.replace(f"block_size: {BLOCK}\n", f"block_size: {BLOCK}  # up to {context}\n")
    rate, least = ("2.0e-5", "2.0e-6") if checkpoint is not None else ("3.0e-4", "3.0e-5")
    text += _TRAINING.format(rate=rate, least=least)
    return text + (f"  tokenizer: {tokenizer}\n" if tokenizer else "")
