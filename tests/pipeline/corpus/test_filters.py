"""What a corpus keeps out by its own rules: sizes and near-duplicates. Off unless asked for; a rule touches the units it changes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance

from pipeline.corpus.marks.near import KeptHashes
from pipeline.corpus.params import CorpusParams
from pipeline.corpus.update import read_rows, update_index
from pipeline.storage import Storage
from schemas.rows import CorpusRow
from tests.support.pictures import encoded, png, tar_bytes, write


@pytest.fixture
def workdir(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "work"))


def _rows(params: CorpusParams, workdir: Storage) -> dict[str, CorpusRow]:
    return {row.key: row for unit in update_index(params, workdir) for row in read_rows(workdir, unit)}


def _reasons(params: CorpusParams, workdir: Storage) -> dict[str, str | None]:
    return {key: row.reason for key, row in _rows(params, workdir).items()}


def _photo(seed: int) -> Image.Image:
    """A picture whose perceptual hash is far from those of other seeds."""
    generator = np.random.default_rng(seed)
    image = Image.new("RGB", (128, 96), tuple(generator.integers(0, 256, 3).tolist()))
    for _ in range(12):
        x, y, w, h = generator.integers(0, 90, 4).tolist()
        ImageDraw.Draw(image).rectangle((x, y, x + w, y + h), fill=tuple(generator.integers(0, 256, 3).tolist()))
    return image


def test_sizes_are_filtered_by_rule_and_the_other_units_stay(tmp_path: Path, workdir: Storage) -> None:
    sizes = {"plain": (300, 200), "narrow": (300, 40), "thin": (400, 100), "big": (900, 900), "dot": (70, 70)}
    write(tmp_path / "c", {"0.tar": tar_bytes({f"{name}.png": png(n, size) for n, (name, size) in enumerate(sizes.items())})})
    params = CorpusParams(path=str(tmp_path / "c"), unit_size=1)
    before = update_index(params, workdir)
    asked = {"min_side_px": 64, "max_aspect_ratio": 3, "min_megapixels": 0.01, "max_megapixels": 0.5}
    ruled = params.model_copy(update=asked)
    assert _reasons(ruled, workdir) == {
        "plain": None, "narrow": "too_small", "thin": "too_elongated", "big": "too_many_pixels", "dot": "too_few_pixels",
    }  # fmt: skip
    after = update_index(ruled, workdir)
    assert [new.rows_digest == old.rows_digest for new, old in zip(after, before, strict=True)] == [True, False, False, False, False]
    assert [unit.id for unit in after] == [unit.id for unit in before]
    assert update_index(params, workdir) == before, "the rules taken back, all is as it was"


def test_of_near_duplicates_the_first_stays_whatever_comes_later(tmp_path: Path, workdir: Storage) -> None:
    first, other = _photo(1), _photo(2)
    near = encoded(ImageEnhance.Brightness(first).enhance(1.05), "JPEG", quality=70)
    write(tmp_path / "c", {"1.tar": tar_bytes({"a.png": encoded(first), "b.png": encoded(other), "a2.jpg": near})})
    params = CorpusParams(path=str(tmp_path / "c"), near_duplicates="filter")
    before = update_index(params, workdir)
    rows = _rows(params, workdir)
    assert {key: row.reason for key, row in rows.items()} == {"a": None, "b": None, "a2": "near_duplicate"}
    assert rows["a2"].near_duplicate_of == f"{before[0].shard_id}/a"
    write(tmp_path / "c", {"0.tar": tar_bytes({"z.jpg": encoded(first, "JPEG"), "y.png": encoded(_photo(3))})})
    assert update_index(params, workdir)[: len(before)] == before
    assert _reasons(params, workdir) == {"a": None, "b": None, "a2": "near_duplicate", "z": "near_duplicate", "y": None}
    (tmp_path / "c" / "1.tar").unlink()
    assert _reasons(params, workdir) == {"z": None, "y": None}, "the first has gone, the next takes its place"


def test_near_duplicates_may_be_asked_for_later(tmp_path: Path, workdir: Storage) -> None:
    picture = _photo(5)
    write(tmp_path / "c", {"0.png": encoded(picture), "1.jpg": encoded(picture, "JPEG"), "2.png": encoded(_photo(6))})
    params = CorpusParams(path=str(tmp_path / "c"), unit_size=1)
    before = update_index(params, workdir)
    after = update_index(params.model_copy(update={"near_duplicates": "filter"}), workdir)
    assert [new == old for new, old in zip(after, before, strict=True)] == [True, False, True]
    assert update_index(params, workdir) == before


@pytest.mark.parametrize("batch", [7, 64, 1000])
def test_each_hash_is_compared_with_those_that_stay_before_it(batch: int) -> None:
    generator = np.random.default_rng(batch)
    base = generator.integers(0, 2**63, 30, dtype=np.uint64)
    hashes = base[generator.integers(0, 30, 400)]
    for _ in range(4):
        bits = np.uint64(1) << generator.integers(0, 64, 400).astype(np.uint64)
        hashes = hashes ^ np.where(generator.random(400) < 0.5, bits, np.uint64(0))
    expected: list[str | None] = []
    stay: list[int] = []
    for number, value in enumerate(hashes.tolist()):
        near = next((other for other in stay if (value ^ int(hashes[other])).bit_count() <= 3), None)
        expected.append(None if near is None else str(near))
        if near is None:
            stay.append(number)
    kept, nearest = KeptHashes(), []
    for start in range(0, 400, batch):
        names = [str(number) for number in range(start, min(400, start + batch))]
        nearest += [near and near.name for near in kept.take(hashes[start : start + batch], names)]
    assert nearest == expected


def test_a_folder_gets_shards_by_its_size_once_and_keeps_them(tmp_path: Path, workdir: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.corpus.formats.folder._IMAGES_IN_SHARD", 10)
    write(tmp_path / "c", {f"{number}.png": png(number) for number in range(30)})
    params = CorpusParams(path=str(tmp_path / "c"), unit_size=4)
    before = update_index(params, workdir)
    assert len({unit.shard_id for unit in before}) == 3
    write(tmp_path / "c", {f"{number}.png": png(number) for number in range(30, 90)})
    after = update_index(params, workdir)
    assert set(before) <= set(after)
    assert len({unit.shard_id for unit in after}) == 3
    assert len({unit.shard_id for unit in update_index(params, Storage(str(tmp_path / "new")))}) == 9
