"""What a run will take, from a sample: what is drawn, what is extrapolated, what is said, and that nothing is left behind."""

import contextlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pipeline.api import open_job
from pipeline.config.model import ConfigError
from pipeline.config.read import load_config
from pipeline.corpus.discover import discover
from pipeline.corpus.formats.small_tars import write_tars
from pipeline.corpus.index import index_shard
from pipeline.estimate.figures import Corpus, Figure, Measured, estimated, total
from pipeline.estimate.growth import Growth
from pipeline.estimate.measure import Files, Taken, scratch_of
from pipeline.estimate.sample import draw
from pipeline.storage import Storage
from stages.engines.specs import Resources
from tests.support.driver import ROOT, command
from tests.support.rehearsal_job import files, write_job, write_tar

FIGURES = ("images_s", "questions_per_image", "tokens_per_image", "gpu_hours", "cpu_hours", "bytes", "objects", "cost_usd")


def corpus_of(num: float, shards: int = 1, unit_size: int = 10, block_images: int = 50_000) -> Corpus:
    return Corpus(Figure(num, num, num), shards, unit_size, block_images)


def taken(num: int = 20, seconds: float = 10.0, **fields: Any) -> Taken:
    return Taken(
        questions=[2] * num, tokens=[100] * num, weights=[50] * num, bytes_a_file=1000, bytes_an_image=30, seconds=seconds, **fields
    )


def unit_stage(resources: Resources, **fields: Any) -> Measured:
    return Measured("caption", "unit", taken(**fields), Growth(), resources)


def test_the_sample_is_drawn_over_all_shards(tmp_path: Path) -> None:
    for number in range(5):
        write_tar(tmp_path / "corpus" / f"{number}.tar", [f"{number}-{i}" for i in range(10 if number else 30)])
    sample = draw(load_config(write_job(tmp_path)), 14)
    by_shard = [sum(row.path == f"{number}.tar" for row in sample.rows) for number in range(5)]
    assert by_shard == [6, 2, 2, 2, 2]
    assert len({row.key for row in sample.rows}) == 14
    assert (sample.num_images, sample.num_images_low, sample.num_images_high, sample.num_shards) == (70, 70, 70, 5)
    assert not (tmp_path / "work").exists()


def test_the_sample_is_drawn_over_all_sizes(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    from PIL import Image

    for number in range(40):  # side and bytes grow with the number
        Image.effect_noise((16 + 4 * number, 32), 90).save(folder / f"{number:02}.png")
    sample = draw(load_config(write_job(tmp_path)), 8)
    numbers = sorted(int(row.key) for row in sample.rows)
    assert [number // 5 for number in numbers] == list(range(8))


def test_many_shards_are_not_all_read_and_the_total_has_bounds(tmp_path: Path) -> None:
    for number in range(30):
        write_tar(tmp_path / "corpus" / f"{number:02}.tar", [f"{number}-{i}" for i in range(2 + number % 3)])
    sample = draw(load_config(write_job(tmp_path)), 24)
    assert len({row.path for row in sample.rows}) == 16
    assert sample.num_images_low < 90 < sample.num_images_high
    assert sample.num_images == pytest.approx(90, rel=0.2)


def test_an_index_is_read_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_job(tmp_path)
    open_job(path).state()
    monkeypatch.setattr("pipeline.estimate.sample.index_shard", None)
    assert len(draw(load_config(path), 6).rows) == 6


def test_what_has_no_pixels_is_refused(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.jsonl").write_text('{"key": "a"}\n{"key": "b"}\n', encoding="utf-8")
    config = load_config(write_job(tmp_path, corpus={"path": "texts", "format": "text"}))
    with pytest.raises(ConfigError, match="no image with pixels"):
        draw(config, 6)


def test_a_unit_stage_goes_on_at_the_samples_pace() -> None:
    resources = Resources(actors=4, gpus=1, cpus=2, tensor_parallel=2)
    figures = estimated(unit_stage(resources, starting_s=30.0), corpus_of(7200, shards=3, unit_size=50), Files(), 2.0).figures
    assert figures["images_s"].value == pytest.approx(4 * 20 / 10)
    assert figures["gpu_hours"].value == pytest.approx((7200 / 2 + 4 * 30) * 2 / 3600)  # two images a second a worker, and four starts
    assert figures["cpu_hours"].value == pytest.approx((7200 / 2 + 4 * 30) * 2 / 3600)
    assert figures["cost_usd"].value == pytest.approx(2 * figures["gpu_hours"].value)
    assert figures["questions_per_image"] == Figure(2, 2, 2)
    assert figures["objects"].value == 144
    assert figures["bytes"].value == pytest.approx(7200 * 30 + 144 * 1000)


def test_bounds_widen_with_images_that_differ() -> None:
    few = Taken(questions=[1, 9] * 5, tokens=[10, 90] * 5, weights=[10, 90] * 5, bytes_an_image=30, seconds=10, unit_s=[1.0, 1.0])
    many = Taken(questions=[1, 9] * 200, tokens=[10, 90] * 200, weights=[10, 90] * 200, bytes_an_image=30, seconds=400, unit_s=[1.0, 1.0])
    wide, narrow = (
        estimated(Measured("caption", "unit", each, Growth(), Resources()), corpus_of(1000), Files(), None).figures for each in (few, many)
    )
    for name in ("questions_per_image", "tokens_per_image", "images_s", "cpu_hours", "bytes"):
        assert wide[name].low < narrow[name].low < narrow[name].value < narrow[name].high < wide[name].high, name


def test_what_grows_with_a_block_is_extrapolated_along_its_doublings() -> None:
    still_growing = Growth([8, 16, 32], [100, 110, 121], [1, 2, 4])
    assert still_growing.factor(128) == pytest.approx((1.05 * 1.025, 1.0, 1.1**2))
    slowing = Growth([8, 16, 32], [100, 120, 132], [1, 2, 4])  # 20 %, then 10 %: then 5 % and 2.5 %
    assert slowing.factor(128) == pytest.approx((1.05 * 1.025, 1.0, 1.1**2))
    fast = Growth([8, 16, 32], [100, 150, 165], [1, 2, 4])  # 50 %, then 10 %: a fifth
    assert fast.factor(128) == pytest.approx((1.02 * 1.004, 1.0, 1.1**2))
    assert Growth([8, 16, 32], [100, 100, 100], [1, 2, 4]).factor(50_000) == (1.0, 1.0, 1.0)
    assert still_growing.factor(32) == (1.0, 1.0, 1.0)


def test_the_power_of_a_block_stages_time_is_read_off_both_doublings() -> None:
    def power(*seconds: float) -> tuple[float, float, float]:
        return Growth([12, 24, 48], [1, 1, 1], [*seconds]).exponent

    assert power(1, 4, 16) == (2.0, 1.0, 2.0)
    assert power(1, 2, 8) == (1.5, 1.0, 2.0)
    assert power(1, 2, 5.6568) == pytest.approx((1.25, 1.0, 1.5), abs=1e-4)
    assert power(2.45, 0.94, 3.87) == (1.0, 1.0, 2.0)  # balance on demo scenes, whose 300 took 10.8 s
    assert power(0.01, 0.02, 0.08) == (1.0, 1.0, 1.0)  # too fast to tell


def test_a_block_stage_takes_longer_the_larger_its_block() -> None:
    growth = Growth([5, 10, 20], [1, 1, 1], [1, 4, 16])
    stage = Measured("mine", "block", taken(), growth, Resources())
    small, large, capped = (
        estimated(stage, corpus_of(num, block_images=block), Files(), None).figures["cpu_hours"].value
        for num, block in ((20, 50_000), (200, 50_000), (200, 20))
    )
    assert large == pytest.approx(100 * small)
    assert capped == pytest.approx(10 * small)  # ten blocks of the sample's size


def test_the_total_adds_hours_and_knows_the_order_of_the_stages() -> None:
    first = estimated(unit_stage(Resources(gpus=1)), corpus_of(100), Files(), 1.0)
    second = estimated(unit_stage(Resources(gpus=1), seconds=30.0), corpus_of(100), Files(), 1.0)
    assert total([first, second], side_by_side=False).elapsed_s.value == pytest.approx(50 + 150)
    assert total([first, second], side_by_side=True).elapsed_s.value == pytest.approx(150)
    assert total([first, second], side_by_side=True).figures["gpu_hours"].value == pytest.approx(200 / 3600)
    assert total([first, second], side_by_side=False).figures["questions_per_image"].value == 4


def test_the_scratch_folder_goes_whatever_happens_and_what_a_kill_left_goes_later(tmp_path: Path) -> None:
    config = load_config(write_job(tmp_path))
    left, recent = (tmp_path / "work" / "estimate" / name for name in ("20200101T000000-abcdef", "99991231T000000-abcdef"))
    for folder in (left, recent):
        folder.mkdir(parents=True)
        (folder / "table.parquet").write_bytes(b"x")
    with contextlib.suppress(RuntimeError), scratch_of(config) as scratch:
        (Path(scratch) / "work").mkdir(parents=True)
        (Path(scratch) / "work" / "table.parquet").write_bytes(b"x")
        raise RuntimeError
    assert not left.exists()
    assert not Path(scratch).exists()
    assert (recent / "table.parquet").exists()


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_an_estimate_runs_the_sample_and_leaves_nothing(tmp_path: Path) -> None:
    for name in "abc":
        write_tar(tmp_path / "corpus" / f"{name}.tar", [f"{name}{i}" for i in range(8)])
    stages = {"caption": {"prompt": "demo"}, "ground": {}, "select": {}, "region_caption": {"prompt": "demo"}, "mine": {}}
    path = write_job(tmp_path, stages=stages, placement={"schedule": "stages", "stages": {name: {"cpus": 0.1} for name in stages}})
    before = files(tmp_path)
    answer = subprocess.run(
        command("estimate", path, "--sample", 16, "--price", 2, "--json"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    content = json.loads(answer.stdout)
    assert (content["sample_images"], content["images"]) == (16, 24)
    assert [stage["name"] for stage in content["stages"]] == list(stages)
    for part in [*content["stages"], content["total"]]:
        for name in FIGURES:
            if part[name] is None:
                assert part[f"{name}_why"]
            else:
                assert part[f"{name}_low"] <= part[name] <= part[f"{name}_high"], (part, name)
    caption = content["stages"][0]
    assert caption["questions_per_image"] == 1
    assert caption["objects"] == 6  # 24 images in units of 4
    assert content["elapsed_s"] > 0
    assert files(tmp_path) == before


def test_a_workdir_on_s3_is_left_as_it_was(tmp_path: Path, s3_bucket: str) -> None:
    config = load_config(write_job(tmp_path, workdir=f"{s3_bucket}/{tmp_path.name}"))
    sample = draw(config, 6)
    with scratch_of(config) as scratch:
        keys = write_tars(config.corpus, sample.rows, Storage(f"{scratch}/corpus"), 1)
        params = config.corpus.model_copy(update={"path": f"{scratch}/corpus"})
        (shard,) = discover(params)
        copied = index_shard(params, shard)
        assert [row.key for row in copied.rows] == keys
        assert {row.sha256 for row in copied.rows} == {row.sha256 for row in sample.rows}
    assert Storage(config.workdir).walk() == []
