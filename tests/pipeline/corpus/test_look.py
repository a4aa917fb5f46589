"""An index that an older version wrote: headers are looked at once, and only units with images of other pixels have other inputs."""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.corpus import jobs, look, update
from pipeline.corpus.index import Unit
from pipeline.corpus.params import CorpusParams
from pipeline.corpus.update import read_rows, update_index
from pipeline.storage import Storage
from tests.support.pictures import encoded, png, tar_bytes, write
from tests.support.profiles import PROFILES, raw_png
from tests.support.rehearsal_job import files


def _picture(number: int) -> bytes:
    """Of ten images the seventh has a profile; behind an EXIF thumbnail that fills the head that is read at first."""
    image = Image.open(io.BytesIO(png(number)))
    kind = ("PNG", "JPEG", "WEBP", "TIFF")[number % 4]
    if number % 10 != 7:
        return encoded(image.convert("RGB"), kind)
    exif = Image.Exif()
    exif[0x010E] = "x" * 40_000
    return encoded(image.convert("RGB"), "JPEG", icc_profile=PROFILES["wide"], exif=exif)


def _corpus(kind: str, folder: Path) -> CorpusParams:
    names = {f"{number:03d}.{'jpg' if number % 10 == 7 else 'png'}": _picture(number) for number in range(20)}
    if kind == "tar":
        write(folder / "corpus", {"0.tar": tar_bytes(names)})
    elif kind == "parquet":
        sink = io.BytesIO()
        pq.write_table(pa.table({"key": [*names], "image": [*names.values()]}), sink)
        write(folder / "corpus", {"0.parquet": sink.getvalue()})
    else:
        write(folder / "corpus", names)
    return CorpusParams(path=str(folder / "corpus"), unit_size=4, folder_shards=1)


def _units(params: CorpusParams, workdir: Storage) -> dict[str, Unit]:
    return {unit.id: unit for unit in update_index(params, workdir)}


@pytest.mark.parametrize("kind", ["tar", "parquet", "folder"])
def test_only_units_with_other_pixels_have_other_inputs(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params, workdir = _corpus(kind, tmp_path), Storage(str(tmp_path / "work"))
    with monkeypatch.context() as older:
        older.setattr("pipeline.corpus.pixels.pixel_version", lambda _image, _data: 0)
        older.setattr(update, "PIXELS", 0)
        before = _units(params, workdir)
    after = _units(params, workdir)
    assert before.keys() == after.keys()
    marked = {unit_id for unit_id, unit in after.items() if any(row.pixels for row in read_rows(workdir, unit))}
    assert {unit_id for unit_id in after if after[unit_id].rows_digest != before[unit_id].rows_digest} == marked
    assert 0 < len(marked) < len(after)
    rows = [row for unit in after.values() for row in read_rows(workdir, unit)]
    assert sorted(row.key[:3] for row in rows if row.pixels) == ["007", "017"]
    index = files(tmp_path / "work")
    monkeypatch.setattr(jobs, "looked", lambda *_: pytest.fail("looked at twice"))
    assert _units(params, workdir) == after
    assert files(tmp_path / "work") == index
    assert _units(params, Storage(str(tmp_path / "fresh"))) == after  # an index of this version says the same at once


def test_whole_files_are_read_only_where_the_head_does_not_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params, workdir = _corpus("tar", tmp_path), Storage(str(tmp_path / "work"))
    rows = [row for unit in update_index(params, workdir) for row in read_rows(workdir, unit)]
    read: list[str] = []
    whole = look._whole

    def noted(params: CorpusParams, storage: Storage, rows: list[object]) -> list[bytes | None]:
        read.extend(row.key for row in rows)  # type: ignore[attr-defined]  # index rows
        return whole(params, storage, rows)  # type: ignore[arg-type]  # the same

    monkeypatch.setattr(look, "_whole", noted)
    assert [row.pixels for row in look.looked(params, rows, 0)] == [row.pixels for row in rows]
    assert set(read) == {row.key for row in rows if row.format == "TIFF" or row.pixels}


def test_an_index_of_version_1_is_looked_at_where_version_2_changed_a_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = (b"cICP", bytes([9, 13, 0, 1]))
    pictures = {"code points.png": raw_png(2, 8, (1, 1), b"\0\x50\x80\x20", [wide]), "plain.png": png(1)}
    pictures |= {
        f"{kind}.img": encoded(Image.open(io.BytesIO(png(9))).convert("RGB"), kind, icc_profile=PROFILES["wide"])
        for kind in ("JPEG", "PNG")
    }
    params, workdir = CorpusParams(path=str(tmp_path / "corpus"), unit_size=1), Storage(str(tmp_path / "work"))
    write(tmp_path / "corpus", {"0.tar": tar_bytes({name.replace(".img", ".jpg"): data for name, data in pictures.items()})})
    with monkeypatch.context() as older:
        older.setattr("pipeline.corpus.pixels.pixel_version", lambda image, _data: int("icc_profile" in image.info))
        older.setattr(update, "PIXELS", 1)
        before = _units(params, workdir)
    after = _units(params, workdir)
    rows = {row.key: row.pixels for unit in after.values() for row in read_rows(workdir, unit)}
    assert rows == {"code points": 2, "plain": 0, "JPEG": 1, "PNG": 1}
    assert sum(before[unit_id].rows_digest != after[unit_id].rows_digest for unit_id in after) == 1
    assert before.keys() == after.keys()
