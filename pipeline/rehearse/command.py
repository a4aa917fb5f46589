"""What `fgdata rehearse` does: an undisturbed run of the sample, then one with each fault, and a verdict."""

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pipeline.config.model import Config, ConfigError
from pipeline.config.read import load_config
from pipeline.rehearse.driver import Driver
from pipeline.rehearse.faults import FAULTS, Room, Tally, stand
from pipeline.rehearse.scratch import rehearsed, sampled
from stages.engines.specs import GeneratorSpec

_LEAST_IMAGES = 6


def rehearse(
    path: Path, num_images: int, only: Sequence[str], keep: Path | None, say: Callable[[str], None]
) -> tuple[dict[str, Any], str, int]:
    """The content for machines, the text for people, and the exit code: 0 where all faults were withstood, else 1.

    Raises: ConfigError where the configuration is wrong; CorpusError where there is no corpus.
    """
    started = time.monotonic()
    config = load_config(path)
    for word in only:
        if word not in FAULTS:
            raise ConfigError(f"--only {word}: the faults are {', '.join(FAULTS)}")
    if keep is not None and keep.exists() and any(keep.iterdir()):
        raise ConfigError(f"--keep {keep}: is not empty: name a new folder")
    folder = keep or Path(tempfile.mkdtemp(prefix="fgdata-rehearsal-"))
    try:
        content, lines = _rehearsed(config, folder.absolute(), max(num_images, _LEAST_IMAGES), only, say)
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    content["seconds"] = round(time.monotonic() - started, 1)
    return content, "\n".join(lines), 0 if content["verdict"] == "pass" else 1


def _rehearsed(
    config: Config, folder: Path, num_images: int, only: Sequence[str], say: Callable[[str], None]
) -> tuple[dict[str, Any], list[str]]:
    say(f"taking a sample of {config.corpus.path}")
    scratch = sampled(config, folder, num_images)
    say(f"an undisturbed run of {len(scratch.keys)} images with rehearsed engines")
    code, last_line = Driver(rehearsed(config, scratch, "undisturbed", {})).ended()
    if code:
        reason = f"the undisturbed run ended with {code}: {last_line}"
        return {"verdict": "fail", "why": reason, "faults": [], "images": len(scratch.keys)}, [f"FAIL {reason}", "verdict: fail"]
    room = Room(config, scratch, stand(folder / "undisturbed"))
    asks = any(isinstance(spec, GeneratorSpec) for name in config.stages for spec in config.specs(name).values())
    tallies = []
    for word, (name, needs_generator, inject) in FAULTS.items():
        if (only and word not in only) or (needs_generator and not asks):
            continue
        say(name)
        tally = Tally(name)
        inject(tally, room)
        tallies.append(tally)
    verdict = "pass" if all(tally.is_well for tally in tallies) else "fail"
    content = {"verdict": verdict, "faults": [tally.as_json() for tally in tallies], "images": len(scratch.keys)}
    return content, [*(tally.line() for tally in tallies), f"verdict: {verdict}, with {len(scratch.keys)} images of the corpus"]
