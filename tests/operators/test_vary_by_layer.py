"""Settings that differ by layer: what each layer has, and that the results pass every gate."""

import sys

import pytest
from operator_support import ROOT, namespace, seed_source

import operators
from operators import Edit, Source

sys.path.insert(0, str(ROOT))  # benchmarks are run from the root of the repository, and not installed

from benchmarks import walks

VARY = operators.load()["vary_by_layer"]
ATTENTION = "CausalSelfAttention"


def start(seed: str, *edits: tuple[str, str]) -> Source:
    """Return a seed model with the experiment of the walks, after the first of each operator's variants."""
    source = walks.start(walks.SEEDS.index(seed) + 1)
    for operator, variant in edits:
        found = operators.lookup(operator).sites(source)
        source = operators.apply(source, next(edit for edit in found if edit.variant == variant))
    return source


def variants(source: Source, *of: str) -> set[str]:
    return {edit.variant for edit in VARY.sites(source) if edit.variant.partition("-")[0] in of}


def of_layers(
    source: Source, seed: str, attribute: str, *, n_layer: int = 4, **settings: int
) -> list[object]:
    """Build a model and return what the attention of each layer has under a dotted name."""
    module = namespace(source.model)
    sizes = {"n_layer": n_layer, "n_head": 4, "n_embd": 64, "block_size": 32, "vocab_size": 65}
    model = module.GPT(module.GPTConfig(**sizes, **settings))
    layers = model.transformer.h if seed == "v1" else model.layers
    found = []
    for layer in layers:
        value = layer.attn
        for name in attribute.split("."):
            value = getattr(value, name)
        found.append(value)
    return found


@pytest.mark.parametrize("seed", ["v1", "v2"])
@pytest.mark.parametrize("before", [(), (("attention", "sliding_window_8"),)], ids=["dense", "window"])
def test_every_variation_of_attention_passes_the_gates(
    seed: str, before: tuple[tuple[str, str], ...]
) -> None:
    source = start(seed, *before)
    edits = [edit for edit in VARY.sites(source) if ATTENTION in edit.site]
    assert {"global-later", "global-earlier", "heads-later", "heads-earlier"} <= {e.variant for e in edits}
    for edit in edits:
        assert walks.verdict(operators.apply(source, edit)) == ("", ""), edit


@pytest.mark.parametrize("seed", ["v1", "v2"])
def test_windows_are_local_in_half_of_the_layers(seed: str) -> None:
    for variant, windows in {"later": [8, 8, None, None], "earlier": [None, None, 8, 8]}.items():
        local = start(seed, ("vary_by_layer", f"global-{variant}"))
        assert of_layers(local, seed, "attend.window") == windows
        assert not variants(local, "global", "window")


def test_windows_keep_their_mean() -> None:
    source = start("v2", ("attention", "sliding_window_16"), ("vary_by_layer", "window-later"))
    assert of_layers(source, "v2", "attend.window") == [10, 14, 18, 22]
    source = start("v2", ("attention", "sliding_window_16"), ("vary_by_layer", "window-earlier"))
    assert of_layers(source, "v2", "attend.window") == [22, 18, 14, 10]


def test_layers_that_see_everything_already_are_left_alone() -> None:
    assert not variants(start("v1", ("attention", "local_global_2")), "global", "window")
    assert not variants(start("v1", ("attention", "strided_8")), "global", "window")


def test_half_of_the_layers_have_half_of_the_heads() -> None:
    later = start("v1", ("vary_by_layer", "heads-later"))
    assert of_layers(later, "v1", "n_head") == [2, 2, 4, 4]
    assert of_layers(start("v1", ("vary_by_layer", "heads-earlier")), "v1", "n_head") == [4, 4, 2, 2]
    assert not variants(later, "heads")


def test_no_layer_has_fewer_heads_than_key_value_heads() -> None:
    later = start("v2", ("vary_by_layer", "heads-later"))
    assert of_layers(later, "v2", "n_head", n_kv_head=2) == [2, 2, 4, 4]
    assert of_layers(later, "v2", "n_head", n_kv_head=4) == [4, 4, 4, 4]
    assert not variants(start("v2", ("attention", "mha")), "heads")


def test_key_value_heads_differ_while_there_are_two() -> None:
    later = start("v2", ("vary_by_layer", "kv_heads-later"))
    assert of_layers(later, "v2", "n_kv_head", n_kv_head=2) == [1, 1, 2, 2]
    assert of_layers(later, "v2", "n_kv_head", n_kv_head=1) == [1, 1, 1, 1]
    assert not variants(start("v2", ("attention", "gqa_1kv")), "kv_heads")


def test_several_settings_may_differ() -> None:
    source = start("v1", ("vary_by_layer", "ffn-earlier"), ("vary_by_layer", "heads-later"))
    source = operators.apply(source, Edit("vary_by_layer", "global-later", f"{ATTENTION}:window"))
    assert source.model.count("(i + 0.5) / config.n_layer") == 1
    assert of_layers(source, "v1", "n_head") == [2, 2, 4, 4]
    assert of_layers(source, "v1", "attend.window") == [8, 8, None, None]
    assert walks.verdict(source) == ("", "")


def test_a_window_of_the_configuration_differs() -> None:
    source = start("v1")
    model = source.model.replace("n_head: int = 12\n", "n_head: int = 12\n    window: int = 16\n")
    model = model.replace(
        "        self.n_head = config.n_head\n",
        "        self.n_head = config.n_head\n        self.window = config.window\n",
    )
    source = Source(model, source.experiment)
    edit = Edit("vary_by_layer", "window-later", f"{ATTENTION}:window")
    assert of_layers(operators.apply(source, edit), "v1", "window") == [10, 14, 18, 22]


def test_what_goes_from_layer_to_layer_keeps_its_shape() -> None:
    mixed = start("v1", ("value_residual", "half"))
    assert not variants(mixed, "heads", "kv_heads")
    assert not operators.lookup("value_residual").sites(start("v1", ("vary_by_layer", "heads-later")))


def test_a_number_that_others_build_by_is_left_alone() -> None:
    source = seed_source("v1")
    shared = source.model.replace(
        "        self.lm_head =", "        self.slopes = torch.zeros(config.n_head)\n        self.lm_head ="
    )
    assert "heads-later" in {edit.variant for edit in VARY.sites(source)}
    assert "heads-later" not in {edit.variant for edit in VARY.sites(Source(shared, source.experiment))}


def test_one_layer_has_nothing_to_differ_from() -> None:
    source = start("v1")
    alone = Source(source.model, source.experiment.replace("n_layer: 2", "n_layer: 1"))
    assert not variants(alone, "heads", "global", "window")
