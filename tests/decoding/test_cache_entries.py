"""What a cache holds: nothing is lost that is seen, memory is bounded, and rounding stays within its step."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from foundry.decoding.cache import Cache, ChangedError, Survey
from foundry.decoding.entries import STORES, Role
from foundry.decoding.grouped import GROUP, dequantise_into, quantise
from foundry.decoding.kinds import KINDS
from foundry.decoding.room import Room

CUTS = st.lists(st.integers(1, 40), min_size=1, max_size=12)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def pieces(x: Tensor, sizes: list[int]) -> list[Tensor]:
    """Cut x (B, T, C) along time."""
    return list(x.split(sizes, dim=1))


@settings(max_examples=30, deadline=None)
@given(CUTS, st.none() | st.integers(0, 50), st.integers(1, 20))
def test_a_room_gives_what_was_kept_and_what_is_new(sizes: list[int], kept: int | None, spare: int) -> None:
    x, room, done = randn(2, sum(sizes), 3), Room(-2, kept, spare=spare), 0
    for piece in pieces(x, sizes):
        got = room.append(piece.clone())
        start = 0 if kept is None else max(0, done - kept)
        done += piece.size(1)
        assert torch.equal(got, x[:, start:done])
        held = room.held()
        assert held is not None
        assert torch.equal(held, x[:, 0 if kept is None else max(0, done - kept) : done])
    if kept is not None:
        assert room.nbytes == 2 * (kept + spare) * 3 * 4


@settings(max_examples=20, deadline=None)
@given(CUTS, st.sampled_from(["bfloat16", "int8", "int4"]), st.sampled_from([Role.KEY, Role.VALUE]))
def test_rounding_does_not_depend_on_how_a_text_is_cut(sizes: list[int], kind: str, role: Role) -> None:
    x = randn(2, sum(sizes), 8)
    one, other = (STORES[kind](x[:, :1], -2, None, role) for _ in range(2))
    for piece in pieces(x, sizes):
        one.extend(piece)
    other.extend(x)
    nothing = x[:, :0]
    assert torch.equal(one.extend(nothing), other.extend(nothing))


@pytest.mark.parametrize("kind", STORES)
@pytest.mark.parametrize("axis", [-1, -2, -3])
def test_an_entry_gives_positions_where_they_were(kind: str, axis: int) -> None:
    x = randn(2, 3, 70, 32).movedim(-2, axis)
    entry = STORES[kind](x, axis, None, Role.KEY)
    entry.extend(x.narrow(axis, 0, 69))
    torch.testing.assert_close(entry.extend(x.narrow(axis, 69, 1)), x, atol=0.3, rtol=0.01)


@pytest.mark.parametrize("kind", STORES)
def test_what_is_exact_is_never_rounded(kind: str) -> None:
    x = randn(2, 70, 8)
    entry = STORES[kind](x, -2, None, Role.EXACT)
    assert torch.equal(entry.extend(x), x)
    assert torch.equal(entry.extend(x[:, :0]), x)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([4, 8]), st.booleans(), st.sampled_from([8, 20, 64]), st.integers(0, 99))
def test_rounding_is_off_by_half_a_step(bits: int, channels_share: bool, width: int, seed: int) -> None:
    """The bound of rounding to nearest, with a little for the float16 of lowest value and step."""
    x = randn(2, 3, 2, GROUP, width, seed=seed)
    back = torch.empty_like(x)
    dequantise_into(
        back, *quantise(x, bits, channels_share=channels_share), bits, channels_share=channels_share
    )
    groups = x.unflatten(-1, (-1, 32 if width == 64 else width)) if channels_share else x
    low, high = groups.aminmax(dim=-1 if channels_share else -2, keepdim=True)
    step = ((high - low) / (2**bits - 1)).expand(groups.shape).reshape(x.shape)
    assert bool(((back - x).abs() <= 0.5 * step + 0.004).all())


@pytest.mark.parametrize("channels_share", [True, False])
def test_codes_are_those_of_the_formula(channels_share: bool) -> None:
    """By hand: 32 equal steps of which 16 levels remain, and a channel that is constant."""
    x = torch.zeros(1, GROUP, 32)
    ramp = torch.arange(32.0)
    x[0] = ramp[None, :] if channels_share else ramp[:, None]
    codes, step, low = quantise(x, 4, channels_share=channels_share)
    assert codes.shape == (1, 16, 32)
    torch.testing.assert_close(step.float(), torch.full_like(step, 31 / 15).float(), rtol=1e-3, atol=0)
    assert not low.any()
    levels = (ramp / (31 / 15)).round().to(torch.uint8)
    first, second = (levels, levels) if channels_share else (levels[:16, None], levels[16:, None])
    assert torch.equal(codes[0], (first | (second << 4)).expand(16, 32))
    constant = quantise(torch.full((1, GROUP, 8), 0.5), 4, channels_share=channels_share)
    back = torch.empty(1, GROUP, 8)
    dequantise_into(back, *constant, 4, channels_share=channels_share)
    assert torch.equal(back, torch.full((1, GROUP, 8), 0.5))


def test_every_kind_has_a_store() -> None:
    assert tuple(STORES) == KINDS


@pytest.mark.parametrize("positions", [1, 31, 32, 64 + 31])
def test_bytes_of_each_kind(positions: int) -> None:
    """Per element: 4, 2, and 1 or a half with 4 bytes for every 32 elements; 4 of the newest 31 positions."""
    x, elements, exact = randn(1, 2, positions, 64), 2 * 2 * 64, min(31, positions)
    rounded = positions - exact
    sizes = {
        "float32": 4 * elements * positions,
        "bfloat16": 2 * elements * positions,
        "int8": 9 * elements * rounded // 8 + 4 * elements * exact,
        "int4": 5 * elements * rounded // 8 + 4 * elements * exact,
    }
    for kind in STORES:
        cache = Cache(kind)
        cache.begin(positions, positions)
        cache.extend(x, -2, Role.KEY)
        cache.extend(x, -2, Role.VALUE)
        assert cache.bytes_at(positions) == sizes[kind]


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_no_length_up_to_a_text_takes_more_than_is_counted(kind: str) -> None:
    """The memory that is really held, of a text whose tokens come one by one, is at its most what is said."""
    x, entry, held = randn(1, 2, 64 + 31, 64), None, []
    for at in range(x.size(-2)):
        entry = entry or STORES[kind](x[..., :1, :], -2, None, Role.KEY)
        entry.extend(x[..., at : at + 1, :])
        held.append(entry.nbytes)
    assert entry is not None
    assert max(held) == held[-1] == entry.bytes_at(64 + 31)
    assert all(size <= entry.bytes_at(64 + 31) for size in held)


@pytest.mark.parametrize("kind", STORES)
def test_a_window_bounds_the_memory(kind: str) -> None:
    """However long the text; and positions within the window are there."""
    x, cache, largest = randn(1, 2, 2000, 16), Cache(kind), 0
    ends = [0, 700, *range(701, 2001)]
    for start, stop in pairwise(ends):
        cache.begin(stop, stop - start)
        got = cache.extend(x[..., start:stop, :], -2, Role.VALUE, 100)
        seen = min(stop, 99 + stop - start)
        assert got.size(-2) == seen
        torch.testing.assert_close(got[..., -1, :], x[..., stop - 1, :], atol=0.02, rtol=0.01)
        largest = max(largest, cache.nbytes)
    assert largest <= 2 * 16 * (99 + 64 + GROUP) * 4
    assert cache.bytes_at(2000) == cache.bytes_at(100)


def test_asking_for_something_else_is_noticed() -> None:
    cache, x = Cache(), randn(1, 4, 8)
    cache.begin(4, 4)
    cache.extend(x, -2)
    for other in (
        lambda: cache.extend(x, -1),
        lambda: cache.extend(x.double(), -2),
        lambda: cache.extend(x, -2, Role.KEY),
    ):
        cache.begin(8, 4)
        with pytest.raises(ChangedError):
            other()


def test_a_survey_reads_windows_off_masks() -> None:
    at = torch.arange(20)
    gap = at[:, None] - at
    masks = [
        gap >= 0,
        (gap >= 0) & (gap < 7),
        torch.where((gap >= 0) & (gap < 3), 0.0, -torch.inf)[None, None],
    ]
    survey, x = Survey(), randn(1, 2, 20, 4)
    survey.begin(20, 20)
    for mask in masks:
        survey.window(mask)
        survey.extend(x, -2)
    assert survey.found == {1: 7, 2: 3}
