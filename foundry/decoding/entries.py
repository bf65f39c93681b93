"""What a cache holds of one tensor: as it is, in bfloat16, or by groups of small integers."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from foundry.decoding.grouped import GROUP, dequantise_into, quantise, scales_of
from foundry.decoding.room import Room

_SPARE = 64  # positions to begin with, and between two times that what is let go of makes room


class Role(Enum):
    """What a tensor is to attention, by which it may be stored; a latent is like a value."""

    EXACT = "exact"  # never rounded
    KEY = "key"
    VALUE = "value"


class Entry(Protocol):
    """Positions of one tensor along one axis, in which `window` ones at most attend to each other."""

    def extend(self, new: Tensor) -> Tensor:
        """Append positions; return all, or at least those that the new ones may still attend to."""

    def bytes_at(self, positions: int) -> float:
        """Return the most bytes that so many positions take; what a group shares is divided among it."""

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""


class Plain:
    """Holds numbers in a dtype, and gives them in that in which they came."""

    def __init__(self, like: Tensor, axis: int, window: int | None, dtype: torch.dtype) -> None:
        self._room = Room(axis, None if window is None else window - 1, spare=_SPARE)
        self._dtype = dtype
        counted = like.dtype.is_floating_point or like.dtype.is_complex  # token ids lie elsewhere already
        self._elements = like.numel() // like.size(axis) if counted else 0

    def extend(self, new: Tensor) -> Tensor:
        return self._room.append(new.to(self._dtype)).to(new.dtype)

    def bytes_at(self, positions: int) -> float:
        return positions * self._elements * self._dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self._room.nbytes


class Grouped:
    """Holds complete groups of positions as small integers, and those of the newest group as they came.

    Attention sees the positions of a pass, and of the group that is not complete, before they are rounded, so
    that a text gives the same whether its tokens come one by one or a group at a time.
    """

    def __init__(self, like: Tensor, axis: int, window: int | None, role: Role, bits: int) -> None:
        self._axis, self._bits, self._channels_share = axis, bits, role is Role.VALUE
        self._kept = None if window is None else window - 1
        groups = None if self._kept is None else -(-self._kept // GROUP)
        self._rooms = [
            Room(-3, groups, spare=_SPARE // GROUP) for _ in range(3)
        ]  # codes, scales and lows, (…, groups, ., .)
        self._newest = like.movedim(axis, -2)[..., :0, :]
        self._elements = like.numel() // like.size(axis)
        self._scales = self._elements * scales_of(self._newest.size(-1), self._channels_share)

    def extend(self, new: Tensor) -> Tensor:
        recent = torch.cat((self._newest, new.movedim(self._axis, -2)), dim=-2)
        whole = self._with(recent)
        complete = recent.size(-2) // GROUP
        if complete:
            groups = recent[..., : complete * GROUP, :].unflatten(-2, (complete, GROUP))
            parts = quantise(groups, self._bits, channels_share=self._channels_share)
            for room, part in zip(self._rooms, parts, strict=True):
                room.append(part)
        self._newest = recent[..., complete * GROUP :, :].clone()
        if self._kept is not None:
            seen = min(whole.size(-2), self._kept + new.size(self._axis))
            whole = whole[..., whole.size(-2) - seen :, :]
        return whole.movedim(-2, self._axis)

    def bytes_at(self, positions: int) -> float:
        exact = min(GROUP - 1, positions)  # where the newest group lacks one position
        rounded = self._elements * self._bits / 8 + 4 * self._scales
        return (positions - exact) * rounded + exact * self._elements * self._newest.itemsize

    @property
    def nbytes(self) -> int:
        return sum(room.nbytes for room in self._rooms) + self._newest.nbytes

    def _with(self, recent: Tensor) -> Tensor:
        codes, scale, low = (room.held() for room in self._rooms)
        if codes is None or scale is None or low is None:
            return recent
        old = codes.size(-3) * GROUP
        shape = (*recent.shape[:-2], old + recent.size(-2), recent.size(-1))
        whole = torch.empty(shape, dtype=recent.dtype, device=recent.device)
        dequantise_into(
            whole[..., :old, :].unflatten(-2, (-1, GROUP)),
            codes,
            scale,
            low,
            self._bits,
            channels_share=self._channels_share,
        )
        whole[..., old:, :] = recent
        return whole


class Store(Protocol):
    """Make the entry for a tensor of some role."""

    def __call__(self, like: Tensor, axis: int, window: int | None, role: Role) -> Entry: ...


def _plain(dtype: torch.dtype, like: Tensor, axis: int, window: int | None, role: Role) -> Entry:
    narrower = role is not Role.EXACT and like.dtype.is_floating_point
    return Plain(like, axis, window, dtype if narrower else like.dtype)


def _as_it_is(like: Tensor, axis: int, window: int | None, role: Role) -> Entry:
    return Plain(like, axis, window, like.dtype)


def _grouped(bits: int, like: Tensor, axis: int, window: int | None, role: Role) -> Entry:
    if role is Role.EXACT or not like.dtype.is_floating_point or like.dim() < 2:
        return _as_it_is(like, axis, window, role)
    return Grouped(like, axis, window, role, bits)


STORES: Mapping[str, Store] = {
    "float32": _as_it_is,
    "bfloat16": partial(_plain, torch.bfloat16),
    "int8": partial(_grouped, 8),
    "int4": partial(_grouped, 4),
}
