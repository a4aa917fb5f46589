"""The manifest and the card: what a reader who never saw fgdata is told."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.rows import (
    BlindFigures,
    RegionCaptionRow,
)  # fmt: skip
from schemas.stage_json import StageJson
from stages.dataset.card import DataSet, dataset_files, describe_stage_run
from tests.support.exported_shard import SIZE, ExportedShard, data_set, judged, picture, stage_rows, with_entries
from tests.support.pictures import encoded

# webdataset 1.0.2 leaves the tars that it reads to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture
def shard(tmp_path: Path) -> ExportedShard:
    return ExportedShard(tmp_path)


def test_the_manifest_names_fingerprints_engines_prompts_and_shards(shard: ExportedShard) -> None:
    manifest = json.loads(data_set(shard)["manifest.json"])
    assert manifest["stages"] == {"caption": "f" * 16, "export": "e" * 16}
    assert manifest["engines"]["captioner"] == {"role": "captioner", "kind": "transformers", "model": "org/model", "revision": "abc123"}
    assert manifest["prompts"] == [{"task": "caption", "version": "v1", "answered_by": ["org/model"], "unanswered": False}]
    assert manifest["totals"]["images_in"] == 4
    assert manifest["totals"]["images"] == 3
    assert manifest["shards"][0]["sha256"] == hashlib.sha256((shard.folder / "out" / "00007.tar").read_bytes()).hexdigest()
    assert manifest["rehearsal"] is False


def test_the_card_shows_yield_negatives_and_verdicts(shard: ExportedShard) -> None:
    card = data_set(shard)["README.md"].decode()
    assert "| caption | 3 | 0 | 1 | 0 | 0 |" in card
    assert "| colour | 30 |" in card
    assert "| unverified | 30 |" in card
    assert "| upstream_failed | 1 |" in card
    assert "REHEARSAL" not in card
    assert "No real model" not in card
    front_matter = yaml.safe_load(card.split("---\n")[1])
    assert front_matter["size_categories"] == ["n<1K"]


def test_the_card_shows_leakage_and_uniqueness_of_regions(shard: ExportedShard) -> None:
    rows = stage_rows("img-0")
    captions = rows["region_caption"]
    assert isinstance(captions, RegionCaptionRow)
    probed = captions.regions[0].model_copy(update={"is_unique": True, "swapped": "A red cup", "leaked": True})
    rows["region_caption"] = captions.model_copy(update={"regions": [probed]})
    shard.add(encoded(picture(9), "JPEG"), rows=rows)
    card = data_set(shard)["README.md"].decode()
    assert "Of 4 captioned regions 1 have a short expression of their own" in card
    assert "1 were asked about again with another region's crop; 1 kept their text (leakage 100.0%)" in card


def test_a_prompt_that_no_model_has_answered_is_named_on_the_card(shard: ExportedShard) -> None:
    written = data_set(shard, answered_by=())
    assert "No real model has answered these prompts yet: `caption/v1`" in written["README.md"].decode()
    assert json.loads(written["manifest.json"])["prompts"][0]["unanswered"] is True


def test_an_export_of_rehearsal_engines_is_marked_as_a_rehearsal(shard: ExportedShard) -> None:
    written = data_set(shard, kind="rehearsal")
    assert json.loads(written["manifest.json"])["rehearsal"] is True
    assert "REHEARSAL. Do not train on this." in written["README.md"].decode()


def test_a_local_checkpoint_is_named_without_its_folder() -> None:
    engine = {"kind": "groundingdino-py", "weights": "/home/me/swint.pth", "config": "SwinT"}
    stage = StageJson(stage="ground", version=1, params={}, prompts={}, engines={"detector": engine}, upstream={})
    (described,) = describe_stage_run("0" * 16, stage, {}, {}).engines
    assert "/home" not in described.model_dump_json()
    assert described.model == "SwinT"


def test_the_code_on_the_card_reads_the_data_set(shard: ExportedShard, monkeypatch: pytest.MonkeyPatch) -> None:
    card = data_set(shard)["README.md"].decode()
    monkeypatch.chdir(shard.folder / "out")
    tars, tables = re.findall(r"```python\n(.*?)```", card, re.S)
    seen: dict[str, Any] = {}
    exec(tars, seen)
    assert seen["image"].size == SIZE
    exec(tables, seen)
    assert list(seen["expressions"]) == ["A red cup"] * 3


def test_the_card_and_the_manifest_say_what_the_blind_audit_found(shard: ExportedShard) -> None:
    figures = BlindFigures(of="regions", items=40, chance=0.1, noun_disjoint=0.11, noun_disjoint_high=0.14, verdict="insufficient")
    shard.add(encoded(picture(0), "JPEG"), rows=with_entries(judged("false"), audits=[figures]))
    shard.export()
    files = dataset_files(DataSet("0.1.0", [shard.stats()], []))
    assert json.loads(files["manifest.json"])["audits"]["regions"]["verdicts"] == {"insufficient": 1}
    card = files["README.md"].decode()
    assert "| regions | 40 | 0.100 | - | - | 0.110 | 0.140 | none | insufficient 1 |" in card
    assert "too few items" in card


def test_a_card_of_negatives_that_nobody_audited_says_so(shard: ExportedShard) -> None:
    assert "The negatives were not audited" in data_set(shard)["README.md"].decode()


def test_a_licence_of_several_lines_stays_in_its_cell(tmp_path: Path) -> None:
    shard = ExportedShard(tmp_path)
    shard.add(encoded(picture(1), "JPEG"), licence="CC-BY |\n4.0")
    shard.export()
    card = dataset_files(DataSet("0.1.0", [shard.stats()], []))["README.md"].decode()
    assert "| CC-BY \\| 4.0 | 1 |" in card
