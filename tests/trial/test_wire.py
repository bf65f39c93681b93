"""What comes over the wire is bounded and typed, whatever the other side sends."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from foundry.trial import wire

Ends = tuple[socket.socket, socket.socket]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture
def ends() -> Iterator[Ends]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_messages_and_tensors_arrive_in_order(ends: Ends) -> None:
    ours, theirs = ends
    logits = torch.randn(7, 300, 65, generator=torch.Generator().manual_seed(0))
    sender = threading.Thread(
        target=wire.send, args=(ours, {"shape": list(logits.shape)}, logits, torch.arange(5))
    )
    sender.start()
    shape = tuple(wire.receive(theirs)["shape"])
    assert torch.equal(wire.receive_tensor(theirs, shape, torch.float32), logits)
    assert wire.receive_tensor(theirs, (5,), torch.int64).tolist() == [0, 1, 2, 3, 4]
    sender.join()


def test_views_and_empty_tensors_travel(ends: Ends) -> None:
    ours, theirs = ends
    table = torch.arange(12.0).view(3, 4)
    wire.send(ours, {}, table.T, torch.empty(0, 5))
    wire.receive(theirs)
    assert torch.equal(wire.receive_tensor(theirs, (4, 3), torch.float32), table.T)
    assert wire.receive_tensor(theirs, (0, 5), torch.float32).shape == (0, 5)


@given(st.binary(max_size=200))
def test_noise_is_refused_by_name(noise: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(struct.pack(">I", len(noise)) + noise)
        ours.close()
        with contextlib.suppress(wire.GarbledError, wire.ClosedError):
            assert isinstance(wire.receive(theirs), dict)


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_every_object_of_json_arrives(message: dict[str, object]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        wire.send(ours, message)
        assert wire.receive(theirs) == json.loads(json.dumps(message))


def test_a_message_that_claims_gigabytes_is_not_waited_for(ends: Ends) -> None:
    ours, theirs = ends
    ours.sendall(struct.pack(">I", 0xFFFF_FFFF))
    with pytest.raises(wire.GarbledError, match="4294967295 bytes"):
        wire.receive(theirs)


def test_json_that_is_nested_without_end_is_garbled(ends: Ends) -> None:
    ours, theirs = ends
    body = b"[" * 100_000
    ours.sendall(struct.pack(">I", len(body)) + body)
    with pytest.raises(wire.GarbledError):
        wire.receive(theirs)


def test_an_end_in_the_middle_is_an_end(ends: Ends) -> None:
    ours, theirs = ends
    wire.send(ours, {"shape": [4]})
    ours.sendall(bytes(15))
    ours.close()
    wire.receive(theirs)
    with pytest.raises(wire.ClosedError):
        wire.receive_tensor(theirs, (4,), torch.float32)
    with pytest.raises(wire.ClosedError):
        wire.send(theirs, {})
