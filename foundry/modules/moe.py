"""Sparse mixture of experts: each token passes through the few experts that a router picks for it.

Shazeer et al., "Outrageously Large Neural Networks: The Sparsely-Gated Mixture-of-Experts Layer" (2017);
Fedus et al., "Switch Transformers" (2021) for one expert a token and for the balancing loss; Jiang et al.,
"Mixtral of Experts" (2024) for weights that sum to 1. No token is dropped, so what becomes of one depends on
no other.
"""

import torch
import torch.nn as nn


class MoE(nn.Module):
    """Send each token through the top_k experts that a router prefers (Shazeer et al., 2017)."""

    def __init__(self, n_embd, experts, top_k):
        super().__init__()
        self.router = nn.Linear(n_embd, len(experts), bias=False)
        self.experts = nn.ModuleList(experts)
        self.top_k = top_k
        self.aux_loss = 0.0  # in training 1 where all experts are equally busy, more where not

    def forward(self, x):
        tokens = x.reshape(-1, x.size(-1))  # (N, n_embd)
        probs = self.router(tokens).softmax(dim=-1)  # (N, experts)
        weight, chosen = probs.topk(self.top_k)  # (N, top_k)
        if self.top_k > 1:  # a lone expert keeps its probability, or the router would not learn
            weight = weight / weight.sum(dim=-1, keepdim=True)
        order = chosen.flatten().argsort(stable=True)  # slots, expert by expert
        load = chosen.flatten().bincount(minlength=len(self.experts))  # (experts,)
        parts = tokens[order // self.top_k].split(load.tolist())
        y = torch.cat([expert(part) for expert, part in zip(self.experts, parts, strict=True)])
        y = y[order.argsort()].view(*chosen.shape, -1)  # (N, top_k, n_embd), token by token
        balance = len(self.experts) * (load / chosen.numel() * probs.mean(dim=0)).sum()
        self.aux_loss = balance if self.training else 0.0
        return (weight.unsqueeze(-1) * y).sum(dim=1).type_as(y).view_as(x)
