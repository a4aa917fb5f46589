"""What a Ray holds, node by node, and whether workers fit. Starts nothing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from stages.engines.specs import Resources

_NODE_PATIENCE_S = 60
_RAYS_OWN = ("raylet", "gcs_server")
_EPSILON = 1e-6


class RayEnded(RuntimeError):
    """What a run needs of Ray on this machine has ended, so that nothing can come any more."""


@dataclass
class Node:
    """One node: CPU cores, the free share of each GPU, and what it offers under names of its own."""

    cpus: float
    gpus: list[float] = field(default_factory=list)
    custom: dict[str, float] = field(default_factory=dict)

    def take(self, wanted: Resources) -> bool:
        """Place one worker here if there is room. Ray puts a share of a GPU on one GPU, whole ones on free ones."""
        if wanted.cpus > self.cpus + _EPSILON or any(self.custom.get(name, 0) + _EPSILON < need for name, need in wanted.custom.items()):
            return False
        shares = [1.0] * round(wanted.gpus) if wanted.gpus >= 1 else [wanted.gpus] * bool(wanted.gpus)
        left = sorted(self.gpus)
        for share in shares:
            place = next((i for i, free in enumerate(left) if free + _EPSILON >= share), None)
            if place is None:
                return False
            left[place] -= share
        self.gpus, self.cpus = left, self.cpus - wanted.cpus
        self.custom = {name: free - wanted.custom.get(name, 0) for name, free in self.custom.items()}
        return True

    def copy(self) -> "Node":
        return Node(self.cpus, list(self.gpus), dict(self.custom))


def joined_nodes() -> list[Node]:
    """The living nodes of the Ray that was joined, empty of workers."""
    import ray

    nodes = []
    for node in ray.nodes():
        if node["Alive"]:
            offered = {str(name): float(amount) for name, amount in node["Resources"].items()}
            cpus, gpus = offered.pop("CPU", 0.0), offered.pop("GPU", 0.0)
            nodes.append(Node(cpus, [1.0] * int(gpus), offered))
    return nodes


def check_alive() -> None:
    """Ray itself does not tell a driver: where its node is gone, what it has asked for stays pending for ever.

    Raises: RayEnded where the Ray that this process has started has lost a process, or the node on this machine has left its cluster.
    """
    import ray

    node: Any = ray._private.worker.global_worker.node  # noqa: SLF001  # no public way to its processes
    dead = [name for name, _ in node.dead_processes() if name in _RAYS_OWN]
    if dead:
        raise RayEnded(f"its {dead[0]} on this machine was killed or ran out of memory")
    node_id = ray.get_runtime_context().get_node_id()
    if any(each["NodeID"] == node_id and not each["Alive"] for each in ray.nodes()):
        raise RayEnded("its node on this machine has left the cluster")


def local_nodes() -> list[Node]:
    """What a Ray which is started on this machine will offer."""
    from ray._private.accelerators import get_all_accelerator_managers

    makers = [manager for manager in get_all_accelerator_managers() if manager.get_resource_name() == "GPU"]
    gpus = max((maker.get_current_node_num_accelerators() for maker in makers), default=0)
    return [Node(float(local_cpus()), [1.0] * int(gpus))]


def local_cpus() -> int:
    """CPU cores of this machine; one where a container has less than one, which Ray would round down to none."""
    from ray._private.utils import get_num_cpus

    return max(1, int(get_num_cpus(override_docker_cpu_warning=True)))


def num_placed(wanted: Resources, nodes: Iterable[Node]) -> int:
    """How many of the stage's workers fit at once with nothing else there."""
    empty, placed = [node.copy() for node in nodes], 0
    while placed < wanted.actors and any(node.take(wanted) for node in empty):
        placed += 1
    return placed


def holds_all(wanted: Sequence[Resources], nodes: Iterable[Node]) -> bool:
    """Whether all these workers fit at once, node by node: the largest are placed first."""
    left = [node.copy() for node in nodes]
    workers = [each for each in wanted for _ in range(each.actors)]
    workers.sort(key=lambda each: (-sum(each.custom.values()), -each.gpus, -each.cpus))
    return all(any(node.take(worker) for node in left) for worker in workers)


def offered(nodes: Sequence[Node]) -> str:
    """The nodes in words: how many of which size."""
    sizes: dict[str, int] = {}
    for node in nodes:
        extra = "".join(f" {amount:g} {name}" for name, amount in sorted(node.custom.items()) if not is_rays_own(name))
        size = f"{node.cpus:g} CPUs{f' {len(node.gpus)} GPUs' if node.gpus else ''}{extra}"
        sizes[size] = sizes.get(size, 0) + 1
    return ", ".join(f"{count} node{'s' if count > 1 else ''} of {size}" for size, count in sizes.items()) or "no node"


def demand(wanted: Resources) -> str:
    """What one worker wants, in words."""
    parts = [f"{wanted.cpus:g} CPUs", *([f"{wanted.gpus:g} GPUs"] if wanted.gpus else [])]
    return " ".join([*parts, *(f"{amount:g} {name}" for name, amount in sorted(wanted.custom.items()))])


def is_rays_own(name: str) -> bool:
    """Whether Ray itself put this resource there: memory, and marks of a node or a GPU's kind."""
    return name in ("memory", "object_store_memory") or name.startswith(("node:", "accelerator_type:"))


def is_placed(actor: Any) -> bool:
    """Whether an actor that is being born has found a node that holds it."""
    from ray._private import state  # the public listing of actors needs a dashboard

    return bool(state.actors(actor._actor_id.hex()).get("Address", {}).get("IPAddress"))  # noqa: SLF001


def node_answers(node_id: str) -> bool:
    """Whether a node still runs what it is given. Ray lists a node as alive for a while after it has gone, so it is asked."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    on_node = NodeAffinitySchedulingStrategy(node_id, soft=False)
    question = ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=on_node)(_answer).remote()
    try:
        return bool(ray.get(question, timeout=_NODE_PATIENCE_S))
    except (ray.exceptions.RayError, TimeoutError):
        return False


def _answer() -> bool:
    return True
