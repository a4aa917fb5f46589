"""Digest of our packages' source: a worker with other code than the driver's is refused."""

import hashlib
from functools import cache
from pathlib import Path

PACKAGES = ("fgdata", "pipeline", "prompts", "schemas", "stages")
_LEFT_OUT = {"demo", "configs"}


@cache
def code_digest() -> str:
    """16 hexadecimal digits over the .py and .yaml files of our packages as this process would import them.

    Less pipeline/demo, of which no worker imports anything, and pipeline/configs, which only a wheel has.
    """
    root = Path(__file__).parents[2]
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*")):
            if path.suffix in (".py", ".yaml") and not _LEFT_OUT & set(path.parent.relative_to(root).parts):
                digest.update(f"{path.relative_to(root).as_posix()}\0".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
