"""Conversations in one row do not see each other, in any model; where they would, each has its own row."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conversation_helpers import BYTES, ORDINARY, talk
from torch import nn

import operators
from foundry.data.characters import Characters
from foundry.data.conversations.arrange import Arranged, Marks, read_by, rows
from foundry.data.conversations.formats import chatml
from foundry.data.conversations.ignored import Translated, ignored_target
from foundry.data.conversations.isolate import LEAK, documents, isolate, leak, release
from foundry.data.conversations.pieces import encode
from foundry.data.conversations.rows import Packed, Single
from foundry.data.conversations.turns import Turns
from foundry.data.tokenizer import Tokenizer
from foundry.errors import UserError
from foundry.seed import read_model
from foundry.source import build_model, load_module
from foundry.training import init
from operators import Source

torch.set_num_threads(1)

BLOCK = 128


def arrange(
    model: nn.Module, turns: Turns, tokenizer: Tokenizer, *, block_size: int, single: str = ""
) -> Arranged:
    """Put conversations into the rows that a model allows, as a training does."""
    ignored, single = read_by(model, Marks.of(tokenizer), block_size=block_size, single=single)
    found = rows(turns, tokenizer.end, block_size=block_size, single=single)
    return Arranged(Translated(found.batches, ignored), found.notes)


VOCABULARY = BYTES.vocab_size
TALKS = [talk(f"What is {i}?", "It is " + "very " * (i % 4) + f"{i}.") for i in range(12)]

# attention written out, as nanoGPT does where torch has no fused one
BY_HAND = (
    "y = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)",
    "y = (q @ k.mT).masked_fill(torch.ones(T, T).triu(1).bool(), -1e9).softmax(-1) @ v",
)
WITH_MASK = (
    BY_HAND[0],
    "y = F.scaled_dot_product_attention(q, k, v, torch.ones(T, T).tril().bool())",
)
WITH_BIAS = (
    BY_HAND[0],
    "y = F.scaled_dot_product_attention(q, k, v, attn_mask=torch.full((T, T), -torch.inf).triu(1))",
)


def model_of(base: str, *changes: tuple[str, str], seed: int = 0) -> nn.Module:
    source = read_model(base)
    for old, new in changes:
        assert old in source
        source = source.replace(old, new)
    return from_source(source, base, seed)


def from_source(source: str, base: str, seed: int = 0) -> nn.Module:
    args: dict[str, object] = {"n_layer": 2, "n_head": 2, "n_embd": 32, "block_size": BLOCK}
    args |= {"vocab_size": VOCABULARY, **({"n_kv_head": 1} if base == "v2" else {})}
    model = init.initialised(lambda: build_model(load_module(source), args), seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 3  # so that a token that is seen makes a difference
    return model


def mutated(base: str, operator: str, variant: str) -> nn.Module:
    source = Source(read_model(base), "name: x\n")
    edit = next(e for e in operators.lookup(operator).sites(source) if e.variant.startswith(variant))
    return from_source(operators.apply(source, edit).model, base)


def turns(tokenizer: Tokenizer = BYTES) -> Turns:
    ids, learned = zip(*(encode(chatml.written(t), tokenizer) for t in TALKS), strict=True)
    return Turns(np.concatenate(ids), 1, np.concatenate(learned), np.cumsum([0, *map(len, ids)]))


def far(model: nn.Module) -> float:
    return leak(model, vocab_size=VOCABULARY, end=BYTES.end, block_size=BLOCK)


@pytest.mark.parametrize(
    ("base", "changes"), [("v1", ()), ("v2", ()), ("v1", (WITH_MASK,)), ("v1", (WITH_BIAS,))]
)
def test_what_stands_before_two_ends_is_not_seen(base: str, changes: tuple[tuple[str, str], ...]) -> None:
    model = model_of(base, *changes)
    assert far(model) > 100 * LEAK
    isolate(model, BYTES.end)
    assert far(model) <= LEAK
    release(model)
    assert far(model) > 100 * LEAK


def test_texts_are_numbered_and_their_ends_are_theirs() -> None:
    e = 9
    idx = torch.tensor([[1, 2, e, e, 3, e, 4, e, e, e, 5], [e, e, 1, 2, 3, 4, 5, 6, 7, 8, e]])
    assert documents(idx, e).tolist() == [
        [0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 3],
        [0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1],
    ]


def test_packed_rows_give_the_loss_and_gradients_of_rows_of_their_own() -> None:
    found = turns()
    chosen = np.arange(len(found))
    losses, gradients = [], []
    for single in ("for comparison", ""):
        model = model_of("v2")
        arranged = arrange(model, found, BYTES, block_size=BLOCK, single=single)
        assert isinstance(arranged.batches, Translated)
        rows = arranged.batches.batches
        assert isinstance(rows, Single if single else Packed)
        size = len(chosen) if isinstance(rows, Single) else len(rows.bins)
        assert size == len(chosen) or not single
        inputs, targets = arranged.batches.draw(seed=0, step=0, total=1, batch_size=size, block_size=BLOCK)
        assert (inputs.size(0) < len(chosen)) == (not single)
        loss = model(inputs, targets)[1]
        loss.backward()
        losses.append(loss.item())
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(
    "model",
    [
        lambda: model_of("v1", BY_HAND),
        lambda: mutated("v2", "token_shift", "half"),
        lambda: mutated("v2", "primer_conv", ""),
    ],
    ids=["attention by hand", "token shift", "convolution"],
)
def test_a_model_that_would_see_across_has_one_conversation_in_a_row(model: object) -> None:
    made = model()  # type: ignore[operator]
    arranged = arrange(made, turns(), BYTES, block_size=BLOCK)
    assert isinstance(arranged.batches, Translated)
    assert isinstance(arranged.batches.batches, Single)
    (note,) = arranged.notes
    assert note.startswith("one conversation in a row: this model would see from one into the next")
    assert far(made) > LEAK  # it is as it was


@pytest.mark.parametrize("variant", ["sliding_window", "block_sparse", "strided", "local_global"])
def test_attention_to_parts_of_a_row_has_one_conversation_in_a_row(variant: str) -> None:
    """In whatever sizes they come: a window of 64 is found by no text of 64 tokens."""
    source = Source(read_model("v1"), f"model_args:\n  block_size: {BLOCK}\n")
    edits = {e.variant: e for e in operators.lookup("attention").sites(source) if variant in e.variant}
    assert len(edits) > 1 or variant == "local_global"
    for edit in edits.values():
        made = from_source(operators.apply(source, edit).model, "v1")
        arranged = arrange(made, turns(), BYTES, block_size=BLOCK)
        assert isinstance(arranged.batches, Translated)
        inputs, targets = arranged.batches.draw(seed=0, step=0, total=1, batch_size=2, block_size=BLOCK)
        made(inputs, targets)[1].backward()
        (note,) = arranged.notes
        single = note.startswith("one conversation in a row: this model")
        assert single == isinstance(arranged.batches.batches, Single)
        assert single, edit.variant


def test_characters_have_no_end_of_a_text() -> None:
    text = "".join(sorted({c for t in TALKS for piece in chatml.written(t) for c in piece.text}))
    letters = Characters(text)
    arranged = arrange(model_of("v2"), turns(letters), letters, block_size=BLOCK)
    (note,) = arranged.notes
    assert note == (
        "one conversation in a row: the tokenizer has no token that stands for the end of a text alone"
    )


def test_notes_say_what_is_cut_and_left_out() -> None:
    arranged = arrange(model_of("v2"), turns(ORDINARY), ORDINARY, block_size=80)
    assert arranged.notes == (
        "9 conversations are longer than a block of 80 tokens and are cut",
        "12 conversations in 12 rows of 80 tokens",
    )
    with pytest.raises(UserError, match="no conversation has a word of the assistant within a block of 8"):
        arrange(model_of("v2"), turns(), BYTES, block_size=8)


LOSS = "ignore_index=-1)"
# -1 and -100 count from the end here, and no torch function complains
WRAPPED = (
    "loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1), ignore_index=-1)",
    "chances = logits.log_softmax(-1).view(-1, logits.size(-1)); "
    "loss = -chances[torch.arange(len(chances)), targets.view(-1)].mean()",
)


def test_the_target_that_a_loss_leaves_out_is_found() -> None:
    def found(model: nn.Module) -> int:
        return ignored_target(model, vocab_size=VOCABULARY, block_size=BLOCK)

    assert found(model_of("v1")) == -1
    assert found(model_of("v2", (LOSS, "ignore_index=-100)"))) == -100
    assert found(model_of("v2", (f", {LOSS}", ")"))) == -100  # torch's default
    assert found(mutated("v1", "loss", "z_loss")) == -1
    assert found(mutated("v2", "loss", "focal")) == -1
    assert found(mutated("v2", "loss", "label_smoothing")) == -1
    assert found(mutated("v2", "moe", "")) == -1
    for changes in ((LOSS, "ignore_index=-7)"), WRAPPED):
        with pytest.raises(UserError, match="this model's loss counts every target"):
            found(model_of("v2", changes))


def test_translated_batches_hold_no_other_number() -> None:
    arranged = arrange(model_of("v1"), turns(), BYTES, block_size=BLOCK)
    _, targets = arranged.batches.draw(seed=0, step=0, total=1, batch_size=3, block_size=BLOCK)
    assert (targets == -1).any()
    assert targets.min() == -1
