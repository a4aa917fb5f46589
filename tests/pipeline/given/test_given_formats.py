"""One content in every format and place gives one table; FineHARD in is FineHARD out."""

import json
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.api import open_job
from pipeline.given.source import GivenError
from pipeline.ledger.why import plan_of
from schemas.rows import CaptionRow, RegionCaptionRow
from tests.support.given_job import given_job, rows_of, write_lines
from tests.support.in_process import carry_all
from tests.support.pictures import encoded, png, tar_bytes, write
from tests.support.rehearsal_job import files, write_job

KEYS = [f"a{i}" for i in range(5)]
RECORDS = [{"id": key, "meta": {"caption": f"A red mug, {key}."}} for key in KEYS]
FIELDS = {"key": "id", "long": "meta.caption"}


def _as_jsonl(folder: Path) -> dict[str, Any]:
    (folder / "given").mkdir()
    write_lines(folder / "given" / "part-0.jsonl", RECORDS[:2])
    write_lines(folder / "given" / "part-1.jsonl", [b"", *RECORDS[2:]])
    return {"format": "jsonl", "path": "given", "fields": FIELDS}


def _as_parquet(folder: Path) -> dict[str, Any]:
    (folder / "given").mkdir()
    pq.write_table(pa.Table.from_pylist(RECORDS), folder / "given" / "captions.parquet")
    return {"format": "parquet", "path": "given/*.parquet", "fields": FIELDS}


def _as_sidecars(folder: Path) -> dict[str, Any]:
    return {"format": "webdataset-json", "path": "corpus", "fields": {"long": "meta.caption"}}


def _as_sidecars_by_shard(folder: Path) -> dict[str, Any]:
    return {"format": "webdataset-json", "path": "corpus/a.tar", "fields": {"long": "meta.caption"}, "match": "shard_key"}


def _as_finehard(folder: Path) -> dict[str, Any]:
    content = [{"f_path": f"some/{record['id']}.png", "caption": record["meta"]["caption"], "bbox_info": []} for record in RECORDS]
    (folder / "given.json").write_text(json.dumps(content))
    return {"format": "finehard", "path": "given.json"}


FORMS = [_as_jsonl, _as_parquet, _as_sidecars, _as_sidecars_by_shard, _as_finehard]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_captions_are_the_same_in_every_format(form: Any, tmp_path: Path) -> None:
    members = []
    for number, record in enumerate(RECORDS):
        members += [(f"{record['id']}.png", png(number)), (f"{record['id']}.json", json.dumps(record).encode())]
    write(tmp_path, {"corpus/a.tar": tar_bytes(members)})
    config = given_job(tmp_path, ["caption"], {"caption": {**form(tmp_path), "missing": "skip"}}, engines={})
    carry_all(config)
    for key, row in rows_of(config, "caption").items():
        assert isinstance(row, CaptionRow)
        assert (row.status, row.long) == ("ok", f"A red mug, {key}.")


def test_a_source_and_a_workdir_on_s3_are_read_as_local_ones(s3_bucket: str, tmp_path: Path) -> None:
    root = f"{s3_bucket}/given-{tmp_path.name}"
    with fsspec.open(f"{root}/captions.jsonl", "wb") as file:
        file.write("\n".join(json.dumps({"key": f"a{i}", "long": f"A mug {i}."}) for i in range(8)).encode())
    given = {"caption": {"format": "jsonl", "path": f"{root}/captions.jsonl", "missing": "skip"}}
    config = given_job(tmp_path, ["caption"], given, engines={}, workdir=f"{root}/work")
    carry_all(config)
    rows = rows_of(config, "caption")
    assert [rows[f"a{i}"].long for i in range(8)] == [f"A mug {i}." for i in range(8)]
    assert {rows[f"b{i}"].reason for i in range(6)} == {"not_given"}


def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    config = given_job(tmp_path, ["caption"], {"caption": {"format": "jsonl", "path": "nowhere.jsonl"}})
    with pytest.raises(GivenError, match=r"given\.caption\.path: .*nowhere\.jsonl: does not exist"):
        open_job(config).state()


def test_a_broken_array_is_read_up_to_where_it_breaks(tmp_path: Path) -> None:
    content = json.dumps([{"f_path": f"{key}.jpg", "caption": "A mug."} for key in KEYS])
    (tmp_path / "given.json").write_text(content[: content.index('"a3')])
    config = given_job(tmp_path, ["caption"], {"caption": {"format": "finehard", "path": "given.json", "missing": "skip"}}, engines={})
    matched = open_job(config).state().given["caption"]
    assert (matched.num_matched, matched.reasons) == (3, {"malformed_json": 1})


def _finehard_corpus(folder: Path) -> None:
    """Two tars; one image is broken, one turned by EXIF, so that numbers have a gap and a loose file is encoded anew."""
    rng = np.random.default_rng(3)
    for name in ("a", "b"):
        members = []
        for i in range(6):
            exif = Image.Exif()
            exif[0x0112] = 6 if i == 4 else 1
            noise = Image.fromarray(rng.integers(0, 255, (6, 8, 3), np.uint8)).resize((96, 64))
            data = b"no image" if (name, i) == ("a", 2) else encoded(noise, "JPEG", exif=exif)
            members.append((f"{name}{i}.jpg", data))
        write(folder, {f"corpus/{name}.tar": tar_bytes(members)})


def test_a_finehard_file_given_back_and_exported_again_is_the_same_byte_by_byte(tmp_path: Path) -> None:
    _finehard_corpus(tmp_path)
    carry_all(write_job(tmp_path))
    first = files(tmp_path / "dataset" / "finehard")
    records = [record for name, content in first.items() if name.endswith(".json") for record in json.loads(content)]
    flags = [box["flag_short_neg"] for record in records for box in record["bbox_info"]]
    assert set(flags) == {0, 1}, "the file is to hold regions with and without ten negatives"
    assert len(records) == 11, "the broken image leaves a gap in the numbers"
    source = {"format": "finehard", "path": "dataset/finehard/*.json", "match": "export", "missing": "skip"}
    given = dict.fromkeys(["caption", "ground", "region_caption", "hard_negative"], source)
    stages = ["caption", "ground", "select", "region_caption", "hard_negative", "export"]
    blocks: dict[str, Any] = {"workdir": "work-again", "export_to": "again", "engines": {}}
    config = given_job(tmp_path, stages, given, **blocks)
    assert {matched.num_matched for matched in open_job(config).state().given.values()} == {11}
    carry_all(config)
    assert files(tmp_path / "again" / "finehard") == first
    for row in rows_of(config, "region_caption").values():
        assert isinstance(row, RegionCaptionRow)
        assert row.given_rejects == {}


def test_a_change_of_the_negatives_reruns_the_negatives_alone(tmp_path: Path) -> None:
    _finehard_corpus(tmp_path)
    carry_all(write_job(tmp_path))
    source = tmp_path / "given.json"
    source.write_bytes((tmp_path / "dataset" / "finehard" / "00000.json").read_bytes())
    form = {"format": "finehard", "path": "given.json", "match": "export", "missing": "skip"}
    given: dict[str, Any] = dict.fromkeys(("ground", "region_caption", "hard_negative"), form)
    config = given_job(tmp_path, ["ground", "select", "region_caption", "hard_negative"], given, workdir="again", engines={})
    carry_all(config)
    records = json.loads(source.read_bytes())
    box = next(box for record in records for box in record["bbox_info"] if box["flag_short_neg"])
    box["short_expr_negs"]["3"] = "another thing entirely"
    source.write_bytes(json.dumps(records).encode())
    pending = {plan.name: dict(plan.why) for plan in plan_of(open_job(config).state()) if plan.pending}
    assert pending == {"hard_negative": {"given_changed": 1}}
