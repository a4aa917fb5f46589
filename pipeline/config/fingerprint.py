"""What decides a stage's output, as the readable stage.json that a fingerprint is the digest of. Never the corpus or where it runs."""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipeline.config.registry import model_path
from pipeline.given.params import GivenParams
from prompts.loader import Prompt
from schemas.rows import ATTRIBUTE_TYPES
from schemas.stage_json import StageJson
from stages.engines.specs import ModelSpec, Spec
from stages.params import StageParams

_FIRST_TYPES = frozenset({"colour", "material", "pattern", "transparency", "size", "state", "shape"})
_SAMPLES, _SAMPLE_BYTES = 64, 64 * 1024


def describe_stage(
    name: str,
    version: int,
    params: StageParams,
    prompts: Mapping[str, Prompt],
    specs: Mapping[str, Spec],
    upstream: Mapping[str, str],
    given: GivenParams | None = None,
    writes_values: bool = False,
) -> StageJson:
    """Everything that a fingerprint hashes. `upstream` is stage -> fingerprint. Of a stage that writes values the attribute types are a
    part, but for those that there were from the first.

    Of a stage whose rows are given and never computed, the parameters decide nothing.
    """
    is_computed = given is None or given.missing == "compute"
    return StageJson(
        stage=name,
        version=version,
        params=params.hashed() if is_computed else {},
        prompts={task: prompt.hashed() for task, prompt in sorted(prompts.items())},
        engines={role: _describe_engine(spec) for role, spec in sorted(specs.items())},
        upstream=dict(sorted(upstream.items())),
        given=None if given is None else given.hashed(),
        types=(tuple(name for name in ATTRIBUTE_TYPES if name not in _FIRST_TYPES) or None) if writes_values else None,
    )


def _describe_engine(spec: Spec) -> dict[str, Any]:
    described = spec.hashed()
    if isinstance(spec, ModelSpec):
        folder = Path(model_path(spec.model))
        if folder.is_dir():
            described["weights"] = weights_digest(folder)
            described["model"] = folder.name
    return described


@lru_cache(maxsize=32)
def weights_digest(folder: Path) -> str:
    """Digest of a local checkpoint: names and sizes of its files and their bytes; of a file above 4 MiB, 64 samples of 64 KiB.

    Samples spread over the whole file tell any two trainings apart and keep `plan` fast beside 15 GB of weights.
    """
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")):
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder).as_posix()}\0{size}\0".encode())
        with path.open("rb") as file:
            if size <= _SAMPLES * _SAMPLE_BYTES:
                digest.update(file.read())
                continue
            for sample in range(_SAMPLES):
                file.seek((size - _SAMPLE_BYTES) * sample // (_SAMPLES - 1))
                digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()[:20]
