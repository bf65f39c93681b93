"""What the operator tests share: the seed models, a miniature experiment, and a way to run a source."""

import ast
import dataclasses
import difflib
import sys
import types
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
import yaml

from operators import Edit, Source, apply

torch.set_num_threads(1)

ROOT = Path(__file__).parents[2]
SEEDS = ("v1", "v2")
VOCABULARY, LENGTH = 32, 16

MINIATURE = """\
name: miniature
base_model: v1
model_args:
  n_layer: 2
  n_head: 2  # heads
  n_embd: 32
  block_size: 16
training:
  batch_size: 12
  max_iters: 1000
  optimizer: adamw  # or muon
  learning_rate: 1.0e-3
  min_lr: 1.0e-4
"""


def seed_source(name: str) -> Source:
    """Return a seed model with a miniature experiment."""
    return Source((ROOT / "foundry" / "models" / f"{name}.py").read_text(encoding="utf-8"), MINIATURE)


def foreign_source(name: str) -> Source:
    """Return a source that was not written for this project, with an experiment that gives no arguments."""
    return Source((_FOREIGN / f"{name}.txt").read_text(encoding="utf-8"), "name: foreign\n")


_FOREIGN = Path(__file__).parent / "sources"
FOREIGN = tuple(sorted(path.stem for path in _FOREIGN.glob("*.txt")))


@dataclass(frozen=True)
class Run:
    """Hold what one forward and backward pass at miniature size gave."""

    logits: torch.Tensor
    loss: float
    parameters: int
    finite_gradients: bool


def namespace(text: str) -> types.ModuleType:
    """Execute a model's source as a module of its own."""
    module = types.ModuleType("candidate_under_test")
    sys.modules[module.__name__] = module
    exec(compile(text, "model.py", "exec"), module.__dict__)
    return module


def _build(module: types.ModuleType, settings: dict[str, int]) -> torch.nn.Module:
    """Make the model of a source, by the names that each family of sources gives to its parts."""
    if hasattr(module, "GPTConfig"):
        fields = {field.name for field in dataclasses.fields(module.GPTConfig)}
        sizes = {"block_size": LENGTH, "n_layer": 2, "n_head": 2, "n_embd": 32} | settings
        sizes["vocab_size"] = VOCABULARY
        if "n_kv_head" in fields:
            sizes["n_kv_head"] = 1
        return module.GPT(module.GPTConfig(**sizes))
    if hasattr(module, "LlamaConfig"):
        return module.LlamaForCausalLM(module.LlamaConfig(num_hidden_layers=2, hidden_size=32))
    if hasattr(module, "GPTLanguageModel"):
        return module.GPTLanguageModel()
    return module.GPT(VOCABULARY, 2, 2, 32, LENGTH)


@lru_cache(maxsize=4096)
def applied(source: Source, edit: Edit) -> Source:
    """Apply an edit, once for all the tests that look at its result."""
    return apply(source, edit)


@lru_cache(maxsize=256)
def _run(text: str, settings: tuple[tuple[str, int], ...]) -> Run:
    torch.manual_seed(0)
    model = _build(namespace(text), dict(settings)).eval()
    tokens = torch.randint(VOCABULARY, (2, LENGTH + 1), generator=torch.Generator().manual_seed(1))
    logits, loss = model(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())
    loss.backward()
    gradients = [p.grad for p in model.parameters() if p.requires_grad]
    return Run(
        logits.detach(),
        loss.item(),
        sum(p.numel() for p in model.parameters()),
        all(g is not None and bool(torch.isfinite(g).all()) for g in gradients),
    )


def run(source: Source) -> Run:
    """Run a source once at miniature size, with what its experiment says of the model."""
    settings = (yaml.safe_load(source.experiment) or {}).get("model_args", {})
    return _run(source.model, tuple(sorted(settings.items())))


def assert_runs(source: Source, about: object) -> None:
    """Check that a source gives logits of the right shape, a finite loss and finite gradients."""
    result = run(source)
    assert result.logits.shape[:2] == (2, LENGTH), about
    assert torch.isfinite(result.logits).all(), about
    assert result.finite_gradients, about


def assert_untouched_text_survives(before: str, after: str, about: object) -> None:
    """Check that statements which mean the same before and after have the same bytes, comments included."""
    old, new = _statements(before), _statements(after)
    matcher = difflib.SequenceMatcher(None, [s[0] for s in old], [s[0] for s in new], autojunk=False)
    for block in matcher.get_matching_blocks():
        for at in range(block.size):
            assert old[block.a + at][1] == new[block.b + at][1], about
            if at + 1 < block.size:  # comments and blank lines above the next statement
                assert old[block.a + at + 1][2] == new[block.b + at + 1][2], about


@lru_cache(maxsize=512)
def _statements(text: str) -> list[tuple[str, str, str]]:
    """Return each statement's meaning, own lines, and the lines between it and the one before."""
    lines = text.splitlines(keepends=True)
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.stmt)]
    found, previous = [], 0
    for node in sorted(nodes, key=lambda node: node.lineno):
        body = getattr(node, "body", None)
        last = body[0].lineno - 1 if body else node.end_lineno
        while body and lines[last - 1].lstrip()[:1] in ("", "#") and last > node.lineno:
            last -= 1  # a comment above the first line of a body belongs to that line
        header = {k: v for k, v in ast.iter_fields(node) if k not in ("body", "orelse")}
        meaning = repr([(k, _dump(v)) for k, v in header.items()]) + type(node).__name__
        start = node.lineno - 1
        found.append((meaning, "".join(lines[start:last]).rstrip(), "".join(lines[previous:start])))
        previous = last
    return found


def _dump(value: object) -> str:
    if isinstance(value, list):
        return repr([_dump(item) for item in value])
    return ast.dump(value) if isinstance(value, ast.AST) else repr(value)
