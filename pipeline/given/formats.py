"""The formats in which rows may be given, one row each: another format is its reader in readers/ and its row here. Opens nothing."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from pipeline.given.readers.coco import read_coco
from pipeline.given.readers.finehard import FINEHARD_STAGES, read_finehard
from pipeline.given.readers.jsonl import read_jsonl
from pipeline.given.readers.parquet import read_parquet
from pipeline.given.readers.webdataset import read_webdataset
from pipeline.given.source import Raw, SourceFile

BoxForm = Literal["xyxy", "xywh", "normalised"]


@dataclass(frozen=True)
class GivenFormat:
    """What is known of a format.

    `match` is the row of names.MATCHES that goes where the user names none. `boxes` is None where the user says what the four numbers
    of a box are. A box may have up to `max_box_numbers`; those from the fifth on are passed over. `stages` are those that it may be
    given to, None: all of tables.TABLES; a user who gives it to another is told what it `holds`. `version` rises where the reader reads
    something else of the same file, so that files are read anew.
    """

    about: str
    suffixes: tuple[str, ...]
    read: Callable[[SourceFile], Iterator[Raw]]
    match: str = "key"
    boxes: BoxForm | None = None
    max_box_numbers: int = 4
    stages: tuple[str, ...] | None = None
    holds: str = "rows of any stage"
    version: int = 1


FORMATS: Mapping[str, GivenFormat] = {
    "webdataset-json": GivenFormat("the .json sidecars in tars", (".tar",), read_webdataset),
    "jsonl": GivenFormat("one object a line", (".jsonl", ".ndjson", ".json"), read_jsonl),
    "parquet": GivenFormat("one row an image", (".parquet",), read_parquet),
    "coco": GivenFormat(
        "annotations json (ground alone)", (".json",), read_coco, match="file", boxes="xywh", stages=("ground",), holds="boxes"
    ),
    "finehard": GivenFormat(
        "the array that FG-CLIP's trainer reads",
        (".json",),
        read_finehard,
        match="file",
        boxes="normalised",
        max_box_numbers=5,  # the score, which its trainer passes over too
        stages=FINEHARD_STAGES,
        holds="captions, boxes, expressions and negatives",
    ),
}
