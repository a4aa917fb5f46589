"""Some images of a corpus, of whatever format, as tars of their own: what rehearsals and estimates run on. Chooses none."""

import io
import tarfile
from collections.abc import Sequence

from pipeline.corpus.images import read_bytes
from pipeline.corpus.names import suffix_of
from pipeline.corpus.params import CorpusParams
from pipeline.storage import Storage
from schemas.rows import CorpusRow

_IMAGES_AT_ONCE = 32


def write_tars(params: CorpusParams, rows: Sequence[CorpusRow], target: Storage, num_tars: int) -> list[str]:
    """Write the images and their alt texts in order, spread over so many tars; returns each one's key there."""
    keys = _names(rows)
    for number in range(num_tars):
        places = [place for place in range(len(rows)) if place * num_tars // len(rows) == number]
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for start in range(0, len(places), _IMAGES_AT_ONCE):
                _add_images(tar, params, rows, keys, places[start : start + _IMAGES_AT_ONCE])
        target.write(f"{number:05}.tar", buffer.getvalue())
    return keys


def corpus_of_tars(params: CorpusParams, path: str, unit_size: int) -> CorpusParams:
    """What the configuration says of such a copy of its corpus."""
    unread = {"format": "auto", "image_column": None, "key_column": None, "alt_column": None}
    return params.model_copy(update={"path": path, "unit_size": unit_size, **unread})


def _add_images(tar: tarfile.TarFile, params: CorpusParams, rows: Sequence[CorpusRow], keys: Sequence[str], places: Sequence[int]) -> None:
    contents = read_bytes(params, [rows[place] for place in places])
    for place, data in zip(places, contents, strict=True):
        row = rows[place]
        _add(tar, f"{keys[place]}.{suffix_of(row.member or row.path) or 'jpg'}", data or b"")
        if row.alt:
            _add(tar, f"{keys[place]}.txt", str(row.alt).encode())


def _names(rows: Sequence[CorpusRow]) -> list[str]:
    """The keys where a tar can hold them as they are, else numbers."""
    keys = [row.key.rpartition("/")[2] for row in rows]
    is_plain = len(set(keys)) == len(keys) and all(key and "." not in key and not key.startswith("_") for key in keys)
    return keys if is_plain else [f"image-{place:06}" for place in range(len(rows))]


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
