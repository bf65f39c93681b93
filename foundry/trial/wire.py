"""Messages between the processes of a trial: a line of JSON, and tensors as their bytes.

Whoever reads may not trust who writes: lengths are bounded, and a tensor is read only into a shape that the
reader expects. Nothing is ever unpickled. Connections are read and written as files are: a confined process
may no longer make the system calls that are for sockets alone.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

_LENGTH = struct.Struct(">I")
_LONGEST = 1 << 20  # bytes of JSON


class ClosedError(ConnectionError):
    """The other side has gone away."""


class GarbledError(ValueError):
    """The other side does not keep to the protocol."""


def send(connection: socket.socket, message: Mapping[str, object], *tensors: Tensor) -> None:
    """Write a message and the bytes of contiguous tensors.

    Raises:
        ClosedError: nobody reads.
    """
    body = json.dumps(message).encode("utf-8")
    _write(connection, memoryview(_LENGTH.pack(len(body)) + body))
    for tensor in tensors:
        if tensor.numel():
            _write(connection, _bytes_of(tensor.detach().cpu().contiguous()))


def receive(connection: socket.socket) -> dict[str, Any]:
    """Read a message.

    Raises:
        ClosedError: there is no more.
        GarbledError: it is too long, or not a JSON object.
    """
    (length,) = _LENGTH.unpack(_exactly(connection, _LENGTH.size))
    if length > _LONGEST:
        raise GarbledError(f"a message of {length} bytes")
    try:
        message = json.loads(bytes(_exactly(connection, length)))
    except (ValueError, RecursionError):
        raise GarbledError("a message that is not JSON") from None
    if not isinstance(message, dict):
        raise GarbledError("a message that is not an object")
    return message


def receive_tensor(connection: socket.socket, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Read the bytes of a tensor.

    Raises:
        ClosedError: they end too early.
    """
    tensor = torch.empty(shape, dtype=dtype)
    if tensor.numel():
        _fill(connection, _bytes_of(tensor))
    return tensor


def _bytes_of(tensor: Tensor) -> memoryview:
    """Return the memory of a contiguous tensor on the CPU."""
    return memoryview(tensor.numpy().data).cast("B")


def _exactly(connection: socket.socket, length: int) -> bytearray:
    body = bytearray(length)
    _fill(connection, memoryview(body))
    return body


def _write(connection: socket.socket, view: memoryview) -> None:
    while view:
        try:
            count = os.write(connection.fileno(), view)
        except ConnectionError:
            raise ClosedError("nobody reads") from None
        view = view[count:]


def _fill(connection: socket.socket, view: memoryview) -> None:
    while view:
        try:
            count = os.readv(connection.fileno(), [view])
        except ConnectionError:
            count = 0
        if not count:
            raise ClosedError("the other side has gone away")
        view = view[count:]
