"""What makes a training on CPUs faster; what is computed is the same but for rounding. Knows models and the C library."""

import ctypes

from stages.train.model.base import FgModel

# What mallopt sets. Source: malloc.h of glibc, mallopt(3).
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_MOST = 2**31 - 1


def suit_cpu(model: FgModel) -> None:
    """Attention as plain matrix products, and memory that stays with the process."""
    model.towers.set_attn_implementation("eager")  # torch's fused one takes over twice as long in bf16, most of it backward
    keep_memory()


def keep_memory() -> bool:
    """Keep what tensors free for the next ones, as torch does on a card; whether the C library can.

    Glibc gives large blocks back to the system, which hands them out again page by page, filled with zeros. The process keeps the most
    that it ever held.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and mallopt(_MMAP_MAX, 0) == 1 and mallopt(_TRIM_THRESHOLD, _MOST) == 1
