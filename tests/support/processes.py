"""What processes hold and whom they have started, as the system says it."""

from pathlib import Path


def num_descriptors() -> int:
    """Files and sockets that this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def processes_below(process: int) -> list[int]:
    """All that a process has started, and what they have started."""
    children = [int(child) for task in Path(f"/proc/{process}/task").iterdir() for child in (task / "children").read_text().split()]
    return [below for child in children for below in (child, *processes_below(child))]
