"""Pretrained models where the rest of the program meets them: commands, prepared data, runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from perplexity_support import pretrained

import operators
from foundry.cli import main
from foundry.cli.evolve_options import parser
from foundry.cli.run import plan_run
from foundry.data import dataset
from foundry.data.conversations.settings import Conversations
from foundry.data.pretrained.opening import read
from foundry.data.settings import Data
from foundry.errors import UserError
from foundry.training.experiment import parse
from operators import Source

CHATS = Path(__file__).parents[2] / "experiments" / "chats.jsonl"
EVOLVE = Path(__file__).parents[2] / "experiments" / "evolve.yaml"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return pretrained(tmp_path / "tiny")


def test_perplexity_is_a_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.txt").write_text("In the beginning there was the word.")
    assert main(["perplexity", str(folder), str(tmp_path / "text.txt"), "--json", "--threads", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["bytes"] == 36


def test_prepared_data_keeps_the_tokenizer(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("In the beginning there was the word.\n" * 100)
    made = ["--tokenizer", "pretrained", "--vocabulary", str(folder), "--out", str(tmp_path / "made")]
    assert main(["data", "prepare", str(tmp_path / "text.txt"), *made]) == 0
    found = dataset.load(Data(dataset=str(tmp_path / "made")))
    asked = Data(dataset=str(tmp_path / "text.txt"), tokenizer="pretrained", vocabulary=str(folder))
    assert found.tokenizer.sha256 == read(folder).sha256
    assert found.splits["test"].tokens.tolist() == dataset.load(asked).splits["test"].tokens.tolist()
    (tmp_path / "made" / "tokenizer.json").write_text("{}")
    dataset.load.cache_clear()
    with pytest.raises(UserError, match=r"tokenizer.json is missing or damaged"):
        dataset.load(Data(dataset=str(tmp_path / "made")))


def test_candidates_that_write_conversations_in_other_formats_are_scored_alike(tmp_path: Path) -> None:
    folder = pretrained(tmp_path / "tiny")
    body = json.loads((folder / "tokenizer.json").read_text())
    for name in ("<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"):
        number = len(body["model"]["vocab"])
        body["added_tokens"].append({**body["added_tokens"][0], "id": number, "content": name})
        body["model"]["vocab"][name] = number
    (folder / "tokenizer.json").write_text(json.dumps(body))
    hashes = set()
    for form in ("chatml", "llama3", "alpaca"):
        for loss_on in ("assistant", "all"):
            asked = Data(
                dataset=str(CHATS),
                tokenizer="pretrained",
                vocabulary=str(folder),
                conversations=Conversations(format=form, loss_on=loss_on),
            )
            hashes.add(dataset.unselected(asked).sha256)
    assert len(hashes) == 1


def test_how_keys_and_values_are_kept_can_change_where_their_size_is_an_objective() -> None:
    for objectives, there in ((("loss", "work"), False), (("loss", "kv_bytes"), True)):
        plan = plan_run(experiment_path=str(EVOLVE), generations=1, objectives=objectives)
        kinds = operators.load()["kv_cache"].sites(Source(plan.model, plan.experiment))
        assert {edit.variant for edit in kinds} == ({"bfloat16", "int8", "int4"} if there else set())


def test_a_run_begins_with_a_model_of_the_zoo(folder: Path) -> None:
    plan = plan_run(experiment_path=str(EVOLVE), seed_model=f"zoo:{folder}", generations=1)
    begun = parse(plan.experiment)
    assert (begun.base_model, begun.checkpoint) == ("llama", str(folder))
    assert "class GPT" in plan.model
    plain = plan_run(experiment_path=str(EVOLVE), init_from=str(folder), generations=1)
    assert parse(plain.experiment).checkpoint == str(folder)
    from_scratch = plan_run(experiment_path=str(EVOLVE), generations=1)
    assert max(plain.search.sizes) < max(from_scratch.search.sizes)


def test_a_model_given_as_a_seed_is_told_its_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parser().parse_args(["--seed", "zoo:gpt2"])
    assert caught.value.code == 2
    assert "'zoo:gpt2' is no whole number; --seed-model names a model" in capsys.readouterr().err
