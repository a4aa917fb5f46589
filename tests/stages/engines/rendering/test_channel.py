"""Objects that cross between two processes, tensors in memory that both see."""

import socket
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from stages.engines.rendering.channel import pair, receive, send
from tests.support.processes import num_descriptors

torch = pytest.importorskip("torch")


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = pair()
    with ours, theirs:
        yield ours, theirs


def test_an_object_arrives_as_it_was(ends: tuple[socket.socket, socket.socket]) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8))
    content = {
        "few": [1, "two", None],
        "half": torch.linspace(-3, 3, 7001, dtype=torch.bfloat16),
        "view": torch.arange(24).reshape(4, 6).T,
        "none": torch.empty(0, 3),
        "one": torch.tensor(2.5),
        "image": noise,
    }
    send(ends[0], content)
    received, _ = receive(ends[1])
    assert received.keys() == content.keys()
    assert received["few"] == content["few"]
    for name in ("half", "view", "none", "one"):
        assert received[name].dtype == content[name].dtype
        assert torch.equal(received[name], content[name])
    assert received["image"].tobytes() == noise.tobytes()


def test_messages_keep_their_order_and_large_ones_leave_no_descriptor_behind(ends: tuple[socket.socket, socket.socket]) -> None:
    kept = []
    before = num_descriptors()
    for number in range(50):
        send(ends[0], (number, torch.full((40_000,), number)))
        (received, tensor), num_bytes = receive(ends[1])
        kept.append(tensor)
        assert (received, int(tensor[-1])) == (number, number)
        assert num_bytes >= tensor.numel() * 8
    assert num_descriptors() == before


def test_a_tensor_outlives_the_process_that_sent_it(ends: tuple[socket.socket, socket.socket]) -> None:
    send(ends[0], torch.arange(1000))
    received, _ = receive(ends[1])
    ends[0].close()
    assert int(received.sum()) == 499_500
    with pytest.raises(EOFError):
        receive(ends[1])
