"""Numbers of a model's source that a sampler may propose: the base of rotation, the feed-forward's ratio."""

import pytest
from operator_support import MINIATURE, SEEDS, assert_runs, run, seed_source

import operators
from operators import Source, numbers

V1, V2 = (seed_source(name) for name in SEEDS)


def after(source: Source, operator: str, variant: str) -> Source:
    found = operators.lookup(operator).sites(source)
    return operators.apply(source, next(edit for edit in found if edit.variant == variant))


def with_numbers(source: Source, **values: float) -> Source:
    return numbers.applied(source, numbers.edit(values.items()))


def test_a_model_has_the_numbers_that_it_states() -> None:
    assert "rope_theta" not in numbers.present(V1)
    assert numbers.present(V2)["rope_theta"] == 10_000
    assert numbers.present(V1)["ffn_ratio"] == 4
    assert numbers.present(V2)["ffn_ratio"] == pytest.approx(8 / 3)
    assert not {"rope_theta", "ffn_ratio"} & numbers.present(Source("", MINIATURE)).keys()


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (V2, "    rope_theta: float = 31400.0"),
        (after(V1, "position", "rope"), "    def __init__(self, head_dim, max_positions, theta=31400.0):"),
        (
            after(V1, "position", "rope-0.25"),
            "    def __init__(self, rotary_dim, max_positions, theta=31400.0):",
        ),
    ],
    ids=["configuration", "layer", "part"],
)
def test_the_base_of_rotation_is_written_where_it_stands(source: Source, line: str) -> None:
    turned = with_numbers(source, rope_theta=31_415.9)
    assert set(turned.model.splitlines()) - set(source.model.splitlines()) == {line}
    assert numbers.present(turned)["rope_theta"] == 31_400
    assert_runs(turned, line)


def test_the_experiment_has_the_last_word_on_the_base_of_rotation() -> None:
    given = Source(
        V2.model, MINIATURE.replace("  n_layer: 2\n", "  n_layer: 2\n  rope_theta: 500.0  # short\n")
    )
    assert numbers.present(given)["rope_theta"] == 500
    turned = with_numbers(given, rope_theta=2_000)
    assert turned == Source(V2.model, given.experiment.replace("500.0", "2000"))


@pytest.mark.parametrize("seed", [V1, V2], ids=SEEDS)
@pytest.mark.parametrize(("wanted", "given"), [(1.5, 1.5), (2.7, 2.75), (3.1, 3), (8, 8)])
def test_ratios_of_the_feed_forward_are_quarters(seed: Source, wanted: float, given: float) -> None:
    wider = with_numbers(seed, ffn_ratio=wanted)
    assert numbers.present(wider)["ffn_ratio"] == given
    assert with_numbers(wider, ffn_ratio=4).model == with_numbers(seed, ffn_ratio=4).model or given != int(
        given
    )
    assert_runs(wider, wanted)


def test_a_ratio_means_so_many_parameters() -> None:
    per_ratio = 2 * 2 * 32 * 32  # layers, matrices of each, and their sides at a ratio of one
    biases = 2 * 32
    more = run(with_numbers(V1, ffn_ratio=6.5)).parameters - run(V1).parameters
    assert more == (6.5 - 4) * (per_ratio + biases)


def test_numbers_of_experiment_and_model_go_together() -> None:
    both = numbers.edit([("learning_rate", 0.002), ("ffn_ratio", 3.3), ("rope_theta", 450.0)])
    assert numbers.words(both) == "learning rate → 0.002, ffn ratio → 3.25, rope theta → 450"
    found = numbers.present(numbers.applied(V2, both))
    assert (found["learning_rate"], found["ffn_ratio"], found["rope_theta"]) == (0.002, 3.25, 450)


def test_ratios_that_differ_by_layer_are_no_single_number() -> None:
    assert "ffn_ratio" not in numbers.present(after(V1, "vary_by_layer", "ffn-later"))


@pytest.mark.parametrize("name", ["rope_theta", "ffn_ratio"])
def test_a_source_without_the_number_refuses_it(name: str) -> None:
    with pytest.raises(ValueError, match="this source has no"):
        with_numbers(Source("x = 1\n", MINIATURE), **{name: 4.0})
