"""The losses that a candidate may train by, against their formulas, and the way back from each of them."""

import math

import numpy as np
import pytest
import torch
from operator_support import LENGTH, SEEDS, VOCABULARY, foreign_source, namespace, seed_source

import operators
from foundry.gates import Subject, run
from operators import Source

LOSSES = ("cross_entropy", "focal", "label_smoothing-0.05", "label_smoothing-0.1", "z_loss")
OTHERS = LOSSES[1:]


def trained_by(source: Source, variant: str) -> Source:
    edit = next(e for e in operators.load()["loss"].sites(source) if e.variant == variant)
    return operators.apply(source, edit)


def expected(variant: str, logits: np.ndarray, targets: np.ndarray) -> float:
    """Compute a loss over the tokens whose target is not -1; the z-loss's square is over all of them."""
    total = np.log(np.exp(logits).sum(-1))
    log_p = (logits - total[:, None])[targets >= 0]
    chosen = np.take_along_axis(log_p, targets[targets >= 0][:, None], axis=1)[:, 0]
    if variant == "focal":
        return float(((1 - np.exp(chosen)) ** 2 * -chosen).mean())
    if variant.startswith("label_smoothing"):
        share = float(variant.partition("-")[2])
        return float(((1 - share) * -chosen + share * -log_p.mean(-1)).mean())
    return float(-chosen.mean() + (1e-4 * (total**2).mean() if variant == "z_loss" else 0))


@pytest.mark.parametrize("variant", LOSSES)
def test_losses_follow_their_formulas(variant: str) -> None:
    source = seed_source("v1") if variant == "cross_entropy" else trained_by(seed_source("v1"), variant)
    module = namespace(source.model)
    sizes = {"block_size": LENGTH, "vocab_size": VOCABULARY, "n_layer": 2, "n_head": 2, "n_embd": 32}
    torch.manual_seed(0)
    gpt = module.GPT(module.GPTConfig(**sizes)).eval()
    gpt.lm_head.weight.data *= 20  # so that the losses are far apart
    idx = torch.randint(VOCABULARY, (2, LENGTH), generator=torch.Generator().manual_seed(1))
    targets = idx.roll(-1, dims=1)
    targets[:, :5] = -1  # not learned from
    with torch.no_grad():
        logits, loss = gpt(idx, targets)
    flat = logits.double().numpy().reshape(-1, VOCABULARY), targets.numpy().reshape(-1)
    assert loss.item() == pytest.approx(expected(variant, *flat), rel=1e-5)


@pytest.mark.parametrize("variant", OTHERS)
@pytest.mark.parametrize("name", [*SEEDS, "modular", "lecture", "llama_like"])
def test_every_loss_leads_back_byte_for_byte(name: str, variant: str) -> None:
    source = seed_source(name) if name in SEEDS else foreign_source(name)
    assert trained_by(trained_by(source, variant), "cross_entropy") == source


@pytest.mark.parametrize("variant", OTHERS)
def test_every_loss_leads_to_every_other(variant: str) -> None:
    source = seed_source("v2")
    for other in OTHERS:
        if other != variant:
            assert trained_by(trained_by(source, variant), other) == trained_by(source, other)


@pytest.mark.parametrize("variant", LOSSES)
def test_the_loss_there_is_is_not_offered(variant: str) -> None:
    source = seed_source("v1") if variant == "cross_entropy" else trained_by(seed_source("v1"), variant)
    assert {edit.variant for edit in operators.load()["loss"].sites(source)} == {*LOSSES} - {variant}


def test_a_loss_inside_an_expression() -> None:
    """A focal loss needs a line of its own; the others do not."""
    source = foreign_source("speedrun")
    assert {e.variant for e in operators.load()["loss"].sites(source)} == {*OTHERS} - {"focal"}
    for variant in ("z_loss", "label_smoothing-0.1"):
        assert trained_by(trained_by(source, variant), "cross_entropy") == source


@pytest.mark.parametrize(
    "call",
    [
        "F.cross_entropy(logits, targets, weight=w)",
        'F.cross_entropy(logits, targets, reduction="sum")',
        "F.cross_entropy(*pair)",
        "F.nll_loss(logits, targets)",
    ],
)
def test_a_loss_of_another_kind_is_left_alone(call: str) -> None:
    head = "import torch.nn.functional as F\n\nclass M:\n    def forward(self, logits, targets):\n"
    code = f"{head}        return {call}\n"
    assert operators.load()["loss"].sites(Source(code, "")) == []


@pytest.mark.parametrize("variant", OTHERS)
@pytest.mark.parametrize("seed", SEEDS)
def test_gates_that_look_at_the_loss_pass(seed: str, variant: str) -> None:
    """A fresh model stays near ln(vocab), since the gate as the harness computes its own cross-entropy."""
    sizes = {"n_layer": 4, "n_head": 4, "n_embd": 128, "block_size": 64, "vocab_size": 65}
    source = trained_by(seed_source(seed), variant).model
    subject = Subject(source=source, model_args=sizes, batch_size=12)
    for gate in ("shapes", "finite", "initial_loss", "gradients", "overfits"):
        assert run(gate, subject) is None


@pytest.mark.parametrize("variant", OTHERS)
def test_a_fresh_model_is_near_the_loss_of_guessing(variant: str) -> None:
    uniform, targets = np.zeros((4, 50)), np.arange(4)
    guess = {"focal": (1 - 1 / 50) ** 2 * math.log(50), "z_loss": math.log(50) + 1e-4 * math.log(50) ** 2}
    assert expected(variant, uniform, targets) == pytest.approx(guess.get(variant, math.log(50)))
