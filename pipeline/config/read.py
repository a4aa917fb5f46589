"""One YAML, four blocks: corpus, engines, stages (hashed), placement (never hashed). The only reader of the environment."""

import dataclasses
import difflib
import json
import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from pipeline.config.apart import check_apart, check_folders, places_read, places_written
from pipeline.config.model import Config, ConfigError, ExportTo, Placement
from pipeline.config.registry import PROMPT_FOLDERS, ROLES, STAGES, is_carried, model_path
from pipeline.config.text import expanded, read_yaml
from pipeline.corpus.params import CorpusParams
from pipeline.given.params import GivenParams
from pipeline.given.tables import TABLES
from pipeline.masked import has_password, keep_secret
from schemas.hashed import former_names
from stages.engines.specs import ModelSpec, Resources, Spec
from stages.params import StageParams, Surroundings
from stages.words.domain import Domain

ModelT = TypeVar("ModelT", bound=BaseModel)
_BLOCKS = ("workdir", "corpus", "given", "domain", "engines", "stages", "placement", "export_to", "prompts_dir")
_FORMER_BLOCKS = ("export",)
_log = logging.getLogger(__name__)


def load_config(path: Path, *, allow_unverified: bool = False) -> Config:
    """The configuration in a YAML file. Relative paths in it are relative to the file's folder.

    `allow_unverified` sets the option of this name wherever a stage has it.

    Raises: ConfigError with one line for whatever is wrong.
    """
    written = read_yaml(path, "`fgdata init` writes one")
    if not isinstance(written.content, dict):
        raise ConfigError(f"{path}: must hold the blocks {', '.join(_BLOCKS)}")
    keep_secret(written.content)
    try:
        config = _Reader(path, written.content, allow_unverified).config()
    except ConfigError as error:
        raise ConfigError(f"{path}{written.where(str(error))}: {error}") from error
    for note in config.old_names:
        _log.warning("%s%s: %s", path, written.where(note), note)
    return config


class _Reader:
    """Turns the parsed YAML into a Config, block by block."""

    def __init__(self, path: Path, content: dict[str, Any], allow_unverified: bool = False) -> None:
        self.allow_unverified = allow_unverified
        self.path, self.content, self.folder = path, content, path.absolute().parent
        self.old_names: list[str] = []

    def config(self) -> Config:
        _known({block: None for block in self.content if block not in _FORMER_BLOCKS}, _BLOCKS, "")
        for block in ("workdir", "corpus", "stages"):
            if not self.content.get(block):
                raise ConfigError(f"the block {block} is missing")
        engines = self._engines()
        export_to = self._export_to()
        written = self._stages()
        given = self._given(written)
        computed = [name for name in written if name not in given or given[name].missing == "compute"]
        around = Surroundings(written, computed, engines, self._domain(), self.allow_unverified, export_to, given=given)
        stages = {name: STAGES[name].resolved(params, around) for name, params in written.items()}
        _check_together(stages, dataclasses.replace(around, stages=stages))
        workdir, corpus = self._located(self.content["workdir"], "workdir"), self._corpus()
        config = Config(
            path=self.path.absolute(),
            workdir=workdir,
            corpus=corpus,
            engines=engines,
            stages=stages,
            placement=self._placement(),
            export_to=export_to,
            prompts_dir=self._prompts_dir(),
            given=given,
            old_names=tuple(self.old_names),
        )
        check_folders(places_written(config))
        check_apart(places_read(config), places_written(config))
        return config

    def _export_to(self) -> str | None:
        """Where the data set goes, which stood in a block of its own before."""
        written, block = self.content.get("export_to"), self.content.get("export")
        if not block:
            return self._located(written, "export_to") if written else None
        if written:
            raise ConfigError("export.to is the old name of export_to, which stands here too: leave the block export out")
        to = validated(ExportTo, block, "export").to
        self.old_names.append("export.to is the old name of export_to: write `export_to: PLACE` in place of the block export")
        return self._located(to, "export.to")

    def _prompts_dir(self) -> Path | None:
        named = self.content.get("prompts_dir")
        if not named:
            return None
        if isinstance(named, str) and named in PROMPT_FOLDERS:
            return PROMPT_FOLDERS[named]
        return Path(self._located(named, "prompts_dir"))

    def _corpus(self) -> CorpusParams:
        corpus = validated(CorpusParams, self.content["corpus"], "corpus")
        hashes = corpus.benchmark_hashes and self._located(corpus.benchmark_hashes, "corpus.benchmark_hashes")
        return corpus.model_copy(update={"path": self._located(corpus.path, "corpus.path"), "benchmark_hashes": hashes})

    def _engines(self) -> dict[str, Spec]:
        blocks = _mapping(self.content.get("engines") or {}, "engines")
        _known(blocks, ROLES, "engines")
        return {role: self._engine(role, block) for role, block in blocks.items()}

    def _engine(self, role: str, block: Any) -> Spec:
        where = f"engines.{role}"
        fields = dict(_mapping(block, where))
        kinds, kind = ROLES[role], fields.get("kind")
        if not isinstance(kind, str) or kind not in kinds:
            raise ConfigError(f"{where}.kind is {kind!r}{_did_you_mean(str(kind), kinds)}; it must be one of {', '.join(kinds)}")
        spec = validated(kinds[kind], fields, where)
        return self._located_model(spec, where) if isinstance(spec, ModelSpec) else spec

    def _located_model(self, spec: ModelSpec, where: str) -> ModelSpec:
        if is_carried(spec.model):
            if not Path(model_path(spec.model)).is_dir():
                raise ConfigError(f"{where}.model is '{spec.model}', which is no checkpoint of the demo")
            return spec
        local = self._located(spec.model, f"{where}.model")
        if Path(local).is_dir():
            return spec.model_copy(update={"model": local})
        if spec.model.startswith((".", "/", "~")) or spec.model.count("/") != 1:
            raise ConfigError(f"{where}.model is '{spec.model}': no such folder, and not a hub name (org/name)")
        if spec.revision is None:
            raise ConfigError(f"{where}.revision is missing: pin the commit or tag of the hub model {spec.model}")
        return spec

    def _stages(self) -> dict[str, StageParams]:
        """The blocks of the stages as written, in the order of the DAG."""
        blocks = _mapping(self.content["stages"], "stages")
        _known(blocks, STAGES, "stages")
        return {
            name: validated(stage.params_type, self._stage_block(stage.params_type, blocks[name], f"stages.{name}"), f"stages.{name}")
            for name, stage in STAGES.items()
            if name in blocks
        }

    def _stage_block(self, params: type[StageParams], block: Any, where: str) -> Any:
        """The block of a stage with each key under the name that it has now, and with the content of the files that it names.

        So this is what is hashed.
        """
        if not isinstance(block, dict):
            return block or {}
        for old, name in former_names(params).items():
            if old in block and name in block:
                raise ConfigError(f"{where}.{old} is the old name of {where}.{name}, which stands here too: leave {old} out")
            if old in block:
                self.old_names.append(f"{where}.{old} is the old name of {where}.{name}: rename the key; it means the same")
                block = {name if key == old else key: value for key, value in block.items()}
        named = [key for key in params.in_files if isinstance(block.get(key), str)]
        return {**block, **{key: self._in_file(block[key], f"{where}.{key}") for key in named}}

    def _in_file(self, named: str, where: str) -> Mapping[str, Any]:
        """The block that a file holds, as YAML or, much faster to read, as JSON."""
        path = Path(self._located(named, where))
        try:
            is_json = path.suffix == ".json"
            content = json.loads(path.read_text(encoding="utf-8")) if is_json else read_yaml(path, f"correct {where}").content
        except (ConfigError, ValueError, OSError) as error:
            raise ConfigError(
                f"{where}: {path} cannot be read: {' '.join(str(error).split())}; correct the name or write the file"
            ) from error
        return _mapping(content, str(path))

    def _domain(self) -> Domain:
        """The block `domain`, or the file that it names."""
        block = self.content.get("domain")
        if not isinstance(block, str):
            return validated(Domain, _mapping(block or {}, "domain"), "domain")
        path = Path(self._located(block, "domain"))
        try:
            return validated(Domain, _mapping(read_yaml(path, "correct the block domain").content, str(path)), str(path))
        except ConfigError as error:
            raise ConfigError(f"domain: {error}") from error

    def _given(self, stages: Mapping[str, StageParams]) -> dict[str, GivenParams]:
        blocks = _mapping(self.content.get("given") or {}, "given")
        _known(blocks, TABLES, "given")
        return {name: self._given_stage(name, block, stages) for name, block in blocks.items()}

    def _given_stage(self, name: str, block: Any, stages: Mapping[str, StageParams]) -> GivenParams:
        where = f"given.{name}"
        given = validated(GivenParams, _mapping(block, where), where)
        _known(given.fields, TABLES[name].fields, f"{where}.fields")
        if name not in stages:
            raise ConfigError(f"{where}: {name} is not among the stages: add `stages: {{{name}: {{}}}}`, or leave its rows out")
        problem = given.misfit(name)
        if problem is not None:
            raise ConfigError(f"{where}.{problem}")
        return given.model_copy(update={"path": self._located(given.path, f"{where}.path")})

    def _placement(self) -> Placement:
        block = dict(_mapping(self.content.get("placement") or {}, "placement"))
        resources = _mapping(block.pop("stages", None) or {}, "placement.stages")
        _known(resources, STAGES, "placement.stages")
        read = {name: validated(Resources, fields, f"placement.stages.{name}") for name, fields in resources.items()}
        return validated(Placement, block, "placement").model_copy(update={"stages": read})

    def _located(self, place: Any, where: str) -> str:
        if isinstance(place, str) and has_password(place):
            raise ConfigError(f"{where} holds a password: it would be written beside the data; set it in the environment")
        return expanded(place, self.folder, where)


def _check_together(stages: Mapping[str, StageParams], around: Surroundings) -> None:
    """Raises: ConfigError with the first thing that a stage has to say against the run around it."""
    for name in stages:
        for upstream in () if name in around.computed else TABLES[name].needs:
            if upstream not in stages:
                raise ConfigError(f"stages.{name} reads {upstream}, which is not among the stages")
    for name, params in stages.items():
        for problem in STAGES[name].problems(params, around):
            raise ConfigError(problem)


def validated(model: type[ModelT], content: Any, where: str) -> ModelT:
    """The block as its model.

    Raises: ConfigError with the first thing that is wrong, its place, and the closest known name.
    """
    try:
        return TypeAdapter(model).validate_python(content)
    except ValidationError as error:
        # A misspelt key explains the missing one.
        first = min(error.errors(include_url=False), key=lambda problem: problem["type"] != "extra_forbidden")
        place = ".".join(str(part) for part in (where, *first["loc"]) if part != "")
        if first["type"] == "extra_forbidden":
            known = [*model.model_fields]
            key = str(first["loc"][-1])
            elsewhere = where in STAGES and key in STAGES[where].params_type.model_fields
            hint = f": it is a key of the stage, stages.{where}.{key}" if elsewhere else _did_you_mean(key, known)
            raise ConfigError(f"unknown key {place}{hint}") from error
        raise ConfigError(f"{place}: {first['msg']}, not {first['input']!r}"[:300]) from error


def _known(block: Mapping[str, Any], known: Collection[str], where: str) -> None:
    for key in block:
        if key not in known:
            place = f"{where}.{key}" if where else str(key)
            raise ConfigError(f"unknown key {place}{_did_you_mean(str(key), known)}; known here: {', '.join(known)}")


def _mapping(block: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(block, dict):
        raise ConfigError(f"{where} must be a block of keys, not {block!r}"[:300])
    return block


def _did_you_mean(word: str, known: Any) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f": did you mean '{close[0]}'?" if close else ""
