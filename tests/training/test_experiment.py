"""The schema of experiment.yaml: defaults, and mistakes answered in one sentence."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundry.errors import UserError
from foundry.seed import check_model_args, read_model
from foundry.training.experiment import Data, Experiment, Training, parse

SHIPPED = sorted((Path(__file__).parents[2] / "experiments").glob("*.yaml"))


def test_nothing_given_means_nanogpts_cpu_recipe() -> None:
    assert parse("") == Experiment()
    assert parse("training:\n  batch_size: 12\n") == Experiment()
    t = Experiment().training
    assert (t.batch_size, t.gradient_accumulation_steps, t.max_iters, t.warmup_iters) == (12, 1, 2000, 100)
    assert (t.learning_rate, t.min_lr, t.weight_decay, t.beta1, t.beta2) == (1e-3, 1e-4, 0.1, 0.9, 0.99)
    assert (t.optimizer, t.schedule, t.grad_clip, t.lr_decay_iters) == ("adamw", "cosine", 1.0, None)
    assert (t.device, t.dtype, t.compile, t.gradient_checkpointing) == ("auto", "float32", False, False)
    assert Experiment().data == Data(dataset="shakespeare_char", split="standard", vocabulary=None)


def test_every_key_arrives() -> None:
    text = """
name: mine
base_model: v2
model_args: {n_layer: 3, bias: false, rope_theta: 5.0e5}
training: {optimizer: muon, schedule: linear, lr_decay_iters: 70, learning_rate: 2, beta2: 0}
data: {dataset: some/text.txt, split: nanogpt, vocabulary: shakespeare_char}
"""
    assert parse(text) == Experiment(
        name="mine",
        base_model="v2",
        model_args={"n_layer": 3, "bias": False, "rope_theta": 5e5},
        training=Training(
            optimizer="muon", schedule="linear", lr_decay_iters=70, learning_rate=2.0, beta2=0.0
        ),
        data=Data(dataset="some/text.txt", split="nanogpt", vocabulary="shakespeare_char"),
    )


def test_numbers_without_a_point_are_numbers() -> None:
    training = parse("training: {learning_rate: 1e-3, min_lr: 5E-5, weight_decay: 0}").training
    assert (training.learning_rate, training.min_lr, training.weight_decay) == (1e-3, 5e-5, 0.0)
    assert isinstance(training.weight_decay, float)
    given = parse(
        "model_args: {norm_eps: 1e-6, rope_theta: 5.0e5, scale: -.5E+1, word: e5, hex: 1e, n_layer: 2}"
    )
    assert given.model_args == {
        **{"norm_eps": 1e-6, "rope_theta": 5e5, "scale": -5.0},
        **{"word": "e5", "hex": "1e", "n_layer": 2},
    }


def test_an_optional_key_can_be_null() -> None:
    assert parse("training: {lr_decay_iters: null}").training.lr_decay_iters is None


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_experiments_are_valid(path: Path) -> None:
    experiment = parse(path.read_text("utf-8"), str(path))
    assert experiment.name == path.stem
    check_model_args(read_model(experiment.base_model), experiment.base_model, experiment.model_args)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("trainig: {}", "unknown key 'trainig': did you mean 'training'?"),
        (
            "training: {learning_rte: 1}",
            "unknown key 'training.learning_rte': did you mean 'training.learning_rate'?",
        ),
        ("data: {datset: x}", "unknown key 'data.datset': did you mean 'data.dataset'?"),
        (
            "7: 1",
            "unknown key '7': known: base_model, checkpoint, data, decoding, init_from, lora, model_args, "
            "mutations, name, strict, training",
        ),
        ("training: {device: gpu}", "unknown device 'gpu': did you mean 'cpu'?"),
        ("training: {dtype: bf16}", "unknown dtype 'bf16': did you mean 'bfloat16'?"),
        ("training: {compile: 1}", "training.compile must be true or false, not 1"),
        ("training: {compile: 'no'}", "training.compile must be true or false, not 'no'"),
        ("training: {fsdp_above: -1}", "training.fsdp_above must not be negative"),
        ("training: {optimizer: adam}", "unknown optimizer 'adam': did you mean 'adamw'?"),
        ("training: {schedule: cosin}", "unknown schedule 'cosin': did you mean 'cosine'?"),
        ("training: {schedule: _warmup}", "unknown schedule '_warmup': known: constant, cosine, linear, wsd"),
        ("training: {batch_size: 1.5}", "training.batch_size must be a whole number, not 1.5"),
        ("training: {batch_size: yes}", "training.batch_size must be a whole number, not True"),
        ("training: {batch_size: 0}", "training.batch_size must be at least 1"),
        ("training: {max_iters: 0}", "training.max_iters must be at least 1"),
        (
            "training: {gradient_accumulation_steps: 0}",
            "training.gradient_accumulation_steps must be at least 1",
        ),
        ("training: {lr_decay_iters: 0}", "training.lr_decay_iters must be at least 1"),
        ("training: {lr_decay_iters: soon}", "training.lr_decay_iters must be a whole number, not 'soon'"),
        ("training: {learning_rate: fast}", "training.learning_rate must be a number, not 'fast'"),
        ("training: {learning_rate: true}", "training.learning_rate must be a number, not True"),
        ("training: {learning_rate: [1]}", "training.learning_rate must be a number, not [1]"),
        ("training: {learning_rate: .inf}", "training.learning_rate must be a number, not inf"),
        ("training: {weight_decay: .nan}", "training.weight_decay must be a number, not nan"),
        ("training: {learning_rate: 0}", "training.learning_rate must be above 0"),
        ("training: {muon_lr: -1}", "training.muon_lr must be above 0"),
        ("training: {grad_clip: -1}", "training.grad_clip must not be negative"),
        ("training: {beta2: 1}", "training.beta2 must lie in [0, 1)"),
        ("training: {decay_fraction: 1.5}", "training.decay_fraction must lie in [0, 1)"),
        ("training: fast", "training must be a mapping of keys to values"),
        ("training:", "training must be a mapping of keys to values"),
        ("[]", "the experiment must be a mapping of keys to values"),
        ("just words", "the experiment must be a mapping of keys to values"),
        ("name: 3", "name must be text, not 3"),
        ("data: {dataset: null}", "data.dataset must be text, not None"),
        ("model_args: [4]", "model_args must be a mapping, not [4]"),
        ("model_args: {4: 4}", "model_args: 4 is not the name of a field"),
        ("model_args: {n_layer: 0}", "model_args.n_layer must be a whole number of at least 1, not 0"),
        ("model_args: {n_head: true}", "model_args.n_head must be a whole number of at least 1, not True"),
        (
            "model_args: {block_size: '64'}",
            "model_args.block_size must be a whole number of at least 1, not '64'",
        ),
        ("model_args: {n_embd: 130, n_head: 4}", "model_args.n_embd 130 is not divisible by n_head 4"),
        ("model_args: {n_head: 6, n_kv_head: 4}", "model_args.n_head 6 is not divisible by n_kv_head 4"),
    ],
)
def test_a_mistake_is_answered_in_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        parse(text, "my.yaml")
    assert str(error.value) == f"my.yaml: {sentence}"


def test_bad_yaml_is_named_with_its_line() -> None:
    with pytest.raises(UserError, match=re.escape("my.yaml is not valid YAML at line 3")):
        parse("name: x\ntraining:\n\tbatch_size: 1\n", "my.yaml")
    with pytest.raises(UserError, match=re.escape("my.yaml is not valid YAML")):
        parse("name: 2024-13-45", "my.yaml")


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
@settings(deadline=None)
def test_any_text_is_an_experiment_or_a_mistake(text: str) -> None:
    with contextlib.suppress(UserError):
        assert isinstance(parse(text), Experiment)


def test_accumulation_counts_as_tokens() -> None:
    experiment = parse(
        "model_args: {block_size: 8}\ntraining: {batch_size: 3, gradient_accumulation_steps: 5}"
    )
    assert experiment.tokens_per_step == 120


def test_an_experiment_can_be_read_without_torch() -> None:
    names = "training.experiment, foundry.seed, foundry.registry, foundry.data.dataset, foundry.keyed"
    program = f"import foundry.{names}, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
