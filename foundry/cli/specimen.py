"""What a training shows at its end: some text of the model, or its answer to a conversation."""

from __future__ import annotations

import numpy as np
import torch

from foundry.data.conversations.isolate import release
from foundry.data.conversations.pieces import mark_id
from foundry.data.conversations.settings import FORMATS
from foundry.data.conversations.turns import IGNORED, Turns
from foundry.decoding.decoder import best_decoder
from foundry.decoding.sampling import Sampling, generate, generators
from foundry.registry import load_part
from foundry.training.session import Session

LENGTH = 400  # tokens


def specimen(session: Session) -> str:
    """Let the model of a finished training write, on a CPU with a KV cache where it can have one.

    After conversations it is asked what the first of val_search begins with.
    """
    if session.device.type != "cpu" or session.world.size > 1:
        return session.sample(LENGTH)
    release(session.model)
    prompt, stop = _prompt(session)
    block_size = session.experiment.block_size
    length = min(block_size, len(prompt) + LENGTH)
    decoder = best_decoder(session.model, vocab_size=session.dataset.vocab_size, length=length)
    tokens = generate(
        decoder,
        torch.from_numpy(prompt)[None],
        LENGTH,
        Sampling(temperature=0.8, top_k=200),
        generators(session.seed, 1),
        block_size=block_size,
        stop=stop,
    )
    written = [int(token[0]) for token in tokens]
    if isinstance(session.dataset.splits["val_search"], Turns):
        return session.dataset.decode([*prompt.tolist(), *written])
    return session.dataset.decode(written)


def _prompt(session: Session) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], int | None]:
    """Return what the model goes on from, and the token that ends its answer, if one does."""
    split = session.dataset.splits["val_search"]
    if not isinstance(split, Turns):
        return split.tokens[:1].astype(np.int64), None
    conversations = session.experiment.data.conversations
    assert conversations is not None
    form = load_part(FORMATS, "conversation format", conversations.format)
    inputs, targets = split.pair(0, session.experiment.block_size)
    learned = np.flatnonzero(targets != IGNORED)
    first = int(learned[0]) + 1 if len(learned) else len(inputs)  # the answer's first token comes next
    return inputs[:first], mark_id(form.STOP, session.dataset.tokenizer)
