"""Fails where the house is not in order. Part of `make check`.

No Python file is longer than 400 lines, no function of our packages longer than 40, and no folder of theirs holds more than 14 source
files. No file outside the registry, the demo and the report asks for a stage by name to treat it apart: a stage says of itself what sets
it apart. (What a stage reads, given tables and the home of candidates name stages as data, which is no question.) Stages do not import one
another, and each room beside them stands in the layers of pyproject.toml.
"""

import ast
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pipeline.config.registry import STAGES

MAX_LINES, MAX_FUNCTION_LINES, MAX_FILES = 400, 40, 14
PACKAGES = ("schemas", "prompts", "stages", "pipeline", "fgdata")
_MAY_NAME = ("pipeline/config/registry.py", "pipeline/demo/", "pipeline/report/", "stages/negatives/candidates.py")


def main() -> int:
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.py"], capture_output=True, text=True, check=True)
    files = [name for name in sorted(set(listed.stdout.split())) if Path(name).is_file()]
    ours = [name for name in files if name.split("/")[0] in PACKAGES]
    problems = [*too_long(files), *too_long_functions(ours), *too_full(ours), *named_stages(ours), *rooms_without_layer(ours)]
    for problem in problems:
        print(problem)
    return 1 if problems else 0


def too_long(files: list[str]) -> Iterator[str]:
    """Files above the limit."""
    for name in files:
        length = len(Path(name).read_text(encoding="utf-8").splitlines())
        if length > MAX_LINES:
            yield f"{name}: {length} lines; split it by topic, {MAX_LINES} at most"


def too_long_functions(files: list[str]) -> Iterator[str]:
    """Functions above the limit, their docstrings counted."""
    for name in files:
        for node in ast.walk(ast.parse(Path(name).read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > MAX_FUNCTION_LINES:
                    yield f"{name}:{node.lineno}: {node.name} has {length} lines; {MAX_FUNCTION_LINES} at most"


def too_full(files: list[str]) -> Iterator[str]:
    """Folders above the limit; `__init__.py`, which holds a docstring, is not counted."""
    counts = Counter(str(Path(name).parent) for name in files if Path(name).name != "__init__.py")
    for folder, count in sorted(counts.items()):
        if count > MAX_FILES:
            yield f"{folder}: {count} source files; make a room of a subject, {MAX_FILES} at most"


def named_stages(files: list[str]) -> Iterator[str]:
    """Questions for one stage by its name, and imports of its file; in a stage's own file, imports of another's."""
    own = {f"stages/{name}.py" for name in STAGES}
    for name in files:
        if name.startswith(_MAY_NAME):
            continue
        for node in ast.walk(ast.parse(Path(name).read_text(encoding="utf-8"))):
            stage = _imported(node) or (_asked_for(node) if name not in own else None)
            if stage is not None:
                yield f"{name}:{getattr(node, 'lineno', 0)}: asks for the stage {stage}; let the stage say of itself what sets it apart"


def rooms_without_layer(files: list[str]) -> Iterator[str]:
    """Files and folders in stages/ that are no stage and stand in no layer, so that no contract holds their imports."""
    contracts = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract.get("containers") == ["stages"])
    listed = {room.strip() for layer in layers for room in layer.split("|")}
    rooms = {Path(name).parts[1].removesuffix(".py") for name in files if name.startswith("stages/")}
    for room in sorted(rooms - listed - set(STAGES) - {"__init__"}):
        yield f"stages/{room}: neither a stage of the registry nor in a layer of pyproject.toml; give it its place there"


def _imported(node: ast.AST) -> str | None:
    """The stage whose file a statement imports."""
    if isinstance(node, ast.ImportFrom):
        modules = {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    elif isinstance(node, ast.Import):
        modules = {alias.name for alias in node.names}
    else:
        return None
    return next((stage for stage in STAGES if f"stages.{stage}" in modules), None)


def _asked_for(node: ast.AST) -> str | None:
    if isinstance(node, ast.Compare):
        parts = [part for side in (node.left, *node.comparators) for part in ast.walk(side)]
    elif isinstance(node, ast.MatchValue):
        parts = [node.value]
    else:
        return None
    return next((part.value for part in parts if isinstance(part, ast.Constant) and part.value in STAGES), None)


if __name__ == "__main__":
    sys.exit(main())
