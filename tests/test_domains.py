"""The block `domain`: read from a file, handed to the stages that go by it, hashed with them and with no others."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.config.graph import build_graph
from pipeline.config.model import Config, ConfigError
from pipeline.config.read import load_config
from stages.caption import CaptionParams
from stages.ground import GroundParams
from stages.region_caption import RegionCaptionParams
from stages.words.phrases import chunk_phrases

EXAMPLE = Path(__file__).parents[1] / "configs" / "footwear" / "run.yaml"


def _config(folder: Path, domain: Any = None, **stages: Any) -> Config:
    content: dict[str, Any] = {
        "workdir": "work",
        "corpus": {"path": "images"},
        "engines": {"captioner": {"kind": "rehearsal"}, "detector": {"kind": "rehearsal-detector"}, "writer": {"kind": "rehearsal"}},
        "stages": {name: stages.get(name, {}) for name in ("caption", "ground", "select", "region_caption")},
    }
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(content | ({"domain": domain} if domain else {})), encoding="utf-8")
    return load_config(path)


def _domains(config: Config) -> list[str]:
    stages = [config.stages[name] for name in ("caption", "ground", "region_caption")]
    assert all(isinstance(stage, CaptionParams | GroundParams | RegionCaptionParams) for stage in stages)
    return [stage.domain.name for stage in stages if isinstance(stage, CaptionParams | GroundParams | RegionCaptionParams)]


def test_the_worked_example_loads_and_its_words_decide_what_is_asked() -> None:
    config = load_config(EXAMPLE)
    assert [node.name for node in build_graph(config)] == ["caption", "ground", "select", "region_caption"]
    assert set(config.specs("ground")) == {"detector", "second_detector"}
    ground = config.stages["ground"]
    assert isinstance(ground, GroundParams)
    phrases = chunk_phrases("The side of a brown nubuck boot shows a fine detail, and a shadow lies on the background.", ground.domain)
    assert {phrase.text: phrase.mark for phrase in phrases} == {
        "The side": None,
        "a brown nubuck boot": None,
        "a fine detail": None,
        "a shadow": "dropped",
        "the background": "scene",
    }


def test_a_domain_is_handed_to_the_stages_and_a_stages_own_block_comes_first(tmp_path: Path) -> None:
    (tmp_path / "shoes.yaml").write_text("name: shoes\n", encoding="utf-8")
    config = _config(tmp_path, "shoes.yaml", ground={"domain": {"name": "boots"}})
    assert _domains(config) == ["shoes", "boots", "shoes"]
    assert _domains(_config(tmp_path)) == ["", "", ""]


def test_a_changed_domain_changes_the_stages_that_go_by_it(tmp_path: Path) -> None:
    plain, with_words = (
        {node.name: node for node in build_graph(_config(tmp_path, domain))} for domain in (None, {"values": {"material": ["nubuck"]}})
    )
    for name in ("caption", "ground", "region_caption"):
        assert plain[name].description.params != with_words[name].description.params
    assert plain["select"].description.params == with_words["select"].description.params


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        ("none.yaml", "no such file"),
        ({"values": {"colours": ["red"]}}, "values.colours"),
        ({"atribute_types": []}, "did you mean 'attribute_types'"),
        (["red"], "domain must be a block of keys"),
    ],
)
def test_a_wrong_domain_is_one_line_that_says_where(domain: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        _config(tmp_path, domain)
    assert "\n" not in str(refused.value)


def test_agreement_without_a_second_detector_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"stages\.ground\.second_detector"):
        _config(tmp_path, select={"min_agreement": 0.5})
    with pytest.raises(ConfigError, match=r"engines\.second_detector"):
        _config(tmp_path, ground={"second_detector": True})
