"""Images that resemble a benchmark's are kept out, with that reason; a changed list moves only what it names."""

import io
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from pipeline.api import open_job
from pipeline.cli import app
from pipeline.corpus.params import CorpusError
from pipeline.corpus.update import read_rows, update_index
from pipeline.ledger.why import plan_of
from tests.support.in_process import carry_all
from tests.support.rehearsal_job import times, write_job

KEYS = [f"picture{number}" for number in range(12)]
LIST = "benchmark.txt"


def picture(number: int, side: int = 96) -> Image.Image:
    """A smooth random scene: what it shows survives resizing and recompression."""
    coarse = np.random.default_rng(number).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A job on a folder of twelve different pictures, with a list of benchmark hashes that names none of them."""
    (tmp_path / "images").mkdir()
    for number, key in enumerate(KEYS):
        (tmp_path / "images" / f"{key}.jpg").write_bytes(encoded(picture(number), "JPEG"))
    write_list(tmp_path, [str(imagehash.phash(picture(1000)))])
    corpus = {"path": "images", "unit_size": 2, "folder_shards": 2, "benchmark_hashes": LIST}
    return write_job(tmp_path, corpus=corpus)


def write_list(folder: Path, lines: list[str]) -> None:
    (folder / LIST).write_text("# of a benchmark\n\n" + "\n".join(lines) + "\n")


def filtered(config: Path) -> dict[str, str | None]:
    """Key -> detail of the images that resemble a benchmark's."""
    job = open_job(config)
    units = update_index(job.config.corpus, job.ledger.workdir)
    rows = [row for unit in units for row in read_rows(job.ledger.workdir, unit)]
    return {row.key: row.detail for row in rows if (row.status, row.reason) == ("filtered", "resembles_benchmark")}


def test_a_resized_and_recompressed_benchmark_image_is_filtered_and_no_other(job: Path) -> None:
    shown = picture(3, side=250)
    write_list(job.parent, [f"{imagehash.phash(shown)} some name", str(imagehash.phash(picture(1000)))])
    assert filtered(job).keys() == {"picture3"}
    assert str(imagehash.phash(shown)) in (filtered(job)["picture3"] or "")
    carry_all(job)
    first = open_job(job).state().current_tables("caption")
    rows = [row for _, table in first if table for row in open_job(job).ledger.read(table, open_job(job).graph[0].row_type)]
    assert {(row.status, row.reason) for row in rows if row.key == "picture3"} == {("filtered", "resembles_benchmark")}
    assert {row.status for row in rows if row.key != "picture3"} == {"ok"}


def test_a_changed_list_reruns_only_the_units_whose_images_it_moves(job: Path) -> None:
    carry_all(job)
    work = job.parent / "work"
    before = times(work / "caption")
    write_list(job.parent, [str(imagehash.phash(picture(5)))])
    plans = {stage.name: stage for stage in plan_of(open_job(job).state())}
    assert (plans["caption"].pending, plans["caption"].why) == (1, {"upstream_changed": 1})
    carry_all(job)
    after = times(work / "caption")
    assert {path: after[path] for path in before} == before
    write_list(job.parent, [str(imagehash.phash(picture(1000)))])
    assert filtered(job) == {}
    assert plan_of(open_job(job).state())[0].pending == 0


def test_a_list_may_be_added_to_a_finished_run(job: Path) -> None:
    listed = job.read_text()
    job.write_text("\n".join(line for line in listed.splitlines() if "benchmark_hashes" not in line))
    carry_all(job)
    job.write_text(listed)
    write_list(job.parent, [str(imagehash.phash(picture(7)))])
    assert plan_of(open_job(job).state())[0].pending == 1
    assert filtered(job).keys() == {"picture7"}


def test_the_distance_is_a_parameter(job: Path) -> None:
    bits = int(str(imagehash.phash(picture(2))), 16) ^ 0b111111
    write_list(job.parent, [f"{bits:016x}"])
    assert filtered(job) == {}
    job.write_text(job.read_text().replace("benchmark_hashes", "benchmark_max_distance: 6\n  benchmark_hashes"))
    assert filtered(job).keys() == {"picture2"}


def test_the_command_writes_a_list_that_keeps_its_images_out(job: Path) -> None:
    benchmark = job.parent / "benchmark"
    benchmark.mkdir()
    for number in (4, 9):
        (benchmark / f"b{number}.png").write_bytes(encoded(picture(number, side=160), "PNG"))
    (benchmark / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    result = CliRunner().invoke(app, ["hashes", str(benchmark), "--out", str(job.parent / LIST)])
    assert (result.exit_code, "2 hashes, 1 images unreadable" in result.stdout) == (0, True), result.output
    assert filtered(job).keys() == {"picture4", "picture9"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("0123456789abcdef\nxyz\n", "benchmark.txt line 2: 'xyz' is no hexadecimal hash"),
        ("0123abcd\n", "benchmark.txt line 1: '0123abcd' has 8 digits; a 64-bit hash has 16"),
        ("# nothing\n", "benchmark.txt holds no hash"),
        (None, "benchmark.txt: no such file; `fgdata hashes FOLDER --out FILE` writes one"),
    ],
)
def test_a_wrong_list_is_refused_with_its_line(job: Path, content: str | None, message: str) -> None:
    if content is None:
        (job.parent / LIST).unlink()
    else:
        (job.parent / LIST).write_text(content)
    with pytest.raises(CorpusError) as refused:
        open_job(job).state()
    assert message in str(refused.value)


def test_an_image_without_pixels_is_no_error(job: Path) -> None:
    (job.parent / "images" / "cut.jpg").write_bytes(encoded(picture(50), "JPEG")[:900])
    assert filtered(job) == {}
