"""What all benches share: the machine, the versions, the spread of repeats, and the JSON they write. Measures nothing itself."""

import importlib.metadata
import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """The processor, the cores and memory that this process may use, and how busy the machine is now."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(terse=True),
        "load_average": [round(load, 1) for load in os.getloadavg()],
    }


def versions(*packages: str) -> dict[str, str]:
    """Python's version and those of these packages that are installed."""
    installed = {"python": platform.python_version()}
    for package in packages:
        try:
            installed[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, smallest and largest of the repeats."""
    return {"median": round(statistics.median(values), 4), "min": round(min(values), 4), "max": round(max(values), 4)}


def ratios(
    over: Sequence[Mapping[str, float]], under: Sequence[Mapping[str, float]], names: Mapping[str, str]
) -> dict[str, dict[str, float]]:
    """Ratio name -> spread of over/under of a figure, repeat by repeat; `names`: ratio name -> figure."""
    return {name: spread([a[figure] / b[figure] for a, b in zip(over, under, strict=True)]) for name, figure in names.items()}


def printed_object(output: str) -> dict[str, Any]:
    """The last line that is a JSON object, as a bench's process prints its figures; Ray and vLLM may print behind it."""
    content: dict[str, Any] = json.loads(next(line for line in reversed(output.splitlines()) if line.startswith("{")))
    return content


def write_report(out: Path, name: str, repeats: int, packages: Sequence[str], **content: Any) -> Path:
    """Write DIR/NAME.json: machine, versions, repeats and what is given, `ratios` among it. Returns its path."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{name}.json"
    report = {"machine": machine(), "versions": versions("fgdata", *packages), "repeats": repeats, **content}
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return path
