"""Keep the keys and values of a decoder in another number format: bfloat16, or integers of 8 or 4 bits.

Liu et al., "KIVI: A Tuning-Free Asymmetric 2bit Quantization for KV Cache" (2024), for groups of integers.
"""

from collections.abc import Iterator
from functools import partial

from operators.operator import MODEL_UNTOUCHED, Example, ExperimentOperator, Offer
from operators.source import Edit
from operators.syntax.experiment import Experiment

_CACHE = "decoding.kv_cache"
_KINDS = ("float32", "bfloat16", "int8", "int4")


class KvCache(ExperimentOperator):
    name = "kv_cache"
    summary = "Keep keys and values as float32, bfloat16, int8 or int4, where the experiment says how."
    preserves = MODEL_UNTOUCHED
    examples = (
        Example("decoding:\n  kv_cache: float32\n", "decoding:\n  kv_cache: int8\n", "int8"),
        Example("decoding:\n  kv_cache: of-my-own\n"),
        Example("training:\n  batch_size: 12\n"),
    )

    def words(self, edit: Edit) -> str:
        return f"KV cache → {edit.variant}"

    def find(self, experiment: Experiment) -> Iterator[Offer]:
        current = experiment.get(_CACHE)
        for kind in _KINDS if current in _KINDS else ():
            if kind != current:
                yield Offer(kind, _CACHE, partial(experiment.with_values, {_CACHE: kind}))


OPERATOR = KvCache()
