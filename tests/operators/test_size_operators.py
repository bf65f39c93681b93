"""Sizes of a model: widths keep their heads, contexts their tokens; embedding and head are tied or not."""

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from operator_support import FOREIGN, SEEDS, assert_runs, foreign_source, namespace, seed_source

import operators
from operators import Edit, Source

TIE = operators.load()["tie_embeddings"]


def edits(name: str, experiment: str) -> list[Edit]:
    return operators.load()[name].sites(Source("", experiment))


def settings(name: str, experiment: dict[str, dict[str, object]]) -> list[dict[str, dict[str, object]]]:
    """What each edit of an operator makes of an experiment."""
    source = Source("", yaml.safe_dump(experiment))
    return [
        yaml.safe_load(operators.apply(source, edit).experiment) for edit in edits(name, source.experiment)
    ]


def test_widths_of_the_cpu_recipe() -> None:
    widths = [
        s["model_args"]["n_embd"] for s in settings("width", {"model_args": {"n_embd": 128, "n_head": 4}})
    ]
    assert widths == [64, 96, 160, 192]


@given(head_dim=st.integers(1, 40), heads=st.integers(1, 12))
def test_widths_are_divided_by_their_heads_into_even_parts(head_dim: int, heads: int) -> None:
    given_width = head_dim * heads
    for after in settings("width", {"model_args": {"n_embd": given_width, "n_head": heads}}):
        width = after["model_args"]["n_embd"]
        assert isinstance(width, int)
        assert width != given_width
        assert width % (2 * heads) == 0
        assert after["model_args"]["n_head"] == heads
        assert width >= 8 * heads
        assert 0.4 < width / given_width < 1.7


@given(block=st.integers(1, 300), batch=st.integers(1, 64))
def test_contexts_keep_the_tokens_of_a_step(block: int, batch: int) -> None:
    experiment = {"model_args": {"block_size": block}, "training": {"batch_size": batch, "max_iters": 10}}
    for after in settings("block_size", experiment):
        length, rows = after["model_args"]["block_size"], after["training"]["batch_size"]
        assert isinstance(length, int)
        assert isinstance(rows, int)
        assert length * rows == block * batch
        assert length >= 16
        assert after["training"]["max_iters"] == 10


def test_contexts_change_in_the_width_of_the_baseline() -> None:
    text = "model_args:\n  block_size: 64\ntraining:\n  batch_size: 12  # rows\n"
    assert [edit.variant for edit in edits("block_size", text)] == ["x0.5", "x2"]
    after = operators.apply(Source("", text), edits("block_size", text)[0]).experiment
    assert after == "model_args:\n  block_size: 32\ntraining:\n  batch_size: 24  # rows\n"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["width", "block_size"])
def test_sizes_reach_the_model(seed: str, name: str) -> None:
    source = seed_source(seed)
    for edit in operators.load()[name].sites(source):
        assert_runs(operators.apply(source, edit), edit)


def test_a_longer_context_has_more_learned_positions() -> None:
    source = seed_source("v1")
    longer = operators.apply(source, operators.load()["block_size"].sites(source)[0])
    args = yaml.safe_load(longer.experiment)["model_args"]
    module = namespace(longer.model)
    model = module.GPT(module.GPTConfig(vocab_size=32, **args))
    assert model.transformer.wpe.weight.shape == (args["block_size"], args["n_embd"])


@pytest.mark.parametrize(
    ("given_value", "expected"),
    [("0.0", ["0.05", "0.1", "0.2"]), ("0", ["0.05", "0.1", "0.2"]), ("0.1", ["0", "0.05", "0.2"])],
)
def test_dropout_has_four_values(given_value: str, expected: list[str]) -> None:
    text = f"model_args: {{dropout: {given_value}}}\n"
    assert [edit.variant for edit in edits("dropout", text)] == expected
    for edit in edits("dropout", text):
        after = yaml.safe_load(operators.apply(Source("", text), edit).experiment)
        assert after == {"model_args": {"dropout": float(edit.variant)}}


@pytest.mark.parametrize(
    ("written", "other"), [("true", False), ("True", False), ("no", True), ("false", True)]
)
def test_bias_is_turned_round(written: str, other: bool) -> None:
    text = f"model_args: {{bias: {written}}}  # of linear layers\n"
    (edit,) = edits("bias", text)
    after = operators.apply(Source("", text), edit).experiment
    assert yaml.safe_load(after) == {"model_args": {"bias": other}}
    assert after.endswith("  # of linear layers\n")


@pytest.mark.parametrize("name", ["width", "block_size", "dropout", "bias"])
def test_fields_that_an_experiment_does_not_give_are_left_to_the_model(name: str) -> None:
    assert edits(name, "model_args: {n_layer: 4}\ntraining: {batch_size: 12}\n") == []


def weights(source: Source) -> tuple[torch.Tensor, torch.Tensor]:
    """The weights of embedding and head of a seed model."""
    module = namespace(source.model)
    torch.manual_seed(0)
    model = module.GPT(module.GPTConfig(vocab_size=512, n_layer=1, n_head=2, n_embd=64, block_size=16))
    embedding = next(m for m in model.modules() if isinstance(m, torch.nn.Embedding))
    return embedding.weight, model.lm_head.weight


@pytest.mark.parametrize("seed", SEEDS)
def test_ties_come_and_go_and_both_start_as_wide_as_they_should(seed: str) -> None:
    source = seed_source(seed)
    (edit,) = TIE.sites(source)
    assert edit.variant == ("untie" if seed == "v1" else "tie")
    other = operators.apply(source, edit)
    (back,) = TIE.sites(other)
    assert operators.apply(other, back).model == source.model
    for each in (source, other):
        embedding, head = weights(each)
        assert (embedding is head) == (TIE.sites(each)[0].variant == "untie")
        for weight in (embedding, head):
            assert abs(weight.std().item() - 0.02) < 0.001


@pytest.mark.parametrize("name", sorted({*FOREIGN} - {"conv1d", "functional"}))  # tied, without a head
def test_sources_from_elsewhere_are_tied_by_one_line(name: str) -> None:
    source = foreign_source(name)
    (edit,) = TIE.sites(source)
    after = operators.apply(source, edit)
    added = set(after.model.splitlines()) - set(source.model.splitlines())
    assert [line.partition("=")[0].strip().endswith(".weight") for line in added] == [True]
    assert operators.apply(after, TIE.sites(after)[0]).model == source.model


MODEL = """\
import torch.nn as nn

class GPT(nn.Module):
    def __init__(self, vocab_size, dim, tied=True):
        super().__init__()
        self.wte = nn.Embedding(vocab_size, dim)
        self.head = nn.Linear(dim, vocab_size, bias=False)
        LINE

    def forward(self, idx):
        return self.head(self.wte(idx))
"""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("self.head.weight = self.wte.weight", ["untie"]),
        ("self.wte.weight = self.head.weight", ["untie"]),
        ("nn.init.normal_(self.head.weight, std=0.02)", ["tie"]),
        ("nn.init.zeros_(self.head.weight)", []),  # an embedding of zeros learns nothing
        ("self.head.weight.data.zero_()", []),
        ("if tied: self.head.weight = self.wte.weight", []),
    ],
)
def test_who_is_tied_is_read_from_the_source(line: str, expected: list[str]) -> None:
    assert [edit.variant for edit in TIE.sites(Source(MODEL.replace("LINE", line), ""))] == expected
