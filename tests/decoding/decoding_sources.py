"""Models as people write them, none with a cache: each is v1 with one thing done differently."""

from __future__ import annotations

import torch
from torch import nn

from foundry.seed import read_model
from foundry.source import build_model, load_module

torch.set_num_threads(1)

BLOCK = 48
SIZES: dict[str, object] = {
    "n_layer": 2,
    "n_head": 4,
    "n_embd": 32,
    "block_size": BLOCK,
    "vocab_size": 29,
    "dropout": 0.0,
    "bias": False,
}

_ATTEND = "y = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)"
_INIT = "        self.resid_dropout = nn.Dropout(config.dropout)\n"
_POSITIONS = "x = self.transformer.wte(idx) + self.transformer.wpe(pos)"
_DROPPED = "x = self.transformer.drop(x)"
_IN = "        B, T, C = x.size()\n"


def _v1(*changes: tuple[str, str]) -> str:
    source = read_model("v1")
    for old, new in changes:
        assert old in source, f"v1 no longer holds {old!r}"
        source = source.replace(old, new)
    return source


def _after(line: str, *more: str, indent: int = 8) -> tuple[str, str]:
    return line, line + "".join(" " * indent + text + "\n" for text in more)


def _before(line: str, *more: str) -> tuple[str, str]:
    return line, "".join(text + "\n        " for text in more) + line


_MASKED = "att = att.masked_fill(self.mask[:, :, :T, :T] == 0, float('-inf'))"
_SCALED = "att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))"
_TRIL = (
    "self.register_buffer('mask', torch.tril(torch.ones(config.block_size, config.block_size))[None, None])"
)
_RANGE = "at = torch.arange(config.block_size)"

CACHED: dict[str, str] = {
    "v1": _v1(),
    "v2": read_model("v2"),
    "manual": _v1(
        _after(_INIT, _TRIL),
        (_ATTEND, f"{_SCALED}\n        {_MASKED}\n        y = F.softmax(att, dim=-1) @ v"),
    ),
    "mask made every time": _v1(
        (
            _ATTEND,
            "mask = torch.full((T, T), float('-inf')).triu(1)\n"
            "        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)",
        )
    ),
    "sliding window": _v1(
        _after(
            _INIT, _RANGE, "gap = at[:, None] - at", "self.register_buffer('near', (gap >= 0) & (gap < 7))"
        ),
        (_ATTEND, "y = F.scaled_dot_product_attention(q, k, v, attn_mask=self.near[:T, :T])"),
    ),
    "window in chunks": _v1(
        (
            _ATTEND,
            """w, n = 8, -(-T // 8)
        if T <= w:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            q, k, v = (F.pad(x, (0, 0, 0, n * w - T)).view(B, -1, n, w, x.size(-1)) for x in (q, k, v))
            k, v = (torch.cat((x.roll(1, dims=2), x), dim=3) for x in (k, v))
            seen = torch.ones(w, 2 * w, dtype=torch.bool).tril(w).triu(1).repeat(n, 1, 1)
            seen[0, :, :w] = False
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=seen).flatten(2, 3)[:, :, :T]""",
        )
    ),
    "alibi": _v1(
        _after(_INIT, "self.slopes = 2.0 ** -torch.arange(1, config.n_head + 1)"),
        (
            _ATTEND,
            "gap = torch.arange(T) - torch.arange(T)[:, None]\n"
            "        bias = (self.slopes[:, None, None] * gap).masked_fill(gap > 0, float('-inf'))\n"
            "        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)",
        ),
    ),
    "partial rotary": _v1(
        _after(
            _INIT,
            "angles = torch.outer(torch.arange(config.block_size).float(), torch.tensor([1.0, 0.1]))",
            "self.register_buffer('cos', angles.cos())",
            "self.register_buffer('sin', angles.sin())",
        ),
        _before(
            _ATTEND,
            "cos, sin = self.cos[:T], self.sin[:T]",
            "def rotate(x):",
            "    a, b, rest = x[..., 0:4:2], x[..., 1:4:2], x[..., 4:]",
            "    turned = torch.stack((a * cos - b * sin, b * cos + a * sin), dim=-1).flatten(-2)",
            "    return torch.cat((turned, rest), dim=-1)",
            "q, k = rotate(q), rotate(k)",
        ),
    ),
    "complex rotary": _v1(
        _before(
            _ATTEND,
            "angles = torch.outer(torch.arange(T).float(), torch.tensor([1.0, 0.5, 0.1, 0.01]))",
            "turn = torch.polar(torch.ones_like(angles), angles)",
            "q, k = (torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2)) for x in (q, k))",
            "q, k = (torch.view_as_real(x * turn).flatten(3) for x in (q, k))",
        )
    ),
    "positions sliced from a parameter": _v1(
        (
            "wpe=nn.Embedding(config.block_size, config.n_embd)",
            "wpe=nn.Linear(config.n_embd, config.block_size)",
        ),
        (_POSITIONS, "x = self.transformer.wte(idx) + self.transformer.wpe.weight[:T]"),
    ),
    "einsum, heads last": _v1(
        (
            "\n        ".join(f"{x} = {x}.view(B, T, self.n_head, C // self.n_head)" for x in "q"),
            "q = q.unflatten(2, (self.n_head, -1))",
        ),
        (
            _ATTEND,
            "q, k, v = (x.transpose(1, 2) for x in (q, k, v))\n"
            "        att = torch.einsum('bqhd,bkhd->bhqk', q, k) / C**0.5\n"
            "        att = att.masked_fill(torch.ones(T, T).triu(1).bool(), float('-inf')).softmax(-1)\n"
            "        y = torch.einsum('bhqk,bkhd->bqhd', att, v).transpose(1, 2)",
        ),
    ),
    "a head at a time": _v1(
        (
            _ATTEND,
            "y = torch.stack([F.scaled_dot_product_attention(*x, is_causal=True) "
            "for x in zip(q.unbind(1), k.unbind(1), v.unbind(1))], dim=1)",
        )
    ),
    "token shift": _v1(
        _after(_IN, "x = torch.cat((F.pad(x, (0, 0, 1, -1))[..., : C // 2], x[..., C // 2 :]), dim=-1)")
    ),
    "token shift by concatenation": _v1(
        _after(_IN, "x = 0.7 * x + 0.3 * torch.cat((torch.zeros(B, 1, C), x[:, :-1]), dim=1)")
    ),
    "convolution over tokens": _v1(
        _after(_INIT, "self.conv = nn.Conv1d(config.n_embd, config.n_embd, 3, groups=config.n_embd)"),
        _after(_IN, "x = self.conv(F.pad(x.mT, (2, 0))).mT"),
    ),
    "mean of all before": _v1((_DROPPED, "x = x + x.cumsum(1) / torch.arange(1, T + 1)[:, None]")),
    "in place": _v1(
        (_DROPPED, "x *= 1.5"), ("x = x + self.mlp(self.ln_2(x))", "x += self.mlp(self.ln_2(x))")
    ),
    "experts": _v1(
        _after("        self.gelu = nn.GELU()\n", "self.router = nn.Linear(config.n_embd, 3)"),
        (
            "        x = self.c_fc(x)\n",
            "        flat = x.reshape(-1, x.size(-1))\n"
            "        choice = self.router(flat).argmax(-1)\n"
            "        y = torch.zeros_like(flat)\n"
            "        for i in range(3):\n"
            "            mine = choice == i\n"
            "            if mine.any():\n"
            "                y = y + mine[:, None] * (i + 1) * flat\n"
            "        x = self.c_fc(y.view_as(x))\n",
        ),
    ),
    "recurrent": _v1(
        ("self.mlp = MLP(config)", "self.mlp = nn.GRU(config.n_embd, config.n_embd, batch_first=True)"),
        ("self.mlp(self.ln_2(x))", "self.mlp(self.ln_2(x))[0]"),
    ),
    "torch's own attention": _v1(
        _after(_INIT, "self.mha = nn.MultiheadAttention(config.n_embd, config.n_head, batch_first=True)"),
        (
            _ATTEND,
            "ahead = torch.ones(T, T, dtype=torch.bool).triu(1)\n"
            "        return self.mha(x, x, x, attn_mask=ahead)[0]",
        ),
    ),
}

UNCACHED: dict[str, str] = {
    "looks at the length": _v1((_DROPPED, "x = x * (1 + 1 / T)")),
    "changes at a length": _v1((_DROPPED, "x = x * (2 if T > 37 else 1)")),
    "writes to activations": _v1((_DROPPED, "x[:, 0] = 0")),
    "random": _v1((_DROPPED, "x = x + 0.1 * torch.randn_like(x)")),
}


def model_of(source: str) -> nn.Module:
    """Build a model whose logits depend on all that its source does: every parameter is drawn wide."""
    args = {**SIZES, **({"n_kv_head": 2} if "n_kv_head" in source else {})}
    model = build_model(load_module(source), args)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.2, generator=generator)
    return model.eval()


def random_tokens(rows: int, n: int) -> torch.Tensor:
    """Return token ids (rows, n) without any pattern."""
    return torch.randint(29, (rows, n), generator=torch.Generator().manual_seed(1))
