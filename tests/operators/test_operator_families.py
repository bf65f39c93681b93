"""What operators make of manners that only sources from elsewhere have, and what they leave alone there."""

import pytest
from operator_support import foreign_source, seed_source

import operators
from foundry.gates import Subject, run
from operators import Edit, Source

ARGS: dict[str, object] = {"n_layer": 2, "n_head": 2, "n_embd": 32, "block_size": 16, "vocab_size": 32}


def edited(source: Source, *wanted: tuple[str, str, str]) -> Source:
    """Apply the first edit of each operator and variant whose site has these words."""
    for operator, variant, words in wanted:
        edits = operators.load()[operator].sites(source)
        source = operators.apply(source, next(e for e in edits if e.variant == variant and words in e.site))
    return source


def offered(source: Source, operator: str) -> set[str]:
    return {edit.variant for edit in operators.load()[operator].sites(source)}


def assert_passes(source: Source, *gates: str) -> None:
    for gate in gates:
        assert run(gate, Subject(source=source.model, model_args=ARGS, batch_size=4)) is None


def test_second_norms_go_where_a_sublayer_runs_twice() -> None:
    source = edited(
        seed_source("v1"), ("norm_placement", "sandwich", ""), ("duplicate_statement", "again", "mlp")
    )
    for variant in ("pre", "post"):
        after = edited(source, ("norm_placement", variant, ""))
        assert "post_mlp_norm" not in after.model
        assert_passes(after, "gradients")


def test_layers_that_look_at_other_tokens_are_no_experts() -> None:
    shifted = edited(seed_source("v1"), ("token_shift", "half", "MLP"))
    assert offered(seed_source("v1"), "moe")
    assert not offered(shifted, "moe")


def test_sizes_and_whole_powers_are_not_perturbed() -> None:
    partial = edited(seed_source("v2"), ("position", "rope-0.5", ""))
    varied = edited(seed_source("v2"), ("vary_by_layer", "ffn-earlier", ""))
    perturb = operators.load()["perturb_literal"]
    assert not any("PartialRotary" in edit.site for edit in perturb.sites(partial))
    assert not any("SwiGLU.__init__" in edit.site for edit in perturb.sites(varied))
    assert not any(edit.site.endswith(":3.0") for edit in perturb.sites(foreign_source("conv1d")))
    assert not any(
        edit.site.startswith("block_params:3") for edit in perturb.sites(foreign_source("functional"))
    )


def test_norms_that_take_the_settings_are_swapped_by_their_size() -> None:
    after = edited(foreign_source("einsum"), ("swap_norm", "rmsnorm", "")).model
    assert "self.ln1 = RMSNorm(cfg.n_embd, eps=cfg.layer_norm_eps)" in after
    assert "class LayerNorm" not in after


def test_einsum_of_queries_and_keys_is_attention() -> None:
    after = edited(foreign_source("einsum"), ("insert_qknorm", "rms", ""))
    assert "q, k = F.rms_norm(q, (q.size(-1),)), F.rms_norm(k, (k.size(-1),))" in after.model
    assert_passes(after, "causality", "gradients")


@pytest.mark.parametrize("spec", ["bqhf,bkhf->bhqk", "bhqf, bhkf -> bhqk"])
def test_einsums_that_score_are_found(spec: str) -> None:
    assert offered(scoring(spec), "insert_qknorm") == {"rms"}


@pytest.mark.parametrize("spec", ["bhqk,bkhf->bqhf", "bpm,hmf->bphf", "bqh,bkh->bhqk", "...qf,...kf->...qk"])
def test_einsums_that_do_not_are_not(spec: str) -> None:
    assert offered(scoring(spec), "insert_qknorm") == set()


def scoring(spec: str) -> Source:
    return Source(f'import torch\n\ndef scores(q, k):\n    return torch.einsum("{spec}", q, k)\n', "")


def test_an_object_that_is_the_loss_becomes_a_call() -> None:
    after = edited(foreign_source("conv1d"), ("loss", "label_smoothing-0.1", "")).model
    assert (
        "F.cross_entropy(lm_logits.view(-1, lm_logits.size(-1)), targets.view(-1), label_smoothing=0.1)"
        in after
    )
    assert "CrossEntropyLoss" not in after


def test_embeddings_tied_across_classes_are_untied() -> None:
    after = edited(foreign_source("conv1d"), ("tie_embeddings", "untie", ""))
    assert "lm_head.weight =" not in after.model
    assert_passes(after, "gradients", "state_dict")


def test_torch_s_own_layers_change_by_their_arguments() -> None:
    after = edited(
        foreign_source("encoder"),
        ("ffn_ratio", "2", ""),
        ("swap_activation", "silu", ""),
        ("norm_placement", "post", ""),
    )
    assert "dim_feedforward=2 * config.n_embd,\n" in after.model
    assert "activation=F.silu,\n" in after.model
    assert "norm_first=False,\n" in after.model
    assert_passes(after, "gradients", "causality")


def test_an_argument_that_torch_s_layer_is_not_given_is_added() -> None:
    one = Source("import torch.nn as nn\n\nlayer = nn.TransformerEncoderLayer(64, 4)\n", "")
    two = Source("import torch.nn as nn\n\nlayer = nn.TransformerEncoderLayer(\n    64,\n    4,\n)\n", "")
    assert "(64, 4, norm_first=True)" in edited(one, ("norm_placement", "pre", "")).model
    assert "(\n    64,\n    4,\n    norm_first=True,\n)" in edited(two, ("norm_placement", "pre", "")).model
    assert '(64, 4, activation="gelu")' in edited(one, ("swap_activation", "gelu", "")).model


def test_a_loop_over_parameters_is_a_stack() -> None:
    after = edited(foreign_source("functional"), ("x0_skip", "learned", ""), ("unet_skips", "zero", ""))
    assert "for i, p in enumerate(self.blocks):\n" in after.model
    assert_passes(after, "gradients", "causality")


def test_conv1d_names_its_widths_in_reverse() -> None:
    model = """\
import torch.nn as nn
from transformers.pytorch_utils import Conv1D

class MLP(nn.Module):
    def __init__(self, n_embd):
        super().__init__()
        self.c_fc = Conv1D(4 * n_embd, n_embd)
        self.c_proj = Conv1D(n_embd, 4 * n_embd)

    def forward(self, x):
        return self.c_proj(nn.functional.gelu(self.c_fc(x)))
"""
    after = edited(Source(model, ""), ("ffn_ratio", "2", "")).model
    assert "self.c_fc = Conv1D(2 * n_embd, n_embd)" in after
    assert "self.c_proj = Conv1D(n_embd, 2 * n_embd)" in after


def test_a_width_given_by_the_caller_changes_there() -> None:
    after = edited(foreign_source("conv1d"), ("ffn_ratio", "2", "")).model
    assert "inner_dim = config.n_inner if config.n_inner is not None else 2 * hidden_size" in after


def test_edits_replay_on_every_manner() -> None:
    for name in ("conv1d", "einsum", "encoder", "functional"):
        source = foreign_source(name)
        for edit in operators.proposals(source)[::7]:
            copy = Edit(edit.operator, edit.variant, edit.site)
            assert operators.apply(source, copy) == operators.apply(source, edit)
