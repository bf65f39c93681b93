"""Gates and widths of feed-forward layers: what is written, what it computes, what survives it."""

import pytest
import torch
from feedforward_support import LINEARS, built, changed, diff, edits, layer, size
from operator_support import foreign_source, namespace, seed_source
from torch.nn import functional as F

import operators
from operators import Source


def test_a_gate_is_written_as_a_person_would() -> None:
    source = seed_source("v1")
    assert (
        diff(source, changed(source, ("gating", "swiglu")))
        == """\
-        self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd, bias=config.bias)
-        self.gelu = nn.GELU()
-        self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd, bias=config.bias)
+        hidden = int(8 * config.n_embd / 3)
+        self.c_fc = nn.Linear(config.n_embd, hidden, bias=config.bias)
+        self.c_gate = nn.Linear(config.n_embd, hidden, bias=config.bias)
+        self.silu = nn.SiLU()
+        self.c_proj = nn.Linear(hidden, config.n_embd, bias=config.bias)
+        gate = self.c_gate(x)
-        x = self.gelu(x)
+        x = self.silu(gate) * x"""
    )


def test_a_gate_of_the_same_function_and_width_is_one_layer_and_one_product() -> None:
    source = seed_source("v1")
    assert (
        diff(source, changed(source, ("gating", "geglu-wide")))
        == """\
+        self.c_gate = nn.Linear(config.n_embd, 4 * config.n_embd, bias=config.bias)
+        gate = self.c_gate(x)
-        x = self.gelu(x)
+        x = self.gelu(gate) * x"""
    )


def test_taking_a_gate_away_leaves_no_trace_of_it() -> None:
    source = seed_source("v2")
    after = changed(source, ("gating", "none"))
    assert (
        diff(source, after)
        == """\
-class SwiGLU(nn.Module):
-    \"\"\"Gated feed-forward (Shazeer, 2020): two thirds of the usual width keep the parameter count.\"\"\"
+class MLP(nn.Module):
+    \"\"\"Feed-forward layer.\"\"\"
-        hidden = int(8 * config.n_embd / 3)
-        self.gate_proj = nn.Linear(config.n_embd, hidden, bias=config.bias)
+        hidden = 4 * config.n_embd
-        return self.dropout(self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x)))
+        return self.dropout(self.down_proj(F.silu(self.up_proj(x))))
-        self.mlp = SwiGLU(config)
+        self.mlp = MLP(config)"""
    )


@pytest.mark.parametrize(
    ("variant", "function"),
    [
        ("glu", torch.sigmoid),
        ("reglu", F.relu),
        ("geglu", F.gelu),
        ("swiglu", F.silu),
        ("relu2glu", lambda z: F.relu(z) ** 2),
    ],
)
def test_a_gated_layer_computes_the_formula(variant: str, function: object) -> None:
    mlp = built(changed(seed_source("v1"), ("gating", variant))).transformer.h[0].mlp
    x = torch.randn(2, 3, 48, generator=torch.Generator().manual_seed(1))
    hidden = function(x @ mlp.c_gate.weight.T + mlp.c_gate.bias) * (x @ mlp.c_fc.weight.T + mlp.c_fc.bias)
    torch.testing.assert_close(mlp(x), hidden @ mlp.c_proj.weight.T + mlp.c_proj.bias)


@pytest.mark.parametrize("seed", ["v1", "v2"])
def test_parameters_or_width_are_kept_as_the_variant_says(seed: str) -> None:
    source = seed_source(seed)
    same, other = ("swiglu", "swiglu-wide") if seed == "v1" else ("none", "none-narrow")
    assert size(changed(source, ("gating", same))) == pytest.approx(size(source), rel=0.005)
    assert abs(size(changed(source, ("gating", other))) - size(source)) > 0.1 * size(source)


@pytest.mark.parametrize(
    "forward",
    [
        "        return self.out(F.gelu(self.fc(x)))\n",
        "        return self.out(torch.nn.functional.gelu(self.fc(x), approximate='tanh'))\n",
        "        h = self.fc(x)\n        h = F.gelu(h)  # as usual\n        return self.out(h)\n",
        "        return self.out(0.5 * F.gelu(self.fc(x)))\n",
        "        return self.out(F.gelu(self.fc(F.layer_norm(x, (8,)))))\n",
    ],
)
def test_spellings_of_one_layer_are_gated_alike(forward: str) -> None:
    """Under the weights of the gate, what is gated is what the layer did, times the other projection."""
    source = layer(LINEARS, forward)
    after = changed(source, ("gating", "geglu-wide"))
    plain, gated = namespace(source.model).MLP(8, 0), namespace(after.model).MLP(8, 0)
    gated.load_state_dict(plain.state_dict(), strict=False)
    with torch.no_grad():  # gate takes the layer's part, and the layer gives 1
        gated.gate.load_state_dict(plain.fc.state_dict())
        gated.fc.weight.zero_()
        gated.fc.bias.fill_(1)
    x = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(gated(x), plain(x))
    assert after.model.count("layer_norm") == source.model.count("layer_norm")
    assert after.model.count("# as usual") == source.model.count("# as usual")


@pytest.mark.parametrize(
    "forward",
    [
        "        a, b = self.fc(x).chunk(2, dim=-1)\n        return self.out(F.silu(a) * b)\n",
        "        return torch.sigmoid(self.fc(x).mean()) * x\n",
        "        return self.out(self.fc(x))\n",
    ],
)
def test_other_layers_are_left_alone(forward: str) -> None:
    assert edits(layer(LINEARS, forward), "gating") == {}


def test_gates_come_and_go_in_sequentials() -> None:
    source = foreign_source("lecture")
    gated = changed(source, ("gating", "swiglu"))
    assert "      SwiGLU(n_embd, hidden),\n      nn.Linear(hidden, n_embd),\n" in gated.model
    assert set(edits(gated, "gating")) == {"none", "none-narrow"}
    plain = changed(gated, ("gating", "none"))
    assert (
        "      nn.Linear(n_embd, hidden),\n      nn.SiLU(),\n      nn.Linear(hidden, n_embd),\n"
        in plain.model
    )
    assert "    hidden = 4 * n_embd\n" in plain.model
    assert "SwiGLU" not in plain.model


def test_gates_enter_module_dicts_in_line() -> None:
    after = changed(foreign_source("modular"), ("gating", "geglu"))
    assert "            c_gate  = nn.Linear(config.n_embd, hidden),\n" in after.model
    assert "m.c_proj(m.act(m.c_gate(x)) * m.c_fc(x))" in after.model


def test_only_what_swap_activation_cannot_do_changes_inside_a_gate() -> None:
    assert set(edits(seed_source("v2"), "gating")) == {"none", "none-narrow", "glu"}
    glu = changed(seed_source("v2"), ("gating", "glu"))
    assert "class GLU(nn.Module):" in glu.model
    assert "torch.sigmoid(self.gate_proj(x)) * self.up_proj(x)" in glu.model
    assert changed(glu, ("gating", "swiglu")) == seed_source("v2")


def test_other_edits_survive_a_gate_and_its_removal() -> None:
    source = changed(
        seed_source("v1"), ("ffn_ratio", "6"), ("swap_activation", "relu2"), ("zero_init", "projections")
    )
    gated = changed(source, ("gating", "relu2glu"))
    for kept in ("F.relu(gate).square() * x", "nn.init.zeros_(p)", "self.dropout(x)", "bias=config.bias"):
        assert kept in gated.model
    assert "4 * config.n_embd" in gated.model  # two thirds of 6
    plain = changed(gated, ("gating", "none"))
    assert plain == source


def test_a_gate_takes_no_name_that_is_in_use() -> None:
    source = layer(
        "        hidden = 3\n        self.gate = hidden\n" + LINEARS,
        "        gate = self.gate\n        return self.out(F.gelu(self.fc(x))) * gate\n",
    )
    after = changed(source, ("gating", "geglu")).model
    assert "        hidden_size = int(8 * dim / 3)\n" in after
    assert "self.fc_gate = nn.Linear(dim, hidden_size)\n" in after
    assert "F.gelu(self.fc_gate(x)) * self.fc(x)" in after


def test_gated_layers_and_experts_have_ratios_of_their_own() -> None:
    plain, gated = seed_source("v1"), changed(seed_source("v1"), ("gating", "geglu-wide"))
    mixed = changed(plain, ("moe", "4x1"))
    sites = {source: edits(source, "ffn_ratio")["6"] for source in (plain, gated, mixed)}
    assert {edit.site for edit in sites.values()} == {"MLP:4", "MLP:gated-4", "MLP:expert-4"}
    assert {operators.words(edit) for edit in sites.values()} == {"FFN ratio 4 → 6 in MLP"}


def test_a_fraction_is_written_once() -> None:
    source = seed_source("v1")
    after = diff(source, changed(source, ("ffn_ratio", "8-3")))
    assert after.count("8 * config.n_embd / 3") == 1
    assert "+        self.c_proj = nn.Linear(hidden, config.n_embd, bias=config.bias)" in after


def test_the_width_of_a_configuration_is_changed_there() -> None:
    source = foreign_source("llama_like")
    assert diff(source, changed(source, ("ffn_ratio", "4"))) == (
        "-    intermediate_size: int = 172\n+    intermediate_size: int = 256"
    )
    given = Source(source.model, "model_args: {hidden_size: 96}\n")
    assert "+    intermediate_size: int = 384" in diff(given, changed(given, ("ffn_ratio", "4")))
    fixed = Source(source.model, "model_args: {intermediate_size: 200}\n")
    assert edits(fixed, "ffn_ratio") == {}


def test_what_leads_into_an_activation_comes_before_it() -> None:
    """An activation behind the second projection belongs to no hidden layer."""
    after = layer(LINEARS, "        x = self.out(self.fc(x))\n        return F.gelu(x)\n")
    assert edits(after, "gating") == {}
