"""What travels to the nodes of a cluster: from a checkout our packages and nothing beside them; from a wheel nothing."""

import importlib.metadata
import importlib.util
import os
from pathlib import Path
from typing import Any

from pipeline.run.code_digest import PACKAGES

_ROOT = Path(__file__).parents[3]
_EXCLUDES = ["**/__pycache__", "**/*.pyc"]


def runtime_env() -> dict[str, Any]:
    """From a checkout the packages travel, unless a submitted job has brought them; from an installed wheel the nodes have them."""
    has_brought = "working_dir" in os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "")
    if has_brought and "RAY_OVERRIDE_JOB_RUNTIME_ENV" not in os.environ:
        return {}
    if (_ROOT / "pyproject.toml").is_file():
        return {"py_modules": [str(_ROOT / package) for package in PACKAGES], "excludes": _EXCLUDES}
    return {}


def collisions() -> list[str]:
    """Distributions other than ours that own one of our top-level names, and packages that lie apart. Empty: all is well.

    Another distribution named like ours overwrites our files silently; an editable install lists no packages at all, so
    both the folders and the names are compared.
    """
    problems = []
    owners = importlib.metadata.packages_distributions()
    for name in PACKAGES:
        problems += [f"'{name}' also belongs to the package {owner}" for owner in owners.get(name, []) if owner != "fgdata"]
        spec = importlib.util.find_spec(name)
        folder = Path(str(spec.origin)).parents[1] if spec is not None else None
        if folder != _ROOT:
            problems.append(f"'{name}' is imported from {folder}, not from beside pipeline")
    return sorted(set(problems))
