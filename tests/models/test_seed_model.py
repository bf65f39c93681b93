"""The seed model of a run: shipped or a file, and mistakes named without executing anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundry.errors import UserError
from foundry.registry import module_names
from foundry.seed import check_model_args, read_model
from foundry.source import build_config, load_module

NONE = (
    "defines no language model: no GPT with a GPTConfig, and no Module with an Embedding and a forward that "
    "no other class makes"
)


def test_shipped_models_are_read_by_name() -> None:
    for name in module_names("foundry/models"):
        assert "class GPT(nn.Module):" in read_model(name)


def test_a_file_is_returned_as_it_is_and_not_executed(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    source = "import nothing_of_that_name\r\n1 / 0\r\nclass GPTConfig: pass\r\nclass GPT: pass  # ü\r\n"
    path.write_bytes(source.encode())
    assert read_model(str(path)) == source


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("v3", "unknown model 'v3': did you mean 'v2'?"),
        ("xyz", "unknown model 'xyz': known: gpt2, llama, v1, v2"),
        ("missing.py", "model file 'missing.py' does not exist"),
        ("models/mine", "model file 'models/mine' does not exist"),
    ],
)
def test_an_unknown_model_is_answered(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        read_model(name)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", f"{NONE}; classes in it: none"),
        (b"class Model: pass\n", f"{NONE}; classes in it: Model"),
        (b"class GPT: pass\n", f"{NONE}; classes in it: GPT"),
        (b"def f():\n    class GPT: pass\n", f"{NONE}; classes in it: none"),
        (b"class GPT: pass\nclass GPTConfig(:\n", "is not valid Python at line 2"),
        (b"class GPT: pass\x00\n", "is not valid Python"),
        (b"class GPT: pass  # \xff\n", "cannot be read as UTF-8 text: "),
    ],
)
def test_a_file_that_is_no_model_is_answered(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        read_model(str(path))
    sentence = str(error.value).removeprefix(f"model file {str(path)!r} ")
    assert sentence == message or (message.endswith(": ") and sentence.startswith(message))


@pytest.mark.parametrize("base", module_names("foundry/models"))
def test_every_field_of_the_config_is_a_model_argument(base: str) -> None:
    source = read_model(base)
    check_model_args(source, base, vars(build_config(load_module(source), {})))


def test_a_wrong_model_argument_is_answered_with_the_nearest_field() -> None:
    with pytest.raises(UserError, match="unknown model argument of v1 'n_heads': did you mean 'n_head'"):
        check_model_args(read_model("v1"), "v1", ["n_layer", "n_heads"])
    with pytest.raises(UserError, match="unknown model argument of v1 'n_kv_head'"):
        check_model_args(read_model("v1"), "v1", ["n_kv_head"])


def test_a_field_without_default_is_demanded() -> None:
    source = read_model("v1").replace("block_size: int = 1024", "block_size: int")
    with pytest.raises(UserError, match="GPTConfig needs 'block_size', which model_args does not give"):
        build_config(load_module(source), {"n_layer": 2})
    assert build_config(load_module(source), {"block_size": 9}).block_size == 9
