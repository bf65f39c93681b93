"""The Llama family as its pretrained models are: Llama 3, Mistral, Qwen2, SmolLM2.

Grattafiori et al., "The Llama 3 Herd of Models" (2024), with its scaled rotary positions; Jiang et al.,
"Mistral 7B" (2023), for the window; Yang et al., "Qwen2 Technical Report" (2024), for biases of queries, keys
and values alone. Parameters have the names of Hugging Face's Llama, without the leading `model.`.
Self-contained: torch and the standard library only.
"""

import inspect
import math
from dataclasses import dataclass

import torch
import torch.nn as nn
from torch.nn import functional as F


@dataclass
class GPTConfig:
    block_size: int = 1024
    vocab_size: int = 50304
    n_layer: int = 12
    n_head: int = 12
    n_kv_head: int = 4  # must divide n_head; n_head // n_kv_head query heads share one key and value
    n_embd: int = 768
    n_ffn: int = 2048  # hidden width of the feed-forward
    dropout: float = 0.0
    bias: bool = False  # in all linear layers but the head
    qkv_bias: bool = False  # in those of queries, keys and values, as Qwen2 has it
    tied: bool = False  # one matrix embeds and predicts
    window: int | None = None  # tokens that each attends to, itself among them; None: all before it
    norm_eps: float = 1e-5
    rope_theta: float = 10000.0
    rope_factor: float = 1.0  # waves longer than rope_original / rope_low_freq turn so many times slower
    rope_low_freq: float = 1.0
    rope_high_freq: float = 4.0  # waves shorter than rope_original / rope_high_freq stay as they are
    rope_original: int = 8192  # tokens of context before the scaling


class RMSNorm(nn.Module):
    """Scale by the root mean square over the last dimension (Zhang and Sennrich, 2019)."""

    def __init__(self, ndim, eps=1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(ndim))
        self.eps = eps

    def forward(self, x):
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


class RotaryEmbedding(nn.Module):
    """Rotate halves of each head by angles that grow with position (Su et al., 2021), as Llama 3 does."""

    def __init__(self, head_dim, config):
        super().__init__()
        inv_freq = 1.0 / config.rope_theta ** (torch.arange(0, head_dim, 2).float() / head_dim)
        waves = config.rope_original * inv_freq / (2 * math.pi)  # that fit into the original context
        fast = (waves - config.rope_low_freq) / (config.rope_high_freq - config.rope_low_freq)
        fast = fast.clamp(0, 1)  # 1: stays as it is, 0: slowed by the whole factor
        inv_freq = inv_freq * (fast + (1 - fast) / config.rope_factor)
        angles = torch.outer(torch.arange(config.block_size).float(), inv_freq)  # (positions, hs/2)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, x):  # (B, nh, T, hs)
        cos, sin = self.cos[: x.size(-2)].to(x.dtype), self.sin[: x.size(-2)].to(x.dtype)
        a, b = x.chunk(2, dim=-1)
        return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


class SlidingWindowAttention(nn.Module):
    """Attend to the last `window` tokens, one's own among them; to all if None (Beltagy et al., 2020)."""

    def __init__(self, window):
        super().__init__()
        self.window = window

    def forward(self, q, k, v, dropout_p=0.0, scale=None):  # q (B, nh, T, hs), k and v (B, nkv, T, hs)
        B, T, w = q.size(0), q.size(2), self.window
        options = {"dropout_p": dropout_p, "scale": scale, "enable_gqa": k.size(1) < q.size(1)}
        if w is None or w >= T:
            return F.scaled_dot_product_attention(q, k, v, is_causal=True, **options)
        n = -(-T // w)  # chunks: each attends to itself and the one before, as a batch of its own

        def chunks(x):  # (B, n, nh, w, hs)
            x = F.pad(x, (0, 0, 0, n * w - T)) if n * w > T else x
            return x.unflatten(2, (n, w)).transpose(1, 2)

        def seen(x):  # (B * n, nkv, 2 * w, hs)
            return torch.cat((chunks(x).roll(1, dims=1), chunks(x)), dim=3).flatten(0, 1)

        mask = torch.ones(w, 2 * w, dtype=torch.bool, device=q.device).tril(w).triu(1).repeat(B, n, 1, 1, 1)
        mask[:, 0, :, :, :w] = False  # nothing comes before the first chunk
        mask = mask.flatten(0, 1)  # (B * n, 1, w, 2 * w)
        y = F.scaled_dot_product_attention(
            chunks(q).flatten(0, 1), seen(k), seen(v), attn_mask=mask, **options
        )
        return y.unflatten(0, (B, n)).transpose(1, 2).flatten(2, 3)[:, :, :T]


class CausalSelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        assert config.n_embd % config.n_head == 0, "n_embd must be divisible by n_head"
        assert config.n_head % config.n_kv_head == 0, "n_head must be divisible by n_kv_head"
        self.n_head = config.n_head
        self.n_kv_head = config.n_kv_head
        self.head_dim = config.n_embd // config.n_head
        self.dropout = config.dropout
        bias = config.bias or config.qkv_bias
        self.q_proj = nn.Linear(config.n_embd, self.n_head * self.head_dim, bias=bias)
        self.k_proj = nn.Linear(config.n_embd, self.n_kv_head * self.head_dim, bias=bias)
        self.v_proj = nn.Linear(config.n_embd, self.n_kv_head * self.head_dim, bias=bias)
        self.o_proj = nn.Linear(self.n_head * self.head_dim, config.n_embd, bias=config.bias)
        self.rope = RotaryEmbedding(self.head_dim, config)
        self.attend = SlidingWindowAttention(config.window)

    def forward(self, x):
        B, T, C = x.size()
        q = self.q_proj(x).view(B, T, self.n_head, self.head_dim).transpose(1, 2)  # (B, nh, T, hs)
        k = self.k_proj(x).view(B, T, self.n_kv_head, self.head_dim).transpose(1, 2)  # (B, nkv, T, hs)
        v = self.v_proj(x).view(B, T, self.n_kv_head, self.head_dim).transpose(1, 2)
        q, k = self.rope(q), self.rope(k)
        dropout = self.dropout if self.training else 0.0
        y = self.attend(q, k, v, dropout_p=dropout)
        y = y.transpose(1, 2).contiguous().view(B, T, C)
        return self.o_proj(y)


class SwiGLU(nn.Module):
    """Gated feed-forward (Shazeer, 2020)."""

    def __init__(self, config):
        super().__init__()
        self.gate_proj = nn.Linear(config.n_embd, config.n_ffn, bias=config.bias)
        self.up_proj = nn.Linear(config.n_embd, config.n_ffn, bias=config.bias)
        self.down_proj = nn.Linear(config.n_ffn, config.n_embd, bias=config.bias)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x):
        return self.dropout(self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x)))


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.input_layernorm = RMSNorm(config.n_embd, eps=config.norm_eps)
        self.self_attn = CausalSelfAttention(config)
        self.post_attention_layernorm = RMSNorm(config.n_embd, eps=config.norm_eps)
        self.mlp = SwiGLU(config)

    def forward(self, x):
        x = x + self.self_attn(self.input_layernorm(x))
        x = x + self.mlp(self.post_attention_layernorm(x))
        return x


class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.n_embd)
        self.layers = nn.ModuleList([Block(config) for _ in range(config.n_layer)])
        self.norm = RMSNorm(config.n_embd, eps=config.norm_eps)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        if config.tied:
            self.embed_tokens.weight = self.lm_head.weight
        self.apply(self._init_weights)
        for name, p in self.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):  # projections into the residual stream
                nn.init.normal_(p, mean=0.0, std=0.02 / math.sqrt(2 * config.n_layer))

    def _init_weights(self, module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, mean=0.0, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def get_num_params(self, non_embedding=True):
        """Count parameters, without the input embedding unless asked."""
        n = sum(p.numel() for p in self.parameters())
        if non_embedding:
            n -= self.embed_tokens.weight.numel()
        return n

    def forward(self, idx, targets=None):
        """Map ids (B, T) to logits (B, T, vocab) and loss; without targets, to the last (B, 1, vocab)."""
        T = idx.size(1)
        assert T <= self.config.block_size, f"{T} tokens exceed block_size {self.config.block_size}"
        x = self.embed_tokens(idx)  # (B, T, n_embd)
        for layer in self.layers:
            x = layer(x)
        x = self.norm(x)
        if targets is None:
            return self.lm_head(x[:, [-1], :]), None
        logits = self.lm_head(x)
        loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1), ignore_index=-1)
        return logits, loss

    def crop_block_size(self, block_size):
        """Shorten the context of an existing model."""
        assert block_size <= self.config.block_size
        self.config.block_size = block_size

    def configure_optimizers(self, weight_decay, learning_rate, betas, device_type):
        """AdamW with weight decay on matrices and embeddings only."""
        params = [p for p in self.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in params if p.dim() >= 2], "weight_decay": weight_decay},
            {"params": [p for p in params if p.dim() < 2], "weight_decay": 0.0},
        ]
        fused = device_type == "cuda" and "fused" in inspect.signature(torch.optim.AdamW).parameters
        return torch.optim.AdamW(groups, lr=learning_rate, betas=betas, **({"fused": True} if fused else {}))

    def estimate_mfu(self, fwdbwd_per_iter, dt):
        """Estimate the share of an A100's 312 bfloat16 TFLOP/s in use (PaLM, appendix B)."""
        c = self.config
        per_token = 6 * self.get_num_params() + 12 * c.n_layer * c.n_embd * c.block_size
        return per_token * c.block_size * fwdbwd_per_iter / dt / 312e12

    @torch.no_grad()
    def generate(self, idx, max_new_tokens, temperature=1.0, top_k=None):
        """Extend token ids (B, T) by max_new_tokens samples."""
        for _ in range(max_new_tokens):
            logits, _ = self(idx[:, -self.config.block_size :])
            logits = logits[:, -1, :] / temperature
            if top_k is not None:
                kth = torch.topk(logits, min(top_k, logits.size(-1))).values[:, [-1]]
                logits[logits < kth] = -float("inf")
            idx = torch.cat((idx, torch.multinomial(F.softmax(logits, dim=-1), num_samples=1)), dim=1)
        return idx
