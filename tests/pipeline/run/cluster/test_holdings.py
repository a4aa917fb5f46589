"""Whether workers fit is looked at node by node, as Ray places them."""

import pytest

from pipeline.run.cluster.holdings import Node, demand, holds_all, local_cpus, num_placed, offered
from stages.engines.specs import Resources


def _nodes(*sizes: tuple[float, int]) -> list[Node]:
    return [Node(cpus, [1.0] * gpus, {"memory": 1e9}) for cpus, gpus in sizes]


@pytest.mark.parametrize(
    ("wanted", "sizes", "placed"),
    [
        (Resources(actors=4, cpus=4), [(2, 0), (2, 0), (2, 0), (2, 0)], 0),  # eight cores in all, on no node four
        (Resources(actors=4, cpus=2), [(3, 0), (3, 0)], 2),
        (Resources(actors=3, gpus=0.6, cpus=0), [(8, 2)], 2),  # a share lies on one GPU
        (Resources(actors=2, gpus=2, cpus=1), [(8, 3), (8, 1)], 1),
        (Resources(actors=10, cpus=0.1), [(1, 0)], 10),
        (Resources(actors=1, cpus=1, custom={"spot": 1}), [(8, 8)], 0),
    ],
)
def test_workers_are_counted_where_they_fit(wanted: Resources, sizes: list[tuple[float, int]], placed: int) -> None:
    assert num_placed(wanted, _nodes(*sizes)) == placed


def test_parts_that_add_up_but_fit_no_node_do_not_fit_at_once() -> None:
    captions, words = Resources(actors=2, cpus=3), Resources(actors=2, cpus=1)
    assert holds_all([captions, words], _nodes((4, 0), (4, 0)))
    assert not holds_all([captions, words], _nodes((8, 0), (0, 0))[1:] + _nodes((2, 0), (2, 0), (2, 0), (2, 0)))


def test_custom_resources_count() -> None:
    spot = Node(4, [], {"spot": 1.0})
    worker = Resources(cpus=1, custom={"spot": 0.5})
    assert holds_all([worker, worker], [spot])
    assert not holds_all([worker, worker, worker], [spot, Node(4)])


def test_a_machine_is_told_in_words() -> None:
    assert offered([Node(4, [1.0], {"spot": 1, "memory": 5, "node:1.2.3.4": 1}), Node(2), Node(2)]) == (
        "1 node of 4 CPUs 1 GPUs 1 spot, 2 nodes of 2 CPUs"
    )
    assert demand(Resources(cpus=0.5, custom={"spot": 1})) == "0.5 CPUs 1 spot"


def test_half_a_core_counts_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray._private.utils._get_docker_cpus", lambda: 0.5)
    assert local_cpus() == 1
