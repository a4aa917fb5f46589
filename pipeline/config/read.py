"""One YAML, four blocks: corpus, engines, stages (hashed), placement (never hashed). The only reader of the environment."""

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from pipeline.config.registry import DETECTOR_ROLES, ROLES, STAGE_NAMES, STAGES, model_path, params_type
from pipeline.corpus.params import CorpusParams
from pipeline.given.params import FIELDS, GIVABLE, GivenParams
from stages.balance import Balance, BalanceParams
from stages.base import StageParams
from stages.engines.specs import AnyDetectorSpec, AnyGeneratorSpec, AnySpec, ModelSpec, Resources
from stages.export import Export, ExportParams
from stages.ground import GroundParams
from stages.select import SelectParams
from stages.words.domain import Domain

ModelT = TypeVar("ModelT", bound=BaseModel)
# What a stage whose rows are all given cannot do without: a negative is of an expression.
_GIVEN_NEEDS: Mapping[str, tuple[str, ...]] = {"hard_negative": ("region_caption",)}
_BLOCKS = ("workdir", "corpus", "given", "domain", "engines", "stages", "placement", "export", "prompts_dir")


class ConfigError(ValueError):
    """The user's configuration is wrong: one line that says what, where, and what to do."""


class Placement(BaseModel):
    """The YAML block `placement`: where and how fast. Never hashed."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    schedule: Literal["auto", "stages", "streaming"] = Field(
        "auto", description="One stage after another, or all pools at once; auto: at once where the cluster holds them all."
    )
    wait_for_nodes: bool = Field(
        False, description="The cluster grows on demand: workers that it cannot hold yet wait for nodes instead of being refused."
    )
    address: str | None = Field(None, description="Ray cluster to join (auto, host:port); null: start one here.")
    stages: Mapping[str, Resources] = Field(default_factory=dict, description="Workers by stage; what is absent gets one worker, one core.")


class ExportTo(BaseModel):
    """The YAML block `export`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    to: str = Field(description="Folder or s3:// location of the data set.")


@dataclass(frozen=True)
class Config:
    """A validated configuration; paths are absolute, the environment is read."""

    path: Path
    workdir: str
    corpus: CorpusParams
    engines: Mapping[str, AnySpec]
    stages: Mapping[str, StageParams]
    placement: Placement
    export_to: str | None
    prompts_dir: Path | None
    given: Mapping[str, GivenParams] = field(default_factory=dict)

    def is_computed(self, stage: str) -> bool:
        """Whether the stage itself runs: on all images, or on those without a given row."""
        return stage not in self.given or self.given[stage].missing == "compute"

    def resources(self, stage: str) -> Resources:
        """What a worker of this stage may use."""
        return self.placement.stages.get(stage, Resources())

    def specs(self, stage: str) -> dict[str, AnySpec]:
        """Role -> engine of the roles that a stage uses."""
        if stage == Export.name or not self.is_computed(stage):
            return {}
        return {role: self.engines[role] for role in STAGES[stage].roles(self.stages[stage])}


def load_config(path: Path, *, allow_unverified: bool = False) -> Config:
    """The configuration in a YAML file. Relative paths in it are relative to the file's folder.

    `allow_unverified` sets the option of this name wherever a stage has it.

    Raises: ConfigError with one line for whatever is wrong.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file; `fgdata init` writes one") from error
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: must hold the blocks {', '.join(_BLOCKS)}")
    try:
        return _Reader(path, content, allow_unverified).config()
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


class _Reader:
    """Turns the parsed YAML into a Config, block by block."""

    def __init__(self, path: Path, content: dict[str, Any], allow_unverified: bool = False) -> None:
        self.allow_unverified = allow_unverified
        self.path, self.content, self.folder = path, content, path.absolute().parent

    def config(self) -> Config:
        _known(self.content, _BLOCKS, "")
        for block in ("workdir", "corpus", "stages"):
            if not self.content.get(block):
                raise ConfigError(f"the block {block} is missing")
        engines = self._engines()
        stages = self._stages(engines)
        prompts_dir = self.content.get("prompts_dir")
        export = self.content.get("export")
        config = Config(
            path=self.path.absolute(),
            workdir=self._located(str(self.content["workdir"])),
            corpus=self._corpus(),
            engines=engines,
            stages=stages,
            placement=self._placement(),
            export_to=self._located(validated(ExportTo, export, "export").to) if export else None,
            prompts_dir=Path(self._located(prompts_dir)) if prompts_dir else None,
            given=self._given(stages),
        )
        self._check_whole(config)
        return config

    def _corpus(self) -> CorpusParams:
        corpus = validated(CorpusParams, self.content["corpus"], "corpus")
        hashes = corpus.benchmark_hashes and self._located(corpus.benchmark_hashes)
        return corpus.model_copy(update={"path": self._located(corpus.path), "benchmark_hashes": hashes})

    def _engines(self) -> dict[str, AnySpec]:
        blocks = _mapping(self.content.get("engines") or {}, "engines")
        _known(blocks, ROLES, "engines")
        return {role: self._engine(role, block) for role, block in blocks.items()}

    def _engine(self, role: str, block: Any) -> AnySpec:
        where = f"engines.{role}"
        fields = dict(_mapping(block, where))
        kinds = _KINDS["detector" if role in DETECTOR_ROLES else "generator"]
        kind = fields.get("kind")
        if kind not in kinds:
            raise ConfigError(f"{where}.kind is {kind!r}{_did_you_mean(str(kind), kinds)}; it must be one of {', '.join(kinds)}")
        spec: AnySpec = validated(kinds[kind], fields, where)
        return self._located_model(spec, where) if isinstance(spec, ModelSpec) else spec

    def _located_model(self, spec: ModelSpec, where: str) -> Any:
        if spec.model.startswith("builtin:"):
            if not Path(model_path(spec.model)).is_dir():
                raise ConfigError(f"{where}.model is '{spec.model}', which is no checkpoint of the demo")
            return spec
        local = self._located(spec.model)
        if Path(local).is_dir():
            return spec.model_copy(update={"model": local})
        if spec.model.startswith((".", "/", "~")) or spec.model.count("/") != 1:
            raise ConfigError(f"{where}.model is '{spec.model}': no such folder, and not a hub name (org/name)")
        if spec.revision is None:
            raise ConfigError(f"{where}.revision is missing: pin the commit or tag of the hub model {spec.model}")
        return spec

    def _stages(self, engines: Mapping[str, AnySpec]) -> dict[str, StageParams]:
        blocks = _mapping(self.content["stages"], "stages")
        _known(blocks, STAGE_NAMES, "stages")
        domain = self._domain()
        stages = {
            name: _with_domain(validated(params_type(name), blocks[name] or {}, f"stages.{name}"), domain)
            for name in STAGE_NAMES
            if name in blocks
        }
        select = stages.get("select")
        if isinstance(select, SelectParams) and select.min_score is None and "detector" in engines:
            stages["select"] = select.model_copy(update={"min_score": getattr(engines["detector"], "default_min_score", 0.0)})
        return {name: _allowing(params) for name, params in stages.items()} if self.allow_unverified else stages

    def _domain(self) -> Domain:
        """The block `domain`, or the file that it names."""
        block = self.content.get("domain")
        if not isinstance(block, str):
            return validated(Domain, _mapping(block or {}, "domain"), "domain")
        path = Path(self._located(block))
        try:
            return validated(Domain, _mapping(yaml.safe_load(path.read_text(encoding="utf-8")), str(path)), str(path))
        except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
            raise ConfigError(f"domain: {path} cannot be read as YAML: {' '.join(str(error).split())}") from error

    def _given(self, stages: Mapping[str, StageParams]) -> dict[str, GivenParams]:
        blocks = _mapping(self.content.get("given") or {}, "given")
        _known(blocks, GIVABLE, "given")
        return {name: self._given_stage(name, block, stages) for name, block in blocks.items()}

    def _given_stage(self, name: str, block: Any, stages: Mapping[str, StageParams]) -> GivenParams:
        where = f"given.{name}"
        given = validated(GivenParams, _mapping(block, where), where)
        _known(given.fields, FIELDS[name], f"{where}.fields")
        if name not in stages:
            raise ConfigError(f"{where}: {name} is not among the stages: add `stages: {{{name}: {{}}}}`, or leave its rows out")
        if given.format == "coco" and name != "ground":
            raise ConfigError(f"{where}.format is coco, which holds boxes: give it to ground")
        return given.model_copy(update={"path": self._located(given.path)})

    def _placement(self) -> Placement:
        block = dict(_mapping(self.content.get("placement") or {}, "placement"))
        resources = _mapping(block.pop("stages", None) or {}, "placement.stages")
        _known(resources, STAGE_NAMES, "placement.stages")
        read = {name: validated(Resources, fields, f"placement.stages.{name}") for name, fields in resources.items()}
        return validated(Placement, block, "placement").model_copy(update={"stages": read})

    def _located(self, place: str) -> str:
        place = os.path.expandvars(place)
        return place if "://" in place else str((self.folder / Path(place).expanduser()).resolve())

    @staticmethod
    def _check_whole(config: Config) -> None:
        for name in config.stages:
            if name == Export.name:
                if config.export_to is None:
                    raise ConfigError("the block export is missing: `export: {to: ...}` says where the data set goes")
                continue
            for upstream in STAGES[name].reads if config.is_computed(name) else _GIVEN_NEEDS.get(name, ()):
                if upstream not in config.stages:
                    raise ConfigError(f"stages.{name} reads {upstream}, which is not among the stages")
            for role in STAGES[name].roles(config.stages[name]) if config.is_computed(name) else ():
                if role not in config.engines:
                    raise ConfigError(f"stages.{name} needs the engine {role}: add the block engines.{role}")
        _check_verdicts(config.stages)
        ground, select = config.stages.get("ground"), config.stages.get("select")
        if isinstance(ground, GroundParams) and isinstance(select, SelectParams) and select.min_agreement is not None and not ground.second:
            raise ConfigError("stages.select.min_agreement needs a second detector: set stages.ground.second to true")


def _check_verdicts(stages: Mapping[str, StageParams]) -> None:
    """That nothing unverified is exported unless the user says so."""
    export, balance = stages.get(Export.name), stages.get(Balance.name)
    allows = isinstance(export, ExportParams) and export.allow_unverified
    if export is not None and not allows and "verify" not in stages and any(name in stages for name in ("hard_negative", "mine")):
        raise ConfigError(
            "stages.export would release negatives that no judge has looked at: add the stage verify, run with "
            "--allow-unverified, or set stages.export.allow_unverified to true"
        )
    if isinstance(balance, BalanceParams) and export is not None and "verify" in stages and balance.allow_unverified != allows:
        raise ConfigError(
            "stages.balance.allow_unverified and stages.export.allow_unverified differ: set both, or none and run with --allow-unverified"
        )
    if balance is not None and not any(name in stages for name in ("hard_negative", "mine", "verify")):
        raise ConfigError("stages.balance has nothing to choose from: add hard_negative, mine or both")


_KINDS: dict[str, dict[str, Any]] = {
    group: {get_args(spec.model_fields["kind"].annotation)[0]: spec for spec in get_args(union)}
    for group, union in (("generator", AnyGeneratorSpec), ("detector", AnyDetectorSpec))
}


def _with_domain(params: StageParams, domain: Domain) -> StageParams:
    """The parameters with the configuration's domain, where the stage goes by one and its own block names none."""
    goes_by_one = "domain" in type(params).model_fields and "domain" not in params.model_fields_set
    return params.model_copy(update={"domain": domain}) if goes_by_one else params


def validated(model: type[ModelT], content: Any, where: str) -> ModelT:
    """The block as its model.

    Raises: ConfigError with the first thing that is wrong, its place, and the closest known name.
    """
    try:
        return TypeAdapter(model).validate_python(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in (where, *first["loc"]) if part != "")
        if first["type"] == "extra_forbidden":
            known = [*model.model_fields]
            raise ConfigError(f"unknown key {place}{_did_you_mean(str(first['loc'][-1]), known)}") from error
        raise ConfigError(f"{place}: {first['msg']}, not {first['input']!r}"[:300]) from error


def _allowing(params: StageParams) -> StageParams:
    has_option = "allow_unverified" in type(params).model_fields
    return params.model_copy(update={"allow_unverified": True}) if has_option else params


def _known(block: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
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
