"""What must be true before any pool starts: shared by `run`, `plan` and `doctor`. Each check says what to do."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import jsonschema

from pipeline.config.graph import Node
from pipeline.config.model import Config
from pipeline.config.registry import model_path
from pipeline.run.cluster import collisions, holdings, holds_all
from pipeline.storage import Storage, StorageError
from schemas.check import Check
from stages.engines.specs import ModelSpec, Spec


def check_config(config: Config, graph: list[Node]) -> Iterator[Check]:
    """What can be seen from the driver alone: names, packages, weights, servers, schemas, paths."""
    found = collisions()
    yield Check(
        "package names",
        not found,
        "; ".join(found) or "pipeline, stages, prompts, schemas are ours",
        "use a virtual environment of its own",
    )
    yield _writable("workdir", config.workdir)
    if config.export_to and any(node.scope == "shard" for node in graph):
        yield _writable("export.to", config.export_to)
    for role, spec in {role: spec for node in graph for role, spec in config.specs(node.name).items()}.items():
        yield from _engine(config, role, spec)
    for node in graph:
        for task, prompt in node.prompts.items():
            yield _schema(f"prompt {task}/{prompt.version}", prompt.answer_schema)
    for node in graph:
        if config.is_computed(node.name):
            yield from node.stage.checks(config.stages[node.name])


def check_cluster(config: Config, graph: list[Node]) -> Iterator[Check]:
    """Whether the joined cluster holds one worker of each stage, and all workers of the widest."""
    cpus, gpus = holdings()
    for stage in (node.name for node in graph):
        wanted = config.resources(stage)
        need_cpus, need_gpus = wanted.cpus * wanted.actors, wanted.gpus * wanted.actors
        yield Check(
            f"placement of {stage}",
            need_cpus <= cpus and need_gpus <= gpus,
            f"{wanted.actors} workers want {need_cpus:g} CPUs and {need_gpus:g} GPUs; the cluster has {cpus:g} and {gpus:g}",
            f"lower placement.stages.{stage}.actors, cpus or gpus, or add nodes",
        )
    if config.placement.schedule == "streaming":
        yield Check(
            "placement",
            holds_all([config.resources(node.name) for node in graph]),
            f"the schedule streaming starts all stages at once; the cluster has {cpus:g} CPUs and {gpus:g} GPUs",
            "set placement.schedule to stages or auto, or lower the workers' cpus and gpus",
        )


def _writable(name: str, place: str) -> Check:
    try:
        storage = Storage(place)
        storage.write(".fgdata-probe", b"probe")
        storage.delete(".fgdata-probe")
    except (OSError, StorageError) as error:
        return Check(
            name, False, f"{place} cannot be written: {' '.join(str(error).split())[:200]}", "choose a folder or bucket that you may write"
        )
    return Check(name, True, place)


def _engine(config: Config, role: str, spec: Spec) -> Iterator[Check]:
    name = f"engines.{role} ({spec.kind})"
    if spec.package and config.placement.address is None and importlib.util.find_spec(spec.package) is None:
        yield Check(name, False, f"the package {spec.package} is not installed", f"pip install 'fgdata[{spec.extra}]'")
        return
    if isinstance(spec, ModelSpec) and Path(model_path(spec.model)).is_dir():
        folder = Path(model_path(spec.model))
        yield Check(name, (folder / "config.json").is_file(), f"{spec.model}", f"{folder} holds no config.json: is the download complete?")
    else:
        yield from spec.checks(name)


def _schema(name: str, schema: dict[str, object]) -> Check:
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        return Check(name, False, f"answer_schema is no JSON schema: {error.message}", "correct it in the prompt's YAML")
    return Check(name, True, "answer schema is valid")
