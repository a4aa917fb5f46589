"""Objects between two processes over a socket pair: small ones in the message, tensors and large ones in memory that both see.

A message is one datagram. What is large stands in an unnamed file in memory whose descriptor goes with it: the receiver maps it, so that
tensors are not copied there, and it is freed with the last tensor that lies in it, also where either process was killed.
"""

import io
import math
import mmap
import os
import pickle
import socket
import struct
from typing import Any

_INLINE_BYTES = 16 * 2**10
_DATAGRAM_BYTES = _INLINE_BYTES + 64
_HEAD = struct.Struct("<QQ")  # bytes of the pickle, bytes in all
_ALIGNED = 64


def pair() -> tuple[socket.socket, socket.socket]:
    """The two ends of a channel."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(end: socket.socket, content: Any) -> int:
    """Send an object; the bytes that it takes beside the message.

    Raises: OSError where nobody listens any more.
    """
    tensors: list[Any] = []
    buffer = io.BytesIO()
    _Pickler(buffer, tensors).dump(content)
    skeleton = buffer.getbuffer()
    if not tensors and len(skeleton) <= _INLINE_BYTES:
        end.send(_HEAD.pack(len(skeleton), 0) + bytes(skeleton))
        return 0
    places, total = [], len(skeleton)
    for tensor in tensors:
        total = -(-total // _ALIGNED) * _ALIGNED
        places.append(total)
        total += tensor.numel() * tensor.element_size()
    handle = os.memfd_create("fgdata", os.MFD_CLOEXEC)
    try:
        os.ftruncate(handle, total)
        with mmap.mmap(handle, total) as memory:
            memory[: len(skeleton)] = skeleton
            for tensor, place in zip(tensors, places, strict=True):
                _laid(memory, tensor, place)
        socket.send_fds(end, [_HEAD.pack(len(skeleton), total)], [handle])
    finally:
        os.close(handle)
    return total


def receive(end: socket.socket) -> tuple[Any, int]:
    """The next object, and the bytes that it takes beside the message.

    Raises: EOFError where the other end is closed.
    """
    data, handles, _, _ = socket.recv_fds(end, _DATAGRAM_BYTES, 1)
    if not data:
        raise EOFError("the other end is closed")
    length, total = _HEAD.unpack_from(data)
    if not handles:
        return pickle.loads(data[_HEAD.size :]), 0
    try:
        skeleton = io.BytesIO(os.pread(handles[0], length, 0))
        if total == length:
            return pickle.load(skeleton), total
        import torch

        # Not Python's mmap, which keeps a descriptor as long as it lives.
        memory = torch.from_file(f"/proc/self/fd/{handles[0]}", shared=True, size=total, dtype=torch.uint8)
        return _Unpickler(skeleton, memory, length).load(), total
    finally:
        os.close(handles[0])


def _laid(memory: mmap.mmap, tensor: Any, place: int) -> None:
    import torch

    flat = tensor.detach().contiguous().reshape(-1)
    if flat.numel():
        torch.frombuffer(memory, dtype=flat.dtype, count=flat.numel(), offset=place).copy_(flat)


class _Pickler(pickle.Pickler):
    """Leaves tensors of the CPU out, by their number, dtype and shape."""

    def __init__(self, buffer: io.BytesIO, tensors: list[Any]) -> None:
        super().__init__(buffer, protocol=5)
        self._tensors = tensors

    def persistent_id(self, content: Any) -> Any:
        kind = type(content)
        if kind.__module__ != "torch" or kind.__name__ != "Tensor" or content.device.type != "cpu" or content.layout is not _strided():
            return None
        self._tensors.append(content)
        return content.dtype, tuple(content.shape)


class _Unpickler(pickle.Unpickler):
    """Puts tensors in their places again, as views of the mapped memory."""

    def __init__(self, buffer: io.BytesIO, memory: Any, length: int) -> None:
        super().__init__(buffer)
        self._memory, self._place = memory, length

    def persistent_load(self, name: Any) -> Any:
        dtype, shape = name
        self._place = -(-self._place // _ALIGNED) * _ALIGNED
        num_bytes = math.prod(shape) * dtype.itemsize
        tensor = self._memory[self._place : self._place + num_bytes].view(dtype).reshape(shape)
        self._place += num_bytes
        return tensor


def _strided() -> Any:
    import torch

    return torch.strided
