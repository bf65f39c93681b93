"""Faults of v1 that let it see what it must not: later tokens, the targets, its neighbours in the batch."""

from __future__ import annotations

from gates_helpers import ANSWER, BLOCK, LOGITS, MASK, Fault, block, built, normed

LATER = "when tokens after"
FIRST = "of 16 change by"
NEIGHBOURS = "when the other rows of its batch change"
CHUNKS = "x.unflatten(1, (-1, 4)).mean(2, keepdim=True).expand(-1, -1, 4, -1).flatten(1, 2)"
CONV = "nn.Conv1d(config.n_embd, config.n_embd, 3, padding=1)"
MLP = "        self.mlp = MLP(config)\n"
ZERO_PROJECTIONS = ("std=0.02 / math.sqrt(2 * config.n_layer)", "std=0.0")
SELECTED = "idx.roll(-1, dims=1)"

LEAKS: dict[str, Fault] = {
    "full attention": ("causality", FIRST, [(MASK, "is_causal=False")]),
    "full attention behind zero projections": (
        "causality",
        FIRST,
        [(MASK, "is_causal=False"), ZERO_PROJECTIONS],
    ),
    "mask off by one": (
        "causality",
        LATER,
        [(MASK, "attn_mask=torch.ones(x.size(1), x.size(1), dtype=torch.bool).tril(1)")],
    ),
    "roll": ("causality", LATER, [block("x = x + x.roll(-1, dims=1)")]),
    "flip": ("causality", LATER, [block("x = x + x.flip(1)")]),
    "reversed cumsum": ("causality", LATER, [block("x = x + 0.1 * x.flip(1).cumsum(1).flip(1)")]),
    "mean over time": ("causality", LATER, [block("x = x + x.mean(1, keepdim=True)")]),
    "maximum over time": ("causality", LATER, [block("x = x + x.amax(1, keepdim=True)")]),
    "norm over time": (
        "causality",
        LATER,
        [block("x = x / (0.1 + x.square().mean(1, keepdim=True).sqrt())")],
    ),
    "softmax over time": ("causality", LATER, [block("x = x * (1 + x.softmax(1))")]),
    "symmetric convolution": (
        "causality",
        LATER,
        [
            (MLP, f"{MLP}        self.conv = {CONV}\n"),
            (BLOCK, f"{BLOCK} + self.conv(x.transpose(1, 2)).transpose(1, 2)"),
        ],
    ),
    "open chunks": ("causality", LATER, [block("if x.size(1) % 4 == 0:", f"    x = x + {CHUNKS}")]),
    "spectrum over time": ("causality", LATER, [block("x = x + torch.fft.fft(x, dim=1).real")]),
    "sorted over time": ("causality", LATER, [block("x = x + x.sort(dim=1).values")]),
    "embeddings ahead": (
        "causality",
        LATER,
        [normed("x = x + 0.01 * self.transformer.wte(idx.roll(-1, dims=1))")],
    ),
    "logits ahead": (
        "causality",
        LATER,
        [(LOGITS, f"{LOGITS}\n        logits = logits + 0.01 * F.one_hot({SELECTED}, logits.size(-1))")],
    ),
    "ahead in eval mode only": (
        "causality",
        "in eval mode",
        [block("x = x if self.training else x + x.roll(-1, dims=1)")],
    ),
    "ahead in train mode only": (
        "causality",
        "in train mode",
        [block("x = x + x.roll(-1, dims=1) if self.training else x")],
    ),
    "ahead in odd lengths only": (
        "causality",
        "of 11 change by",
        [block("x = x + x.roll(-1, dims=1) if x.size(1) % 2 else x")],
    ),
    "a grain of the targets": (
        "causality",
        "when only the targets change, in train mode",
        [(ANSWER, "return logits + 0.01 * F.one_hot(targets, logits.size(-1)), loss")],
    ),
    "mean over the batch": ("batch_independence", NEIGHBOURS, [block("x = x + x.mean(0, keepdim=True)")]),
    "the row above": (
        "batch_independence",
        "logits of row 0 change by",
        [block("x = x + x.roll(1, dims=0)")],
    ),
    "one row sees another": (
        "batch_independence",
        "logits of row 2 change by",
        [block("x = torch.cat((x[:2], x[2:] + x[:1]))")],
    ),
    "leak in eval mode only": (
        "batch_independence",
        "in eval mode",
        [block("x = x if self.training else x + x.mean(0)")],
    ),
    "leak in train mode only": (
        "batch_independence",
        "in train mode",
        [block("x = x + x.mean(0) if self.training else x")],
    ),
    "divided by the batch size": (
        "batch_independence",
        "when it is alone in its batch",
        [normed("x = x * (1 + 1 / x.size(0))")],
    ),
    "state from call to call": (
        "deterministic",
        "differ by",
        [built("self.last = 0.0"), normed("x = x + self.last", "self.last = x[0, 0, 0].item()")],
    ),
}
