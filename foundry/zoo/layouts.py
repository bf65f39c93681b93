"""How checkpoints call and lay out what the seed models call otherwise.

Each function takes a container and returns its tensors by the names of the seed models, unread. A tensor that
it does not know keeps its name. Tensors that programs make for themselves, such as masks, are left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from foundry.zoo.containers import Container

_DERIVED = re.compile(r"(^|\.)(rotary_emb\.inv_freq|attn\.(masked_)?bias|rope\.freqs|rope_freqs\.weight)$")
_CONV1D = re.compile(r"\.(attn\.c_attn|attn\.c_proj|mlp\.c_fc|mlp\.c_proj)\.weight$")
_META = {
    "tok_embeddings": "embed_tokens",
    "output": "lm_head",
    "attention.wq": "self_attn.q_proj",
    "attention.wk": "self_attn.k_proj",
    "attention.wv": "self_attn.v_proj",
    "attention.wo": "self_attn.o_proj",
    "feed_forward.w1": "mlp.gate_proj",
    "feed_forward.w2": "mlp.down_proj",
    "feed_forward.w3": "mlp.up_proj",
    "attention_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
_GGUF = {
    "token_embd": "embed_tokens",
    "output": "lm_head",
    "output_norm": "norm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_down": "mlp.down_proj",
    "ffn_up": "mlp.up_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
_GGUF_GPT2 = {
    "token_embd": "transformer.wte",
    "position_embd": "transformer.wpe",
    "output": "lm_head",
    "output_norm": "transformer.ln_f",
    "attn_qkv": "attn.c_attn",
    "attn_output": "attn.c_proj",
    "ffn_up": "mlp.c_fc",
    "ffn_down": "mlp.c_proj",
    "attn_norm": "ln_1",
    "ffn_norm": "ln_2",
}


@dataclass(frozen=True)
class Stored:
    """One tensor of a checkpoint, unread."""

    name: str  # in the file
    shape: tuple[int, ...]  # as the model has it
    container: Container
    change: Callable[[Tensor], Tensor] | None = None  # from their layout to the model's, by copying

    def tensor(self, dtype: torch.dtype) -> Tensor:
        """Read it for a model."""
        if self.change is None:
            return self.container.keep(self.name, dtype)
        return self.change(self.container.read(self.name)).to(dtype)


def own(tensors: Container, prefix: str = "") -> dict[str, Stored]:
    """Take tensors as they are; with a prefix, those alone whose names have it."""
    return {
        name.removeprefix(prefix): Stored(name, shape, tensors)
        for name, shape in tensors.shapes.items()
        if name.startswith(prefix)
    }


def hugging_face(tensors: Container) -> dict[str, Stored]:
    """Take the names of Llama and GPT-2; undo the transposition of GPT-2's linear layers."""
    turned = _is_conv1d(tensors.shapes)
    found = {}
    for name, shape in tensors.shapes.items():
        if _DERIVED.search(name):
            continue
        ours = name.removeprefix("model.")
        if re.match(r"(wte|wpe|ln_f|h\.\d+)\.", ours):
            ours = f"transformer.{ours}"
        if turned and _CONV1D.search(ours):
            found[ours] = Stored(name, shape[::-1], tensors, _transposed)
        else:
            found[ours] = Stored(name, shape, tensors)
    return found


def meta(tensors: Container, head_dim: int) -> dict[str, Stored]:
    """Take the names of Meta's releases, whose queries and keys rotate neighbouring channels."""
    return _renamed(tensors, _META, r"(layers\.\d+)\.", ("attention.wq", "attention.wk"), head_dim)


def gguf(tensors: Container, architecture: str, head_dim: int) -> dict[str, Stored]:
    """Take the names of GGUF; there, Llama's queries and keys alone rotate neighbouring channels."""
    rotated = ("attn_q", "attn_k") if architecture == "llama" else ()
    names = _GGUF_GPT2 if architecture == "gpt2" else _GGUF
    return _renamed(tensors, names, r"blk\.(\d+)\.", rotated, head_dim)


def _renamed(
    tensors: Container, names: Mapping[str, str], block: str, rotated: tuple[str, ...], head_dim: int
) -> dict[str, Stored]:
    found = {}
    for name, shape in tensors.shapes.items():
        if _DERIVED.search(name):
            continue
        layer = re.match(block, name)
        module, _, kind = name[layer.end() if layer else 0 :].rpartition(".")
        number = re.search(r"\d+", layer[0]) if layer else None
        stack = "transformer.h" if "attn_qkv" in names else "layers"
        place = f"{stack}.{number[0]}." if number else ""
        ours = f"{place}{names.get(module, module)}.{kind}"
        change = partial(_halves, head_dim=head_dim) if module in rotated else None
        found[ours] = Stored(name, shape, tensors, change)
    return found


def _is_conv1d(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Tell whether linear layers lie as (in, out): of a fused projection (n, 3n) the first is the smaller."""
    fused = [shape for name, shape in shapes.items() if name.endswith("attn.c_attn.weight")]
    return bool(fused) and fused[0][0] < fused[0][1]


def _transposed(tensor: Tensor) -> Tensor:
    return tensor.t().contiguous()


def _halves(tensor: Tensor, head_dim: int) -> Tensor:
    """Reorder the channels of each head from pairs of neighbours to two halves."""
    pairs = tensor.reshape(-1, head_dim // 2, 2, *tensor.shape[1:])
    return pairs.transpose(1, 2).reshape(tensor.shape)
