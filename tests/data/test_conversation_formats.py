"""What formats write, against templates as transformers renders them; which tokens are the assistant's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conversation_helpers import BYTES, ORDINARY, talk
from hypothesis import given
from hypothesis import strategies as st
from jinja2.sandbox import ImmutableSandboxedEnvironment

from foundry.data.characters import Characters
from foundry.data.conversations.message import ROLES, Conversation, Message
from foundry.data.conversations.pieces import encode, text_of
from foundry.data.conversations.settings import FORMATS, Conversations
from foundry.errors import UserError
from foundry.registry import load_part, module_names

# Written from the published descriptions, in the language of transformers' chat templates.
TEMPLATES = {
    "chatml": """\
{%- for m in messages -%}
{{ '<|im_start|>' ~ m['role'] ~ '\n' ~ m['content'] ~ '<|im_end|>' ~ '\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}
""",
    "llama3": """\
{{- bos_token -}}
{%- for m in messages -%}
{{ '<|start_header_id|>' ~ m['role'] ~ '<|end_header_id|>\n\n' ~ (m['content'] | trim) ~ '<|eot_id|>' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif -%}
""",
}
BOS = "<|begin_of_text|>"
NAMES = module_names(FORMATS)


def form(name: str) -> Any:
    return load_part(FORMATS, "conversation format", name)


def dicts(conversation: Conversation) -> list[dict[str, str]]:
    return [{"role": m.role, "content": m.text} for m in conversation]


def conversations() -> st.SearchStrategy[Conversation]:
    texts = st.text(st.characters(codec="utf-8"), max_size=30)
    messages = st.builds(Message, st.sampled_from(ROLES), texts, st.just(""))
    return st.lists(messages, min_size=1, max_size=6).map(tuple)


def test_there_are_three() -> None:
    assert NAMES == ["alpaca", "chatml", "llama3"]
    with pytest.raises(UserError, match="unknown conversation format 'chatlm': did you mean 'chatml'"):
        Conversations(format="chatlm")


@pytest.mark.parametrize("name", TEMPLATES)
@given(conversations())
def test_formats_write_what_the_published_templates_render(name: str, conversation: Conversation) -> None:
    template = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(
        TEMPLATES[name]
    )
    for asked in (False, True):
        wanted = template.render(messages=dicts(conversation), add_generation_prompt=asked, bos_token=BOS)
        pieces = [*form(name).written(conversation), *(form(name).opening() if asked else ())]
        assert text_of(pieces) == wanted


@pytest.mark.slow
@pytest.mark.parametrize("name", TEMPLATES)
def test_formats_write_what_transformers_renders(name: str) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    model = tokenizers.Tokenizer(tokenizers.models.WordLevel({"x": 0}, unk_token="x"))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=model, bos_token=BOS)
    conversation = talk(" Who's there? ", "It is I.\n", "Who?", "  \nHamlet", system="Be\n\nbrief.")
    for asked in (False, True):
        wanted = tokenizer.apply_chat_template(
            dicts(conversation),
            chat_template=TEMPLATES[name],
            tokenize=False,
            add_generation_prompt=asked,
        )
        assert (
            text_of([*form(name).written(conversation), *(form(name).opening() if asked else ())]) == wanted
        )


def test_alpaca_writes_what_alpaca_had() -> None:
    with_input = (Message("user", "Add.", "1 2"), Message("assistant", "3"))
    assert text_of(form("alpaca").written(with_input)) == (
        "Below is an instruction that describes a task, paired with an input that provides further context. "
        "Write a response that appropriately completes the request.\n\n"
        "### Instruction:\nAdd.\n\n### Input:\n1 2\n\n### Response:\n3<|endoftext|>"
    )
    assert text_of(form("alpaca").written(talk("Go.", "Gone.", "Come.", "No."))) == (
        "Below is an instruction that describes a task. "
        "Write a response that appropriately completes the request.\n\n"
        "### Instruction:\nGo.\n\n### Response:\nGone.<|endoftext|>\n\n"
        "### Instruction:\nCome.\n\n### Response:\nNo.<|endoftext|>"
    )
    assert text_of(form("alpaca").written(talk("Go.", "Gone.", system="Obey."))).startswith(
        "Obey.\n\n### Instruction:\nGo."
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_assistants_tokens_are_its_words_and_what_ends_them(name: str) -> None:
    conversation = talk("Who's there?", "It is I.", "Who?", "Hamlet", system="Be brief.")
    for tokenizer in (BYTES, ORDINARY, characters(name, conversation)):
        ids, replies = encode(form(name).written(conversation), tokenizer)
        assert tokenizer.decode(ids.tolist()) == text_of(form(name).written(conversation))
        stop = form(name).STOP
        assert tokenizer.decode(ids[replies].tolist()) == f"It is I.{stop}Hamlet{stop}"


def characters(name: str, conversation: Conversation) -> Characters:
    return Characters("".join(sorted({*text_of(form(name).written(conversation))})))


@pytest.mark.parametrize("name", NAMES)
def test_a_prompt_is_the_beginning_of_what_is_trained_on(name: str) -> None:
    """Cut into tokens the same way, also where words run together."""
    whole = talk("Who?", "  I.")
    ids, replies = encode(form(name).written(whole), BYTES)
    prompt, _ = encode([*form(name).written(whole[:1]), *form(name).opening()], BYTES)
    first = int(np.flatnonzero(replies)[0])
    assert ids[:first].tolist() == prompt.tolist()


def test_a_mark_is_one_token_and_text_that_looks_like_it_is_not() -> None:
    ids, _ = encode(form("chatml").written(talk("<|im_end|>", "no")), BYTES)
    special = BYTES.special_tokens
    assert ids.tolist().count(special["<|im_end|>"]) == 2
    assert ids.tolist().count(special["<|im_start|>"]) == 2


def test_the_text_begins_once() -> None:
    ids, _ = encode(form("llama3").written(talk("a", "b", "c", "d")), BYTES)
    assert ids.tolist().count(BYTES.special_tokens[BOS]) == 1
    assert ids[0] == BYTES.special_tokens[BOS]


def test_the_end_of_a_text_is_what_the_tokenizer_has_for_it() -> None:
    ids, _ = encode(form("alpaca").written(talk("a", "b")), ORDINARY)
    assert ids[-1] == ORDINARY.end
