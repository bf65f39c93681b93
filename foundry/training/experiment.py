"""The one schema of `experiment.yaml`. Free of torch: the driver reads experiments too."""

from __future__ import annotations

import dataclasses
import functools
import math
import re
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from foundry.data.settings import Data
from foundry.decoding.kinds import EXACT, KINDS
from foundry.errors import UserError, unknown
from foundry.lora.settings import Lora
from foundry.registry import module_names


@dataclass(frozen=True, kw_only=True)
class Training:
    """How to train. Learning rates are those at the end of warm-up."""

    batch_size: int = 12  # sequences in one forward pass
    gradient_accumulation_steps: int = 1  # forward passes in one update
    batch_ramp: int = 1  # early on, an update is so many in a row, each of that part of the sequences
    max_iters: int = 2000  # updates
    optimizer: str = "adamw"  # a module of foundry/training/optimizers
    learning_rate: float = 1e-3
    muon_lr: float = 0.02  # for the matrices that the optimizer `muon` takes
    embedding_lr_factor: float = 1.0  # on the learning rate of embeddings, and of a head tied to them
    head_lr_factor: float = 1.0  # on that of a head of its own
    min_lr: float = 1e-4  # where the schedule ends; other rates shrink in proportion
    weight_decay: float = 0.1  # of tensors with two dimensions or more
    beta1: float = 0.9
    beta2: float = 0.99
    grad_clip: float = 1.0  # norm of all gradients together; 0 turns clipping off
    schedule: str = "cosine"  # a module of foundry/training/schedules
    warmup_iters: int = 100
    lr_decay_iters: int | None = None  # where `cosine` arrives at min_lr; by default at the end
    eval_interval: int = 250  # updates from one evaluation, and checkpoint, to the next
    decay_fraction: float = 0.3  # the last part of the training, in which `wsd` decays
    device: str = "auto"  # cpu, cuda, mps, or the best there is; trials of a search stay on the CPU
    dtype: str = "float32"  # of matrix products in training, or bfloat16, or auto; all else is float32
    compile: bool = False  # by torch.compile: pays where a training takes much longer than a minute
    gradient_checkpointing: bool = False  # keep the inputs of blocks alone and compute the rest twice
    fsdp_above: int = 1_000_000_000  # parameters from which on several processes share out the model

    def __post_init__(self) -> None:
        for name in ("batch_size", "gradient_accumulation_steps", "batch_ramp", "max_iters", "eval_interval"):
            _require(getattr(self, name) >= 1, f"training.{name} must be at least 1")
        _require(
            self.lr_decay_iters is None or self.lr_decay_iters >= 1,
            "training.lr_decay_iters must be at least 1",
        )
        for name in ("learning_rate", "muon_lr", "embedding_lr_factor", "head_lr_factor"):
            _require(getattr(self, name) > 0, f"training.{name} must be above 0")
        for name in ("min_lr", "weight_decay", "grad_clip", "warmup_iters", "fsdp_above"):
            _require(getattr(self, name) >= 0, f"training.{name} must not be negative")
        for name in ("beta1", "beta2", "decay_fraction"):
            _require(0 <= getattr(self, name) < 1, f"training.{name} must lie in [0, 1)")
        for name, package in (("optimizer", "optimizers"), ("schedule", "schedules")):
            _require_one_of(name, getattr(self, name), module_names(f"foundry/training/{package}"))
        _require_one_of("device", self.device, ("auto", "cpu", "cuda", "mps"))
        _require_one_of("dtype", self.dtype, ("auto", "float32", "bfloat16"))


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How the trained model is to write."""

    kv_cache: str = EXACT  # one of float32, bfloat16, int8, int4; but for the first, trials score with it

    def __post_init__(self) -> None:
        _require_one_of("kv_cache", self.kv_cache, KINDS)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One experiment: which model, of what size, trained how and on what."""

    name: str = "experiment"
    base_model: str = "v1"  # a module of foundry/models, or the path of a model file
    mutations: tuple[str, ...] = ()  # of the base model, each `operator variant @ site`; see foundry mutate
    model_args: Mapping[str, object] = field(default_factory=dict)  # fields of the model's GPTConfig
    init_from: str = "scratch"  # or pretrained: from `checkpoint`
    checkpoint: str | None = None  # a file or folder that foundry.zoo can read
    strict: bool = True  # whether that must have every tensor of the model and no other
    training: Training = field(default_factory=Training)
    data: Data = field(default_factory=Data)
    decoding: Decoding = field(default_factory=Decoding)
    lora: Lora | None = None  # train adapters alone, instead of the model itself

    def __post_init__(self) -> None:
        _require_one_of("init_from", self.init_from, ("scratch", "pretrained"))
        _require(
            (self.init_from == "pretrained") == (self.checkpoint is not None),
            "init_from: pretrained and checkpoint: PATH belong together",
        )

    def sized_for(self, vocab_size: int) -> dict[str, object]:
        """Return the model's arguments for data of so many tokens; a pretrained model keeps its own, more.

        Raises:
            UserError: a pretrained model has fewer tokens than the data.
        """
        own = self.model_args.get("vocab_size")
        if self.init_from == "pretrained" and isinstance(own, int):
            _require(own >= vocab_size, f"the data has {vocab_size} tokens, the pretrained model {own}")
            return dict(self.model_args)
        return {**self.model_args, "vocab_size": vocab_size}

    @property
    def block_size(self) -> int:
        """Tokens of context in training."""
        value = self.model_args.get("block_size", 1024)
        assert isinstance(value, int)
        return value

    @property
    def tokens_per_step(self) -> int:
        """Training tokens that one update sees."""
        t = self.training
        return t.batch_size * t.gradient_accumulation_steps * self.block_size


def override(text: str, settings: Iterable[str], source: str = "experiment.yaml") -> str:
    """Set keys given as `training.max_iters=200` in the YAML of an experiment; without any, leave it alone.

    Raises:
        UserError: not of that form, or not YAML. Whether the keys exist is for `parse` to say.
    """
    body: dict[str, Any] | None = None
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not (key and equals):
            raise UserError(f"{setting!r} is not of the form key=value, such as training.max_iters=200")
        body = (_read(text, source) or {}) if body is None else body
        *outer, last = key.split(".")
        inner = body
        for name in outer:
            inner = inner.setdefault(name, {})
            if not isinstance(inner, dict):
                raise UserError(f"{key}: {name} is a value and has no keys")
        inner[last] = _read(value, setting)
    return text if body is None else yaml.safe_dump(body, sort_keys=False)


@functools.lru_cache(maxsize=64)  # all processes of a trial read the same one
def parse(text: str, source: str = "experiment.yaml") -> Experiment:
    """Read an experiment from YAML; all who read the same text share what it says, and change nothing in it.

    Raises:
        UserError: not YAML, an unknown key (the message names the nearest), or a value of the wrong kind.
    """
    body = _read(text, source)
    try:
        experiment = _build(Experiment, {} if body is None else body, "")
        assert isinstance(experiment, Experiment)
        _check_model_args(experiment.model_args)
    except UserError as error:
        raise UserError(f"{source}: {error}") from None
    return experiment


def _read(text: str, source: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError) as error:  # a day of 2024-13-45 is a ValueError
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        twice = (
            f": {problem}" if (problem := getattr(error, "problem", None) or "").endswith(" twice") else ""
        )
        raise UserError(f"{source} is not valid YAML{where}{twice}") from None


class _Loader(yaml.SafeLoader):
    """Read 1e-6 and 5.0e5 as numbers, which YAML 1.1 takes for text; refuse a key that is there twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(problem_mark=node.start_mark, problem=f"{key} twice")
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def _build(kind: type, body: object, prefix: str) -> object:
    if not isinstance(body, dict):
        raise UserError(f"{prefix.rstrip('.') or 'the experiment'} must be a mapping of keys to values")
    hints = typing.get_type_hints(kind)
    values = {}
    for key, value in body.items():
        if key not in hints:
            raise unknown("key", f"{prefix}{key}", [prefix + name for name in hints])
        section = _section(hints[key])
        optional = type(None) in typing.get_args(hints[key])
        values[key] = (
            _build(section, value, f"{prefix}{key}.")
            if section is not None and not (optional and value is None)
            else _convert(value, hints[key], f"{prefix}{key}")
        )
    return kind(**values)


def _section(hint: Any) -> type | None:
    """Return the dataclass that a field holds, or may hold; None where it is a plain value."""
    kinds = (kind for kind in (hint, *typing.get_args(hint)) if dataclasses.is_dataclass(kind))
    return next((kind for kind in kinds if isinstance(kind, type)), None)


def _convert(value: object, hint: object, name: str) -> object:
    optional = type(None) in typing.get_args(hint)
    if optional and value is None:
        return None
    if optional:
        hint = next(arg for arg in typing.get_args(hint) if arg is not type(None))
    if hint is float and not isinstance(value, bool):
        try:  # in quotes, too
            number = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if math.isfinite(number):
            return number
    if hint is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if hint in (str, bool) and isinstance(value, hint):
        return value
    if (
        typing.get_origin(hint) is tuple
        and isinstance(value, list)
        and all(isinstance(v, str) for v in value)
    ):
        return tuple(value)
    if typing.get_origin(hint) is Mapping and isinstance(value, dict):
        return value
    if typing.get_origin(hint) is tuple:
        raise UserError(f"{name} must be a list of texts, not {value!r}")
    wanted = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    raise UserError(f"{name} must be {wanted.get(hint, 'a mapping')}, not {value!r}")  # type: ignore[call-overload]


def _check_model_args(args: Mapping[str, object]) -> None:
    for name, value in args.items():
        _require(isinstance(name, str), f"model_args: {name!r} is not the name of a field")
        if name in ("n_layer", "n_head", "n_kv_head", "n_embd", "block_size", "vocab_size"):
            whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
            _require(whole, f"model_args.{name} must be a whole number of at least 1, not {value!r}")
    n_embd, n_head = args.get("n_embd"), args.get("n_head")
    if isinstance(n_embd, int) and isinstance(n_head, int):
        _require(n_embd % n_head == 0, f"model_args.n_embd {n_embd} is not divisible by n_head {n_head}")
    n_kv_head = args.get("n_kv_head")
    if isinstance(n_head, int) and isinstance(n_kv_head, int):
        _require(
            n_head % n_kv_head == 0, f"model_args.n_head {n_head} is not divisible by n_kv_head {n_kv_head}"
        )


def _require(condition: bool, sentence: str) -> None:
    if not condition:
        raise UserError(sentence)


def _require_one_of(kind: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise unknown(kind, name, known)
