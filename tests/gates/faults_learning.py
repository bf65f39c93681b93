"""Faults of v1 that let it run, but not train, resume or generate as it should."""

from __future__ import annotations

from gates_helpers import ANSWER, BLOCK, LAST_LOGITS, LOGITS, Fault, built, normed

INIT = "nn.init.normal_(module.weight, mean=0.0, std=0.02)"
UNSEEDED = "g = torch.Generator()\n            g.seed()\n            "
CROP = "    def crop_block_size("
ONE_HOT = "F.one_hot(targets, self.config.vocab_size)"
STATE = "    def state_dict(self):\n        return {'weight': torch.ones(1)}\n\n"
WRONG_STATE = "after the state dict was saved and loaded"

LEARNING: dict[str, Fault] = {
    "logits far too large": (
        "initial_loss",
        "nats, outside 2.97 to 5.47 around ln(32) = 3.47",
        [(LOGITS, "logits = 100 * self.lm_head(x)")],
    ),
    "the answer in the logits": (
        "initial_loss",
        "the loss at initialisation is 0.",
        [(LOGITS, f"{LOGITS} + 9 * {ONE_HOT}")],
    ),
    "unused parameter": (
        "gradients",
        "spare gets no gradient: the loss does not depend on it",
        [built("self.spare = nn.Parameter(torch.ones(3))")],
    ),
    "parameter times zero": (
        "gradients",
        "the gradient of transformer.h.0.ln_2.weight is zero everywhere",
        [("x = x + self.mlp(self.ln_2(x))", "x = x + 0 * self.mlp(self.ln_2(x))")],
    ),
    "detached attention": (
        "gradients",
        "transformer.h.0.ln_1.weight gets no gradient",
        [(BLOCK, f"{BLOCK}.detach()")],
    ),
    "infinite slope at the start": (
        "gradients",
        "the gradient of spare is not finite at initialisation",
        [built("self.spare = nn.Parameter(torch.zeros(1))"), normed("x = x + self.spare.abs().sqrt()")],
    ),
    "loss without a graph": (
        "gradients",
        "RuntimeError: element 0 of tensors does not require grad",
        [(ANSWER, "return logits, loss.detach()")],
    ),
    "noise in eval mode": (
        "deterministic",
        "two eval passes over the same tokens differ by",
        [normed("x = x + 0.01 * torch.rand_like(x)")],
    ),
    "noise without a seed": (
        "deterministic",
        "two models built under one seed differ by",
        [normed("noise = torch.Generator()", "noise.seed()", "x = x + torch.rand(1, generator=noise)")],
    ),
    "start without a seed": (
        "deterministic",
        "transformer.wte.weight differs between two models built under one seed",
        [(INIT, UNSEEDED + INIT.replace("0.02", "0.02, generator=g"))],
    ),
    "counts its calls": (
        "deterministic",
        "two train passes under one seed differ by",
        [built("self.calls = 0"), normed("self.calls += 1", "x = x * self.calls")],
    ),
    "random buffer that is not saved": (
        "state_dict",
        WRONG_STATE,
        [
            built("self.register_buffer('noise', torch.randn(config.n_embd), persistent=False)"),
            normed("x = x + self.noise"),
        ],
    ),
    "random attribute": (
        "state_dict",
        WRONG_STATE,
        [built("self.noise = torch.randn(config.n_embd)"), normed("x = x + self.noise")],
    ),
    "running mean that is not saved": (
        "state_dict",
        WRONG_STATE,
        [
            built("self.mean = 0.0"),
            normed(
                "if self.training:",
                "    self.mean = self.mean + 0.1 * x[:, :, 0].mean().item()",
                "else:",
                "    x = x * (1 + self.mean)",
            ),
        ],
    ),
    "state dict of another model": (
        "state_dict",
        "RuntimeError: Error(s) in loading state_dict for GPT",
        [(CROP, STATE + CROP)],
    ),
    "cannot learn": (
        "overfits",
        "the loss on one batch of 8 tokens went from 3.47 to 3.47 nats in 30 steps, not below 2.08",
        [(LOGITS, "logits = 1e-5 * self.lm_head(x)")],
    ),
    "learns to be wrong": ("overfits", "nats in 30 steps, not below", [(ANSWER, "return logits, -loss")]),
    "generate sees one token": (
        "generates",
        "below forward's best",
        [("idx[:, -self.config.block_size :]", "idx[:, -1:]")],
    ),
    "generate ignores top_k": ("generates", "below forward's best", [("if top_k is not None:", "if False:")]),
    "generate runs out of the block": (
        "generates",
        "AssertionError: 17 tokens exceed block_size 16 (model.py:",
        [("idx[:, -self.config.block_size :]", "idx")],
    ),
    "generate returns new tokens only": (
        "generates",
        "generate returns (2, 5) instead of tokens of shape (2, 18)",
        [("        return idx\n", "        return idx[:, -max_new_tokens:]\n")],
    ),
    "generate changes its prompt": (
        "generates",
        "generate changes its prompt",
        [("        return idx\n", "        return idx.flip(1)\n")],
    ),
    "generate invents tokens": (
        "generates",
        "outside the vocabulary of 32",
        [("        return idx\n", "        idx[:, -1] = 32\n        return idx\n")],
    ),
    "no generate": ("generates", "GPT has no method generate", [("def generate(", "def sample(")]),
    "other logits without targets": (
        "generates",
        "the last logits differ by",
        [(LAST_LOGITS, f"2 * {LAST_LOGITS}")],
    ),
}
