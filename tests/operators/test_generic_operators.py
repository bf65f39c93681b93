"""What the generic operators promise beyond the conformance suite: bounds, gates, and what they write."""

import difflib

import pytest
import yaml
from operator_support import FOREIGN, SEEDS, applied, foreign_source, run, seed_source

import operators
from foundry.gates import Subject, check
from operators import Edit, Source

GENERIC = sorted(name for name, operator in operators.load().items() if operator.family == "generic")
SOURCES = {name: seed_source(name) for name in SEEDS} | {name: foreign_source(name) for name in FOREIGN}
MOST_OFFERS = 30


def changed(source: Source, edit: Edit) -> str:
    """Return the lines that an edit removes and adds."""
    after = operators.apply(source, edit)
    lines = difflib.unified_diff(source.model.splitlines(), after.model.splitlines(), lineterm="", n=0)
    return "\n".join(line for line in lines if line[:2] not in ("--", "++", "@@"))


def share_that_passes(name: str, source: Source) -> tuple[int, int]:
    edits = operators.load()[name].sites(source)
    passed = 0
    for edit in edits:
        child = applied(source, edit)
        settings = {**yaml.safe_load(child.experiment)["model_args"], "vocab_size": 65}
        passed += check(Subject(source=child.model, model_args=settings, batch_size=12)) is None
    return passed, len(edits)


@pytest.mark.parametrize("name", GENERIC)
def test_offers_are_few(name: str) -> None:
    assert 0 < len(operators.load()[name].sites(SOURCES["v1"])) <= MOST_OFFERS


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", GENERIC)
def test_at_least_four_of_five_pass_the_gates(name: str, seed: str) -> None:
    passed, offered = share_that_passes(name, SOURCES[seed])
    assert passed >= 0.8 * offered


@pytest.mark.parametrize("name", SOURCES)
def test_nothing_outside_the_model_changes(name: str) -> None:
    """Generation, optimizers and parameter counts read the same after any edit but a number's."""
    kept = ("generate", "configure_optimizers", "get_num_params", "estimate_mfu", "crop_block_size")

    def functions(text: str) -> list[str]:
        found, lines = [], text.split("\n")
        for at, line in enumerate(lines):
            if line.strip().startswith("def ") and line.split("def ")[1].split("(")[0] in kept:
                depth = len(line) - len(line.lstrip())
                body = [line]
                for below in lines[at + 1 :]:
                    if below.strip() and len(below) - len(below.lstrip()) <= depth:
                        break
                    body.append(below)
                found.append("\n".join(body).rstrip())
        return found

    source = SOURCES[name]
    for operator in GENERIC:
        for edit in operators.load()[operator].sites(source) if operator != "perturb_literal" else ():
            assert functions(applied(source, edit).model) == functions(source.model), edit


def test_deleting_a_sublayer_takes_its_layers_and_classes_along() -> None:
    after = applied(SOURCES["v1"], Edit("delete_statement", "delete", "Block:mlp")).model
    assert "class MLP" not in after
    assert "ln_2" not in after


def test_deleting_an_entry_of_a_module_dict() -> None:
    assert (
        changed(SOURCES["v1"], Edit("delete_statement", "delete", "GPT:ln_f"))
        == "-                ln_f=LayerNorm(config.n_embd, bias=config.bias),\n"
        "-        x = self.transformer.ln_f(x)"
    )


def test_the_last_sublayer_is_not_offered_for_deletion() -> None:
    once = applied(SOURCES["v1"], Edit("delete_statement", "delete", "Block:mlp"))
    assert not [edit for edit in operators.load()["delete_statement"].sites(once) if "Block" in edit.site]


def test_a_scale_stands_where_the_tensor_does() -> None:
    assert (
        changed(SOURCES["v1"], Edit("insert_scale", "per-channel", "MLP:c_fc.out"))
        == """\
+        self.c_fc_scale = nn.Parameter(torch.ones(self.c_fc.out_features))
-        x = self.c_fc(x)
+        x = self.c_fc(x) * self.c_fc_scale"""
    )


def test_a_scale_in_a_chain_of_calls_gets_parentheses() -> None:
    after = changed(SOURCES["v1"], Edit("insert_scale", "per-channel", "CausalSelfAttention:c_attn.out"))
    assert "(self.c_attn(x) * self.c_attn_scale).split(" in after


def test_a_bias_is_offered_only_where_there_is_none() -> None:
    sites = {edit.site for edit in operators.load()["insert_bias"].sites(SOURCES["v1"])}
    assert "GPT:lm_head.out" in sites
    assert "MLP:c_fc.out" not in sites
    without = Source(SOURCES["v1"].model, "model_args:\n  bias: false\n")
    assert "MLP:c_fc.out" in {edit.site for edit in operators.load()["insert_bias"].sites(without)}


def test_swapping_twice_is_where_it_began() -> None:
    source = SOURCES["v1"]
    once = applied(source, Edit("swap_statements", "swap", "Block:attn+mlp"))
    assert applied(once, Edit("swap_statements", "swap", "Block:mlp+attn")) == source


def test_sharing_and_unsharing() -> None:
    source = SOURCES["v1"]
    site = "GPT:self.transformer.h"
    shared = applied(source, Edit("share_layers", "pairs", site))
    assert run(shared).parameters < run(source).parameters
    assert applied(shared, Edit("share_layers", "none", site)) == source


def test_widths_by_layer_keep_the_number_of_parameters() -> None:
    source = SOURCES["v1"]
    for variant in ("ffn-later", "ffn-earlier"):
        varied = applied(source, Edit("vary_by_layer", variant, "MLP:hidden"))
        assert run(varied).parameters == run(source).parameters


def test_functions_are_left_to_the_operator_whose_menu_has_them() -> None:
    for source in SOURCES.values():
        mine = {edit.variant for edit in operators.load()["swap_elementwise"].sites(source)}
        assert not mine & {"gelu", "relu", "silu", "tanh-gelu", "relu2"}
