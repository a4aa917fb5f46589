"""What stage.json holds: all that decides a stage's output whatever the corpus. Its digest is the fingerprint."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict


class StageJson(BaseModel):
    """One version of one stage. `upstream` is stage -> fingerprint; the mappings inside are what their owners call hashed."""

    model_config = ConfigDict(frozen=True)

    stage: str
    version: int
    params: Mapping[str, Any]
    prompts: Mapping[str, Mapping[str, Any]]
    engines: Mapping[str, Mapping[str, Any]]
    upstream: Mapping[str, str]
    given: Mapping[str, Any] | None = None
    types: tuple[str, ...] | None = None

    def as_json(self) -> dict[str, Any]:
        """The file's content. A stage of which nothing is given has no key `given`, one without further types of values no `types`."""
        content = dict(self)
        return {name: value for name, value in content.items() if name not in ("given", "types") or value is not None}

    def fingerprint(self) -> str:
        """16 hexadecimal digits."""
        text = json.dumps(self.as_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
