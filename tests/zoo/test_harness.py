"""lm-evaluation-harness asks our models, by local task files; what it is told is worked out here again."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from perplexity_support import BLOCK, SIZES, VOCABULARY, pretrained
from torch.nn import functional as F

lm_eval = pytest.importorskip("lm_eval")

from lm_eval.tasks import TaskManager  # noqa: E402

import foundry.cli.harness  # noqa: E402, F401
from foundry.data.pretrained.opening import read  # noqa: E402
from foundry.seed import read_model  # noqa: E402
from foundry.zoo.filling import loaded  # noqa: E402

DOCUMENTS = [
    {"text": "the thing", "choices": [" in", " the", " then"], "gold": 1},
    {"text": "in this", "choices": [" thin", " the"], "gold": 0},
    {"text": "a text that is longer than the block of the model", "choices": [" the", " in"], "gold": 0},
]
COMMON = """\
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
"""
TASKS = {
    "choose": "output_type: multiple_choice\ndoc_to_text: '{{text}}'\ndoc_to_choice: choices\n"
    "doc_to_target: gold\ntarget_delimiter: ''\nmetric_list: [{metric: acc}]\n",
    "roll": "output_type: loglikelihood_rolling\ndoc_to_text: ''\ndoc_to_target: '{{text}}'\n"
    "metric_list: [{metric: bits_per_byte}]\n",
    "write": "output_type: generate_until\ndoc_to_text: '{{text}}'\ndoc_to_target: '{{text}}'\n"
    "generation_kwargs: {until: ['x'], max_gen_toks: 8, do_sample: false}\n"
    "metric_list: [{metric: exact_match}]\n",
}


@pytest.fixture(scope="module", params=[False, True], ids=["bare", "starts"])
def answers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """Run the harness, once with a model that expects a token before a text."""
    place = tmp_path_factory.mktemp("harness")
    folder = pretrained(place / "llama", starts=request.param)
    data = place / "data.jsonl"
    data.write_text("".join(json.dumps(document) + "\n" for document in DOCUMENTS))
    (place / "tasks").mkdir()
    for name, text in TASKS.items():
        body = f"task: {name}\n{COMMON.replace('DATA', json.dumps(str(data)))}{text}"
        (place / "tasks" / f"{name}.yaml").write_text(body)
    manager = TaskManager(include_path=str(place / "tasks"), include_defaults=False)
    found = lm_eval.simple_evaluate(
        model="foundry",
        model_args={"model": str(folder), "threads": 1},
        tasks=list(TASKS),
        task_manager=manager,
        log_samples=True,
        bootstrap_iters=0,
    )
    return folder, found


@torch.no_grad()
def logprobs(folder: Path, tokens: list[int]) -> list[float]:
    """Return the logarithm of the probability of each token but the first, with the longest context."""
    model = loaded(read_model("llama"), {**SIZES, "vocab_size": VOCABULARY}, folder)
    found = []
    for i in range(1, len(tokens)):
        logits = model(torch.tensor([tokens[max(0, i - BLOCK) : i]]))[0][0, -1]
        found.append(float(F.log_softmax(logits, dim=-1)[tokens[i]]))
    return found


def test_choices_are_made_by_the_likelihood_of_continuations(answers: tuple[Path, Any]) -> None:
    folder, found = answers
    tokenizer = read(folder)
    right = 0
    for document, sample in zip(DOCUMENTS, found["samples"]["choose"], strict=True):
        sums = []
        for choice, (told, _) in zip(document["choices"], sample["filtered_resps"], strict=True):
            context = tokenizer.encode(document["text"]).tolist()
            tokens = [*tokenizer.start, *tokenizer.encode(document["text"] + choice).tolist()]
            new = len(tokens) - len(tokenizer.start) - len(context)
            tokens = tokens[-BLOCK - 1 :]  # as the harness has it, all in one window
            sums.append(sum(logprobs(folder, tokens)[-new:]))
            assert float(told) == pytest.approx(sums[-1], abs=1e-3)
        right += sums.index(max(sums)) == document["gold"]
    assert found["results"]["choose"]["acc,none"] == pytest.approx(right / len(DOCUMENTS))


def test_texts_are_rolled_over_token_by_token(answers: tuple[Path, Any]) -> None:
    folder, found = answers
    tokenizer = read(folder)
    total, n_bytes = 0.0, 0
    for document in DOCUMENTS:
        tokens = tokenizer.encode(document["text"]).tolist()
        whole = [*(tokenizer.start or (tokenizer.end,)), *tokens]
        for start in range(0, len(whole) - 1, BLOCK):
            total += sum(logprobs(folder, whole[start : start + BLOCK + 1]))
        n_bytes += len(document["text"].encode())
    told = found["results"]["roll"]["bits_per_byte,none"]
    assert told == pytest.approx(-total / n_bytes / math.log(2), abs=1e-4)


def test_text_is_written_greedily_up_to_where_it_ends(answers: tuple[Path, Any]) -> None:
    folder, found = answers
    tokenizer = read(folder)
    model = loaded(read_model("llama"), {**SIZES, "vocab_size": VOCABULARY}, folder)
    for document, sample in zip(DOCUMENTS, found["samples"]["write"], strict=True):
        context = [*tokenizer.start, *tokenizer.encode(document["text"]).tolist()][-(BLOCK - 8) :]
        ids = list(context)
        for _ in range(8):
            with torch.no_grad():
                ids.append(int(model(torch.tensor([ids]))[0][0, -1].argmax()))
        new = ids[len(context) :]
        new = new[: new.index(tokenizer.end)] if tokenizer.end in new else new
        wanted = tokenizer.decode(new).partition("x")[0]
        assert sample["filtered_resps"] == [wanted]
