"""What must be true before any pool starts: shared by `run`, `plan` and `doctor`. Each check says what to do."""

import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path

import jsonschema

from pipeline.config.apart import check_links, places_written
from pipeline.config.graph import Node
from pipeline.config.model import Config
from pipeline.config.registry import is_carried, model_path
from pipeline.corpus.discover import find
from pipeline.corpus.params import CorpusError
from pipeline.run.cluster.holdings import Node as ClusterNode
from pipeline.run.cluster.holdings import demand, holds_all, joined_nodes, num_placed, offered
from pipeline.run.cluster.travel import collisions
from pipeline.run.code_digest import PACKAGES
from pipeline.run.export_place import check_export_place
from pipeline.storage import Storage, StorageError, remote_errors
from pipeline.storage_errors import in_one_line
from schemas.check import Check
from stages.engines.specs import ModelSpec, Spec

_HUB_S = 5


def check_config(config: Config, graph: list[Node]) -> Iterator[Check]:
    """What can be seen from the driver alone: names, packages, weights, servers, schemas, paths."""
    foreign = collisions()
    yield Check(
        "package names",
        not foreign,
        "; ".join(foreign) or f"{', '.join(PACKAGES)} are ours",
        "use a virtual environment of its own",
    )
    yield from check_export_place(config, graph)
    yield _writable("workdir", config.workdir)
    if config.export_to and any(node.scope == "shard" for node in graph):
        yield _writable("export_to", config.export_to)
    for role, spec in {role: spec for node in graph for role, spec in config.specs(node.name).items()}.items():
        yield from _engine(config, role, spec)
    for node in graph:
        for task, prompt in node.prompts.items():
            yield _schema(f"prompt {task}/{prompt.version}", prompt.answer_schema)
    for node in graph:
        if config.is_computed(node.name):
            yield from node.stage.checks(config.stages[node.name])


def check_cluster(config: Config, graph: list[Node]) -> Iterator[Check]:
    """Whether the joined cluster holds the workers of each stage, node by node."""
    yield from check_placement(config, graph, joined_nodes())


def check_placement(config: Config, graph: list[Node], nodes: Sequence[ClusterNode]) -> Iterator[Check]:
    """Whether these nodes hold the workers of each stage, and of all at once where that is asked for."""
    for stage in (node.name for node in graph):
        wanted = config.resources(stage)
        placed = num_placed(wanted, nodes)
        yield Check(
            f"placement of {stage}",
            placed == wanted.actors,
            f"room for {placed} of {wanted.actors} workers, each of {demand(wanted)}, on {offered(nodes)}",
            f"lower placement.stages.{stage}, or add nodes; where they come on demand, set placement.wait_for_nodes",
        )
    if config.placement.schedule == "streaming":
        yield Check(
            "placement",
            holds_all([config.resources(node.name) for node in graph], nodes),
            f"the schedule streaming starts all stages at once, which do not fit on {offered(nodes)}",
            "set placement.schedule to stages or auto, or lower the workers' cpus and gpus",
        )


def check_corpus(config: Config) -> Check:
    """What lies under corpus.path, from a listing alone. A run lists it anyway, and refuses in the same words.

    Raises: ConfigError where a link leads into what is written, before anything else is looked at.
    """
    try:
        listed = find(config.corpus, check=lambda links: check_links("corpus.path", links, places_written(config)))
    except CorpusError as error:
        return Check("corpus", False, " ".join(str(error).split()), "correct the block corpus")
    except remote_errors() as error:
        return Check("corpus", False, in_one_line(error), "correct the block corpus")
    num_images = sum(len(shard.files) for shard in listed.shards)
    counted = f"{num_images} images" if num_images else f"{len(listed.shards)} shards"
    left_out = f"; left out: {', '.join(str(each) for each in listed.left_out)}" if listed.left_out else ""
    return Check("corpus", True, f"{listed.files} files: {counted}, {listed.sidecars} sidecars{left_out}")


def _writable(name: str, place: str) -> Check:
    try:
        storage = Storage(place)
        storage.write(".fgdata-probe", b"probe")
        storage.delete(".fgdata-probe")
    except (OSError, StorageError) as error:
        message = " ".join(str(error).split())
        return Check(name, False, f"{place} cannot be written: {message}", "or choose a folder or bucket that you may write")
    return Check(name, True, place)


def _engine(config: Config, role: str, spec: Spec) -> Iterator[Check]:
    name = f"engines.{role} ({spec.kind})"
    if spec.package and config.placement.address is None and importlib.util.find_spec(spec.package) is None:
        yield Check(name, False, f"the package {spec.package} is not installed", f"pip install 'fgdata[{spec.extra}]'")
        return
    if isinstance(spec, ModelSpec) and Path(model_path(spec.model)).is_dir():
        folder = Path(model_path(spec.model))
        yield Check(name, (folder / "config.json").is_file(), f"{spec.model}", f"{folder} holds no config.json: is the download complete?")
    elif isinstance(spec, ModelSpec) and not is_carried(spec.model):
        yield _on_hub(name, spec.model, spec.revision)
    else:
        yield from spec.checks(name)


def _on_hub(name: str, model: str, revision: str | None) -> Check:
    """Whether the hub, or the cache of this machine, has the model at this revision. Without a connection nothing can be said."""
    at = f"{model} at {revision}"
    if importlib.util.find_spec("huggingface_hub") is None:
        return Check(name, True, f"{at}; not looked for: huggingface_hub is not installed here")
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    its_client = (kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError")
    no_connection: tuple[type[Exception], ...] = (OSError, ValueError, *its_client)
    try:
        if isinstance(try_to_load_from_cache(model, "config.json", revision=revision), str):
            return Check(name, True, f"{at}, in this machine's cache")
        HfApi().model_info(model, revision=revision, timeout=_HUB_S)
    except GatedRepoError:
        return Check(name, False, f"the hub gives {model} only to those who have asked for it", "ask for it there, and set HF_TOKEN")
    except (RepositoryNotFoundError, HFValidationError):
        return Check(name, False, f"the hub has no model {model}", "correct the name; for a private one set HF_TOKEN")
    except RevisionNotFoundError:
        return Check(name, False, f"the hub has no revision {revision} of {model}", "name a commit or tag that the hub shows")
    except no_connection as error:
        return Check(name, True, f"{at}; not looked for: no connection to the hub ({type(error).__name__})")
    return Check(name, True, at)


def _schema(name: str, schema: dict[str, object]) -> Check:
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        return Check(name, False, f"answer_schema is no JSON schema: {error.message}", "correct it in the prompt's YAML")
    return Check(name, True, "answer schema is valid")
