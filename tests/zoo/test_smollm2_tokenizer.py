"""The tokenizer inside the released SmolLM2, beside what Hugging Face puts together of the same parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

transformers = pytest.importorskip("transformers")

import tokenizers  # noqa: E402

from foundry.data import dataset  # noqa: E402
from foundry.data.conversations.formats import chatml  # noqa: E402
from foundry.data.conversations.message import Message  # noqa: E402
from foundry.data.conversations.pieces import encode  # noqa: E402
from foundry.data.pretrained.opening import read  # noqa: E402
from foundry.data.pretrained.tokenizer import Pretrained  # noqa: E402

pytestmark = pytest.mark.slow
ODD = "Grüße, 天地玄黃!  ½ x² e\u0301\t— it's 12:30…\r\n\n   7 \u00a0\u2028<|im_end|> 😀 \x04 end  "


@pytest.fixture(scope="module")
def both(smollm2: Path) -> tuple[Pretrained, Any]:
    """Ours, and theirs of the same tokens and merges."""
    ours = read(smollm2)
    made = tokenizers.Tokenizer.from_str(json.dumps(ours.definition.as_json()))
    level = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    digits = tokenizers.pre_tokenizers.Digits(individual_digits=True)
    made.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([digits, level])
    return ours, made


def test_text_becomes_the_same_ids(both: tuple[Pretrained, Any]) -> None:
    ours, theirs = both
    theirs.encode_special_tokens = True
    text = dataset.read_text("shakespeare_char")[:300_000] + ODD * 50
    assert ours.encode(text).tolist() == theirs.encode(text).ids
    assert (ours.vocab_size, ours.end) == (49_152, 0)


def test_conversations_become_the_same_ids_as_by_the_models_own_template(
    both: tuple[Pretrained, Any], smollm2: Path
) -> None:
    import gguf

    ours, theirs = both
    theirs.encode_special_tokens = False
    field = gguf.GGUFReader(smollm2).get_field("tokenizer.chat_template")
    assert field is not None
    wrapped = transformers.PreTrainedTokenizerFast(tokenizer_object=theirs, chat_template=field.contents())
    contents = {
        "system": "You keep a light.",
        "user": "Who, at 12:30?",
        "assistant": "I'm Maren.\nHi!",
    }
    messages = [{"role": role, "content": content} for role, content in contents.items()]
    told = wrapped.apply_chat_template(messages, tokenize=True, return_dict=False)
    ids, _ = encode(chatml.written([Message(role, text) for role, text in contents.items()]), ours)
    assert ids.tolist() == list(told)
