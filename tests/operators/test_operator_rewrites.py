"""What single operators write, line for line, on the seed models and on sources from elsewhere."""

import difflib

import libcst as cst
import pytest
from operator_support import foreign_source, seed_source

import operators
from operators import Edit, Source
from operators.syntax.tidy import code_of


def diff(source: Source, operator: str, variant: str, at: str = "") -> str:
    """Return the changed lines of the first edit of this operator and variant."""
    edits = [e for e in operators.load()[operator].sites(source) if e.variant == variant and at in e.site]
    after = operators.apply(source, edits[0])
    before_lines = source.model.splitlines() + source.experiment.splitlines()
    after_lines = after.model.splitlines() + after.experiment.splitlines()
    changed = difflib.unified_diff(before_lines, after_lines, lineterm="", n=0)
    return "\n".join(line for line in changed if line[:2] not in ("--", "++", "@@"))


def test_squared_relu_is_written_as_a_person_would() -> None:
    assert (
        diff(seed_source("v1"), "swap_activation", "relu2")
        == """\
-        self.gelu = nn.GELU()
-        x = self.gelu(x)
+        x = F.relu(x).square()"""
    )


def test_a_module_takes_the_name_of_what_it_is() -> None:
    assert (
        diff(seed_source("v1"), "swap_activation", "relu")
        == """\
-        self.gelu = nn.GELU()
+        self.relu = nn.ReLU()
-        x = self.gelu(x)
+        x = self.relu(x)"""
    )


def test_a_gated_layer_takes_the_name_of_what_it_is() -> None:
    assert (
        diff(seed_source("v2"), "swap_activation", "gelu")
        == """\
-class SwiGLU(nn.Module):
+class GEGLU(nn.Module):
-        return self.dropout(self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x)))
+        return self.dropout(self.down_proj(F.gelu(self.gate_proj(x)) * self.up_proj(x)))
-        self.mlp = SwiGLU(config)
+        self.mlp = GEGLU(config)"""
    )


def test_a_neutral_name_stays() -> None:
    model = "import torch.nn as nn\nclass A:\n    def __init__(self):\n        self.act = nn.GELU()\n"
    assert (
        diff(Source(model, ""), "swap_activation", "silu")
        == """\
-        self.act = nn.GELU()
+        self.act = nn.SiLU()"""
    )


def test_an_activation_class_that_nothing_uses_goes() -> None:
    changed = diff(foreign_source("modular"), "swap_activation", "silu")
    assert "-class NewGELU(nn.Module):" in changed
    assert "+            act     = nn.SiLU()," in changed


@pytest.mark.parametrize(
    "spelling",
    [
        "F.gelu(x)",
        "F.gelu(input=x)",
        "torch.nn.functional.gelu(x)",
        "nn.functional.gelu(x)",
        "gelu(x)",
    ],
)
def test_spellings_of_one_function_are_one(spelling: str) -> None:
    imports = "import torch\nfrom torch import nn\nfrom torch.nn import functional as F\n"
    imports += "from torch.nn.functional import gelu\n"
    source = Source(f"{imports}\ndef act(x):\n    return {spelling}\n", "")
    (first, *_) = operators.load()["swap_activation"].sites(source)
    assert first == Edit("swap_activation", "tanh-gelu", "act:gelu")


@pytest.mark.parametrize(
    "spelling",
    [
        "F.relu(x).square()",
        "F.relu(x) ** 2",
        "F.relu(x).pow(2)",
        "torch.square(F.relu(x))",
        "torch.pow(F.relu(x), 2)",
        "torch.relu(x).square()",
        "x.relu().square()",
    ],
)
def test_spellings_of_squared_relu_are_one(spelling: str) -> None:
    source = Source(
        f"import torch\nimport torch.nn.functional as F\n\ndef act(x):\n    return 1 + {spelling}\n", ""
    )
    edit = Edit("swap_activation", "gelu", "act:relu2")
    assert operators.apply(source, edit).model.endswith("    return 1 + F.gelu(x)\n")


def test_a_missing_import_is_added() -> None:
    source = Source(
        "import torch\nfrom torch import nn\n\nx = nn.GELU()\n\ndef f(x):\n    return x.relu()\n", ""
    )
    edit = Edit("swap_activation", "silu", "f:relu")
    assert operators.apply(source, edit).model.startswith(
        "import torch\nfrom torch import nn\nfrom torch.nn import functional as F\n\n"
    )


def test_a_norm_of_the_file_becomes_a_norm_of_the_file() -> None:
    after = diff(seed_source("v1"), "swap_norm", "rmsnorm")
    assert "-class LayerNorm(nn.Module):\n" in after
    assert "+class RMSNorm(nn.Module):\n" in after
    assert (
        "-        self.ln_1 = LayerNorm(config.n_embd, bias=config.bias)\n"
        "+        self.ln_1 = RMSNorm(config.n_embd)\n" in after
    )


def test_types_follow_the_norm() -> None:
    after = diff(foreign_source("modular"), "swap_norm", "rmsnorm")
    assert (
        """\
-        elif isinstance(module, nn.LayerNorm):
-            torch.nn.init.zeros_(module.bias)
+        elif isinstance(module, nn.RMSNorm):
-        blacklist = (torch.nn.LayerNorm, torch.nn.Embedding)
+        blacklist = (torch.nn.RMSNorm, torch.nn.Embedding)"""
        in after
    )


def test_swapping_norms_leaves_query_key_norms_alone() -> None:
    source = seed_source("v2")
    source = operators.apply(source, Edit("insert_qknorm", "rms-learned", "CausalSelfAttention"))
    source = operators.apply(source, Edit("swap_norm", "layernorm", "RMSNorm"))
    assert "self.q_norm = RMSNorm(self.head_dim)" in source.model
    assert "self.input_norm = LayerNorm(" in source.model


def test_taking_positions_out_leaves_nothing_behind() -> None:
    after = operators.apply(foreign_source("modular"), Edit("position", "nope", "learned")).model
    assert "pos" not in after.replace("position", "").split("def forward(self, idx")[1]
    assert "device = idx.device" not in after
    assert "x = self.transformer.drop(tok_emb)\n" in after


def test_rotation_comes_after_query_key_norm_in_either_order() -> None:
    norm = Edit("insert_qknorm", "rms", "CausalSelfAttention")
    rope = Edit("position", "rope", "learned")
    one = operators.apply(operators.apply(seed_source("v1"), norm), rope).model
    other = operators.apply(operators.apply(seed_source("v1"), rope), norm).model
    assert one == other
    assert one.index("F.rms_norm(q,") < one.index("self.rope(q)")


def test_a_file_keeps_its_own_indentation() -> None:
    after = operators.apply(foreign_source("lecture"), Edit("position", "rope", "learned")).model
    assert "\n  def forward(self, x):  # (B, nh, T, hs)\n    cos, sin" in after
    assert "\n    self.rope = RotaryEmbedding(head_size, block_size)\n" in after


def test_line_ends_stay() -> None:
    source = Source(seed_source("v1").model.replace("\n", "\r\n"), "")
    after = operators.apply(source, Edit("position", "rope", "learned")).model
    assert "\n" not in after.replace("\r\n", "")


def test_a_default_that_the_experiment_gives_is_left_alone() -> None:
    model = "class GPTConfig:\n    norm_eps: float = 1e-5\n\ndef f(config):\n    return config.norm_eps\n"
    perturb = operators.load()["perturb_literal"]
    assert perturb.sites(Source(model, ""))
    assert not perturb.sites(Source(model, "model_args:\n  norm_eps: 1.0e-6\n"))


def test_the_rotary_base_belongs_to_one_operator() -> None:
    sites = operators.load()["perturb_literal"].sites(seed_source("v2"))
    assert sites
    assert not any("theta" in edit.site for edit in sites)


def test_settings_outside_the_model_are_left_alone() -> None:
    model = "rate = 0.1\nsplit = 0.9\n\nclass MLP:\n    def forward(self, x):\n        return x * rate\n"
    sites = operators.load()["perturb_literal"].sites(Source(model, ""))
    assert {edit.site for edit in sites} == {"module:0.1"}


def test_literals_keep_their_manner() -> None:
    source = Source("import torch.nn as nn\n\ndef norm(dim):\n    return nn.RMSNorm(dim, eps=1e-6)\n", "")
    after = diff(source, "perturb_literal", "x10")
    assert after == "-    return nn.RMSNorm(dim, eps=1e-6)\n+    return nn.RMSNorm(dim, eps=1e-5)"


@pytest.mark.parametrize("name", ["v1", "modular", "speedrun"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_code_printed_in_pieces_is_that_printed_whole(name: str, line_end: str) -> None:
    source = seed_source(name) if name == "v1" else foreign_source(name)
    text = source.model.replace("\n", line_end)
    commented = f"# first{line_end}{line_end}{text}{line_end}# last{line_end}"
    for whole in (text, commented, text.rstrip(), "", line_end, f"# alone{line_end}", "x = 1"):
        assert code_of(cst.parse_module(whole)) == whole
