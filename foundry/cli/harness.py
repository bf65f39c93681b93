"""Our models for lm-evaluation-harness, the package `lm_eval`: importing this registers `--model foundry`.

Gao et al., "A framework for few-shot language model evaluation" (2024).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model

from foundry.cli.language_model import LanguageModel, language_model
from foundry.data.tokenizer import whole
from foundry.decoding.decoder import best_decoder
from foundry.decoding.likelihood import Span, nats, spans
from foundry.decoding.sampling import Sampling, generate, generators
from foundry.decoding.text import TextStream

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

_NEW = 256  # tokens that are written where a task does not say


@register_model("foundry")
class FoundryLM(TemplateLM):  # type: ignore[misc]  # the package may not be there
    """A training, a candidate, a checkpoint or a model of the zoo, on the CPU.

    Args:
        model: as `foundry perplexity` takes it.
        weights, arena, checkpoint, block: its options of these names.
    """

    def __init__(
        self,
        model: str,
        weights: str | None = None,
        arena: str = "runs/evolve",
        checkpoint: str = "best",
        block: int | None = None,
        threads: int | None = None,
        **ignored: Any,
    ) -> None:
        super().__init__()
        torch.set_num_threads(int(threads or os.cpu_count() or 1))
        size = None if block is None else int(block)
        self.found: LanguageModel = language_model(
            model, arena=arena, checkpoint=checkpoint, given=weights, block=size
        )
        self.network = self.found.build()

    @property
    def eot_token_id(self) -> int:
        """The token that ends a text, after which an empty context begins."""
        return self.found.tokenizer.end

    @property
    def prefix_token_id(self) -> int:
        """The token that an empty context is: what the model expects before a text, or the end of another."""
        return (*self.found.tokenizer.start, self.eot_token_id)[0]

    @property
    def tokenizer_name(self) -> str:
        """What caches of requests are kept apart by."""
        return self.found.tokenizer.sha256

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        """Turn text into ids, with what the model expects before it unless that is not to be added."""
        tokenizer = self.found.tokenizer
        ids = tokenizer.encode(string) if add_special_tokens is False else whole(string, tokenizer)
        return list(map(int, ids))

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[tuple[str, str], list[int], list[int]]], **kwargs: Any
    ) -> list[tuple[float, bool]]:
        """Return for each continuation its logarithm of probability, and whether it is the likeliest.

        What is longer than the block loses the beginning of its context.
        """
        longest = self.found.block_size + 1
        asked = [
            Span([*context, *continuation][-longest:], min(len(continuation), longest - 1))
            for _, context, continuation in requests
        ]
        found = nats(self.network, asked)
        return [(-float(each[0].double().sum()), bool(each[1].all())) for each in found]

    def loglikelihood_rolling(self, requests: Iterable[Instance], disable_tqdm: bool = False) -> list[float]:
        """Return the logarithm of the probability of each text, all its tokens counted."""
        sums = []
        for request in requests:
            before = self.found.tokenizer.start or (self.eot_token_id,)
            tokens = [*before, *self.tok_encode(request.args[0], add_special_tokens=False)]
            size = self.found.block_size
            windows = list(spans(tokens, block_size=size, stride=size, given=len(before)))
            found = nats(self.network, windows)
            sums.append(-sum(float(each[0].double().sum()) for each in found))
        return sums

    def generate_until(self, requests: Iterable[Instance], disable_tqdm: bool = False) -> list[str]:
        """Write after each context until one of the texts that a task ends at, or the end of a text."""
        size = self.found.block_size
        decoder = best_decoder(
            self.network, vocab_size=self.found.tokenizer.vocab_size, length=min(size, 256)
        )
        written = []
        for request in requests:
            context, wanted = request.args
            most = int(wanted.get("max_gen_toks", _NEW))
            given = self.tok_encode(context)[-max(1, size - most) :] or [self.prefix_token_id]
            sampled = wanted.get("do_sample", wanted.get("temperature", 0.0) > 0)
            tokens = generate(
                decoder,
                torch.tensor([given]),
                most,
                Sampling(temperature=float(wanted.get("temperature", 1.0)) if sampled else 0.0),
                generators(0, 1),
                block_size=size,
                stop=self.eot_token_id,
            )
            until = wanted.get("until", [])
            written.append(self._until([until] if isinstance(until, str) else until, tokens))
        return written

    def _until(self, stops: Sequence[str], tokens: Iterable[torch.Tensor]) -> str:
        """Turn ids into text, up to the first of some texts or the end of a text."""
        stream, text = TextStream(self.found.tokenizer.decode), ""
        for token in tokens:
            if int(token[0]) == self.eot_token_id:
                break
            text += stream.push(int(token[0]))
            if any(stop in text for stop in stops if stop):
                break
        else:
            text += stream.finish()
        return text[: min((text.find(stop) for stop in stops if stop and stop in text), default=len(text))]
