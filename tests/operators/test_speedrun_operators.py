"""What the ideas of the speed-runs do to a model: which keep its function at first, what each computes."""

import difflib
import itertools
from collections.abc import Iterator

import pytest
import torch
from operator_support import LENGTH, SEEDS, VOCABULARY, foreign_source, namespace, run, seed_source

import operators
from foundry.gates import Subject, check
from foundry.gates import run as run_gate
from operators import Edit, Source

SAME_FUNCTION = [
    ("value_residual", "learned"),
    ("x0_skip", "learned"),
    ("unet_skips", "zero"),
    ("residual_scale", "scalar"),
    ("primer_conv", "3"),
    ("value_embeddings", "alternate"),
    ("value_embeddings", "all"),
]
OTHER_FUNCTION = [
    ("value_residual", "half"),
    ("unet_skips", "one"),
    ("logit_softcap", "15"),
    ("logit_softcap", "30"),
    ("residual_scale", "layerscale"),
    ("parallel_block", "shared-norm"),
    ("token_shift", "half"),
]
ALL = SAME_FUNCTION + OTHER_FUNCTION
BLOCKS = {"v1": "transformer.h", "v2": "layers"}
LOOP = """\
        for block in self.transformer.h:
            x = block(x)
"""


def edited(source: Source, *wanted: tuple[str, str]) -> Source:
    """Apply the first edit of each operator and variant in turn."""
    for operator, variant in wanted:
        edit = next(e for e in operators.load()[operator].sites(source) if e.variant == variant)
        source = operators.apply(source, edit)
    return source


def model(source: Source, layers: int = 4, heads: int = 2) -> torch.nn.Module:
    """Build a miniature with 2 or more heads; v2's share one key and value."""
    module = namespace(source.model)
    sizes = {"block_size": LENGTH, "vocab_size": VOCABULARY, "n_layer": layers, "n_embd": 32, "n_head": heads}
    if "n_kv_head" in module.GPTConfig.__dataclass_fields__:
        sizes["n_kv_head"] = 1
    torch.manual_seed(0)
    return module.GPT(module.GPTConfig(**sizes)).eval()


def tokens() -> torch.Tensor:
    return torch.randint(VOCABULARY, (2, LENGTH), generator=torch.Generator().manual_seed(1))


def seen(gpt: torch.nn.Module, name: str) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Run a model once; return what went into each of its blocks, and what came out."""
    inputs: list[torch.Tensor] = []
    outputs: list[torch.Tensor] = []
    for block in gpt.get_submodule(BLOCKS[name]):  # type: ignore[union-attr]
        block.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
        block.register_forward_hook(lambda _, args, out: outputs.append(out))
    with torch.no_grad():
        gpt(tokens(), tokens())
    return inputs, outputs


@pytest.fixture(params=SEEDS, name="seed")
def _seed(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=ALL, ids="-".join, name="idea")
def _idea(request: pytest.FixtureRequest) -> tuple[str, str]:
    operator, variant = request.param
    return operator, variant


# Starting points


@pytest.mark.parametrize("idea", SAME_FUNCTION, ids="-".join)
def test_some_start_as_the_same_function(seed: str, idea: tuple[str, str]) -> None:
    source = seed_source(seed)
    before, after = run(source), run(edited(source, idea))
    assert (before.logits - after.logits).abs().max() < 1e-5
    assert after.parameters > before.parameters


@pytest.mark.parametrize("idea", OTHER_FUNCTION, ids="-".join)
def test_others_change_the_function_at_once(seed: str, idea: tuple[str, str]) -> None:
    source = seed_source(seed)
    assert (run(source).logits - run(edited(source, idea)).logits).abs().max() > 1e-5


def test_none_is_offered_twice(seed: str, idea: tuple[str, str]) -> None:
    source = seed_source(seed)
    edit = next(e for e in operators.load()[idea[0]].sites(source) if e.variant == idea[1])
    again = operators.load()[idea[0]].sites(operators.apply(source, edit))
    assert not [e for e in again if e.site == edit.site]


@pytest.mark.parametrize("layers", [1, 3])
def test_every_depth_works(seed: str, idea: tuple[str, str], layers: int) -> None:
    gpt = model(edited(seed_source(seed), idea), layers)
    _, loss = gpt(tokens(), tokens())
    loss.backward()
    assert all(p.grad is not None for p in gpt.parameters())


def subject(source: Source) -> Subject:
    sizes = {"n_layer": 4, "n_head": 4, "n_embd": 128, "block_size": 64, "vocab_size": 65}
    return Subject(source=source.model, model_args=sizes, batch_size=12)


def test_what_may_break_does_not(seed: str, idea: tuple[str, str]) -> None:
    """The gates that these ideas could fail; all gates are among the slow tests."""
    examined = subject(edited(seed_source(seed), idea))
    for gate in ("allow_list", "finite", "gradients", "causality"):
        assert run_gate(gate, examined) is None


@pytest.mark.slow
def test_all_gates_pass(seed: str, idea: tuple[str, str]) -> None:
    assert check(subject(edited(seed_source(seed), idea))) is None


# What each computes


def test_value_residual_can_give_every_layer_the_values_of_the_first(
    seed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpt = model(edited(seed_source(seed), ("value_residual", "learned")))
    for name, parameter in gpt.named_parameters():
        if name.endswith("v_lambdas"):
            parameter.data = torch.tensor([0.25, 0.75])
    made: list[torch.Tensor] = []
    attend = torch.nn.functional.scaled_dot_product_attention

    def recorded(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, **rest: object) -> torch.Tensor:
        made.append(v)
        return attend(q, k, v, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", recorded)
    first = model(seed_source(seed))
    for each in (gpt, first):
        with torch.no_grad():
            each(tokens(), tokens())
    mixed, plain = made[:4], made[4:]
    torch.testing.assert_close(mixed[0], plain[0])  # the first layer's own, whatever the weights
    block = gpt.get_submodule(BLOCKS[seed])[2]  # type: ignore[index]
    own = (mixed[2] - 0.75 * mixed[0]) / 0.25
    block.attn.v_lambdas.data = torch.tensor([1.0, 0.0])
    with torch.no_grad():
        gpt(tokens(), tokens())
    torch.testing.assert_close(made[-2], own, atol=1e-5, rtol=1e-4)


def test_x0_skip_can_give_every_block_the_embedding(seed: str) -> None:
    gpt = model(edited(seed_source(seed), ("x0_skip", "learned")))
    gpt.get_parameter("resid_lambdas").data.fill_(0.5)
    gpt.get_parameter("x0_lambdas").data.fill_(0.25)
    inputs, outputs = seen(gpt, seed)
    x0 = inputs[0] / 0.75
    for before, after in itertools.pairwise(range(4)):
        torch.testing.assert_close(inputs[after], 0.5 * outputs[before] + 0.25 * x0)


@pytest.mark.parametrize("layers", [2, 3, 4, 5])
def test_unet_skips_join_mirrored_layers(seed: str, layers: int) -> None:
    gpt = model(edited(seed_source(seed), ("unet_skips", "zero")), layers)
    weights = {name: p for name, p in gpt.named_parameters() if name.startswith("skip_weights")}
    assert len(weights) == layers // 2
    for at, weight in enumerate(weights.values()):
        weight.data.fill_(at + 0.5)
    inputs, outputs = seen(gpt, seed)
    for i in range(1, layers):
        mirror = layers - 1 - i
        skip = (mirror + 0.5) * outputs[mirror] if mirror < i else 0
        torch.testing.assert_close(inputs[i], outputs[i - 1] + skip)


@pytest.mark.parametrize("cap", [15, 30])
def test_softcap_bounds_logits_on_both_ways(seed: str, cap: int) -> None:
    plain, gpt = model(seed_source(seed)), model(edited(seed_source(seed), ("logit_softcap", str(cap))))
    for each in (plain, gpt):
        each.get_parameter("lm_head.weight").data *= 100
    with torch.no_grad():
        free, capped, last = plain(tokens(), tokens())[0], gpt(tokens(), tokens())[0], gpt(tokens())[0]
    assert free.abs().max() > cap
    torch.testing.assert_close(capped, cap * torch.tanh(free / cap))
    torch.testing.assert_close(last[:, -1], capped[:, -1])


@pytest.mark.parametrize("variant", ["scalar", "layerscale"])
def test_residual_scales_of_zero_make_blocks_the_identity(seed: str, variant: str) -> None:
    gpt = model(edited(seed_source(seed), ("residual_scale", variant)))
    for name, parameter in gpt.named_parameters():
        if name.endswith("_scale"):
            assert parameter.dim() < 2  # so that Muon leaves it to AdamW
            parameter.data.zero_()
    inputs, outputs = seen(gpt, seed)
    assert all(torch.equal(before, after) for before, after in zip(inputs, outputs, strict=True))


def test_a_parallel_block_has_one_norm_and_adds_both(seed: str) -> None:
    gpt = model(edited(seed_source(seed), ("parallel_block", "shared-norm")))
    inputs, outputs = seen(gpt, seed)
    block = gpt.get_submodule(BLOCKS[seed])[1]  # type: ignore[index]
    (norm,) = [layer for name, layer in block.named_children() if "ln" in name or "norm" in name]
    h = norm(inputs[1])
    torch.testing.assert_close(outputs[1], inputs[1] + block.attn(h) + block.mlp(h))


def test_a_shifted_layer_reads_the_token_before(seed: str) -> None:
    gpt = model(edited(seed_source(seed), ("token_shift", "half")))
    attn = gpt.get_submodule(BLOCKS[seed])[0].attn  # type: ignore[index]
    given: list[torch.Tensor] = []
    projected: list[torch.Tensor] = []
    attn.register_forward_pre_hook(lambda _, args: given.append(args[0]))
    first = next(layer for layer in attn.modules() if isinstance(layer, torch.nn.Linear))
    first.register_forward_pre_hook(lambda _, args: projected.append(args[0]))
    seen(gpt, seed)
    assert torch.equal(projected[0][..., 16:], given[0][..., 16:])
    assert torch.equal(projected[0][:, 1:, :16], given[0][:, :-1, :16])
    assert not projected[0][:, 0, :16].any()


def test_value_embeddings_serve_layers_with_fewer_value_heads(seed: str) -> None:
    gpt = model(edited(seed_source(seed), ("value_embeddings", "alternate")), heads=4)
    plain = seen(gpt, seed)[1]
    gpt.get_parameter("value_gates").data.copy_(torch.tensor([0.0, 5.0, 1.0, 5.0]))  # odd layers use none
    embedded = seen(gpt, seed)[1]
    assert torch.equal(plain[1], embedded[1])
    assert not torch.allclose(plain[2], embedded[2])


# Sources


def v1_with_loop(*lines: str) -> Source:
    source = seed_source("v1")
    assert LOOP in source.model
    loop = "".join(f"        {line}\n" for line in lines)
    return Source(source.model.replace(LOOP, loop), source.experiment)


SPELLINGS = {
    "enumerated": v1_with_loop("for n, layer in enumerate(self.transformer.h):", "    x = layer(x)"),
    "indexed": v1_with_loop("for n in range(len(self.transformer.h)):", "    x = self.transformer.h[n](x)"),
    "annotated": v1_with_loop("for block in self.transformer.h:", "    x: torch.Tensor = block(x)"),
}


@pytest.mark.parametrize("idea", [*SAME_FUNCTION, ("unet_skips", "one")], ids="-".join)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_loops_are_known_however_they_are_spelled(spelling: str, idea: tuple[str, str]) -> None:
    mine, usual = run(edited(SPELLINGS[spelling], idea)), run(edited(seed_source("v1"), idea))
    assert torch.equal(mine.logits, usual.logits)
    assert mine.parameters == usual.parameters


def test_a_count_that_is_there_is_used() -> None:
    after = edited(SPELLINGS["enumerated"], ("x0_skip", "learned"), ("unet_skips", "zero")).model
    assert "self.resid_lambdas[n] * x + self.x0_lambdas[n] * x0" in after
    assert "mirror = len(self.transformer.h) - 1 - n" in after


def test_a_second_way_through_the_blocks_is_left_alone() -> None:
    source = v1_with_loop(*LOOP.replace("        ", "", 1).replace("\n        ", "\n").splitlines() * 2)
    for name in ("x0_skip", "unet_skips", "value_residual", "value_embeddings"):
        assert operators.load()[name].sites(source) == []


def test_values_pass_defaults_and_keywords() -> None:
    source = foreign_source("llama_like")
    call = "self.self_attn(hidden_states, position_embeddings, attention_mask)"
    named = "position_embeddings=position_embeddings, attention_mask=attention_mask"
    keyed = f"self.self_attn(hidden_states, {named})"
    assert call in source.model
    source = Source(source.model.replace(call, keyed), source.experiment)
    after = edited(source, ("value_residual", "learned"))
    assert "attention_mask=attention_mask, values=values)" in after.model
    assert torch.equal(run(source).logits, run(after).logits)


def orders() -> Iterator[tuple[tuple[str, str], ...]]:
    threaded = [("value_residual", "learned"), ("x0_skip", "learned"), ("value_embeddings", "all")]
    yield from itertools.permutations([*threaded, ("unet_skips", "zero")], 4)


@pytest.mark.parametrize("seed", ["v2"])
def test_what_shares_a_loop_adds_up_in_any_order(seed: str) -> None:
    source = seed_source(seed)
    counts = set()
    for order in list(orders())[::3]:
        after = run(edited(source, *order))
        assert (after.logits - run(source).logits).abs().max() < 1e-5
        counts.add(after.parameters)
    assert len(counts) == 1


def test_parallel_blocks_keep_scales_and_values() -> None:
    order = [("residual_scale", "scalar"), ("value_residual", "learned"), ("parallel_block", "shared-norm")]
    after = edited(seed_source("v1"), *order)
    assert "x = x + self.attn_scale * self.attn(h, values) + self.mlp_scale * self.mlp(h)" in after.model
    assert edited(seed_source("v1"), order[2], order[0], order[1]).model.count("_scale * ") == 2


def test_a_parallel_block_that_returns_its_sum() -> None:
    source = seed_source("v1")
    old = "        x = x + self.mlp(self.ln_2(x))\n        return x\n"
    assert old in source.model
    returning = source.model.replace(old, "        return x + self.mlp(self.ln_2(x))\n")
    after = edited(Source(returning, source.experiment), ("parallel_block", "shared-norm"))
    assert "        h = self.ln_1(x)\n        return x + self.attn(h) + self.mlp(h)\n" in after.model
    assert torch.equal(run(after).logits, run(edited(source, ("parallel_block", "shared-norm"))).logits)


def test_value_residual_is_written_as_a_person_would() -> None:
    before, after = seed_source("v1"), edited(seed_source("v1"), ("value_residual", "learned"))
    changed = difflib.unified_diff(before.model.splitlines(), after.model.splitlines(), lineterm="", n=0)
    assert (
        "\n".join(line for line in changed if line[:2] not in ("--", "++", "@@"))
        == """\
+        self.v_lambdas = nn.Parameter(torch.tensor([1.0, 0.0]))
-    def forward(self, x):
+    def forward(self, x, values):
+        values.append(v)
+        v = self.v_lambdas[0] * v + self.v_lambdas[1] * values[0]
-    def forward(self, x):
-        x = x + self.attn(self.ln_1(x))
+    def forward(self, x, values):
+        x = x + self.attn(self.ln_1(x), values)
+        values = []  # of each layer's attention
-            x = block(x)
+            x = block(x, values)"""
    )


# Initialisation


def stds(source: Source) -> dict[str, float]:
    """Return the width of what each of three weights was drawn from, by the draws themselves."""
    gpt = model(source, layers=8, heads=2)
    names = ("transformer.h.0.attn.c_attn.weight", "transformer.h.0.mlp.c_proj.weight", "lm_head.weight")
    return {name.split(".")[-2]: gpt.get_parameter(name).std().item() for name in names}


@pytest.mark.parametrize(
    ("variant", "attn", "proj"),
    [
        ("x0.5", 0.01, 0.01 / 4),
        ("x2", 0.04, 0.04 / 4),
        ("fan-in", 32**-0.5, 128**-0.5 / 4),
        ("depth-none", 0.02, 0.02),
        ("depth-linear", 0.02, 0.02 / 8),
    ],
)
def test_weights_are_as_wide_as_the_variant_says(variant: str, attn: float, proj: float) -> None:
    drawn = stds(edited(seed_source("v1"), ("init", variant)))
    assert drawn["c_attn"] == pytest.approx(attn, rel=0.06)
    assert drawn["c_proj"] == pytest.approx(proj, rel=0.06)


def test_a_weight_that_is_not_transposed_has_its_inputs_first() -> None:
    source = foreign_source("conv1d")
    after = operators.apply(
        source, next(e for e in operators.lookup("init").sites(source) if e.variant == "fan-in")
    )
    assert "nn.init.normal_(self.weight, std=self.weight.size(0) ** -0.5)" in after.model
    assert "module.weight.size(1) ** -0.5" in after.model


def test_initialisation_can_be_put_back() -> None:
    source = seed_source("v1")
    assert edited(source, ("init", "fan-in"), ("init", "0.02")) == source
    assert edited(source, ("init", "x2"), ("init", "x0.5")) == source
    there_and_back = edited(source, ("init", "depth-linear"), ("init", "depth-sqrt"))
    assert stds(there_and_back) == pytest.approx(stds(source), rel=1e-5)


def test_zeroed_projections_are_left_alone() -> None:
    source = edited(seed_source("v1"), ("zero_init", "projections"))
    variants = {edit.variant for edit in operators.load()["init"].sites(source)}
    assert variants == {"x0.5", "x2", "fan-in"}
    after = operators.apply(source, Edit("init", "fan-in", "GPT._init_weights:0.02"))
    assert "nn.init.zeros_(p)" in after.model
