"""Given rows: names that several images have, files of another kind, numbers and ids that are none."""

import json
from typing import Any

from bench.wild.room import Room, jpeg, tar_bytes

_STAGES = ["caption", "ground"]
_DOG = [{"id": 90, "name": "dog"}]


def _coco(images: list[dict[str, Any]], annotations: list[dict[str, Any]], categories: Any = _DOG) -> bytes:
    return json.dumps({"images": images, "annotations": annotations, "categories": categories}).encode()


def _box(image: Any, bbox: Any = (5, 5, 30, 30), category: int = 90) -> dict[str, Any]:
    return {"id": 1, "image_id": image, "category_id": category, "bbox": list(bbox), "iscrowd": 0}


def _job(room: Room, form: str = "coco", path: str = "boxes.json", **given: Any) -> None:
    room.job(stages=_STAGES, given={"ground": {"format": form, "path": path, "missing": "skip", **given}})


def _outcome(room: Room) -> dict[str, str]:
    room.done("run", "job.yaml", "--json")
    return {row["key"]: row["reason"] or row["status"] for row in room.rows("ground")}


def coco_same_basename(room: Room) -> str:
    """COCO's val/0001.jpg, and a corpus with train/0001.jpg and val/0001.jpg"""
    room.put(
        {
            "corpus/train/0001.jpg": jpeg(0),
            "corpus/val/0001.jpg": jpeg(1),
            "boxes.json": _coco([{"id": 7, "file_name": "val/0001.jpg"}], [_box(7)]),
        }
    )
    _job(room)
    outcome = _outcome(room)
    assert outcome == {"train/0001": "not_given", "val/0001": "ok"}, outcome
    return "the folder decides: train/0001 has no box"


def basename_without_a_folder(room: Room) -> str:
    """The same corpus, and rows that name 0001.jpg alone: in COCO, FineHARD and JSON lines"""
    room.put({"corpus/train/0001.jpg": jpeg(0), "corpus/val/0001.jpg": jpeg(1)})
    boxes = [{"bbox": [5, 5, 30, 30], "phrase": "dog"}]
    room.put(
        {
            "boxes.json": _coco([{"id": 7, "file_name": "0001.jpg"}], [_box(7)]),
            "hard.json": json.dumps([{"f_path": "0001.jpg", "bbox_info": [{"bbox": [0.1, 0.1, 0.5, 0.5], "short_expr": "dog"}]}]).encode(),
            "lines.jsonl": json.dumps({"key": "0001.jpg", "boxes": boxes}).encode(),
        }
    )
    for form, path, more in (("coco", "boxes.json", {}), ("finehard", "hard.json", {}), ("jsonl", "lines.jsonl", {"match": "file"})):
        _job(room, form, path, **more)
        room.done("run", "job.yaml", "--json")
    reasons = [row["reason"] for row in room.rows("ground")]
    assert reasons == ["ambiguous_name"] * 6, reasons
    return "refused for both images, in each format"


def keys_that_tars_share(room: Room) -> str:
    """Captions by key, and two tars that both hold 0001.jpg"""
    room.put({"corpus/a.tar": tar_bytes([("0001.jpg", jpeg(0))]), "corpus/b.tar": tar_bytes([("0001.jpg", jpeg(1))])})
    room.put({"c.jsonl": b'{"key": "0001", "long": "A red mug."}\n'})
    room.job(stages=["caption"], given={"caption": {"format": "jsonl", "path": "c.jsonl", "missing": "skip"}})
    room.done("run", "job.yaml", "--json")
    reasons = [row["reason"] for row in room.rows("caption")]
    assert reasons == ["ambiguous_name"] * 2, reasons
    return "refused for both; match: shard_key tells them apart"


def names_of_lvis(room: Room) -> str:
    """LVIS's categories baseball_bat and orange_(fruit)"""
    categories = [{"id": 1, "name": "baseball_bat"}, {"id": 2, "name": "orange_(fruit)"}]
    image = {"id": 1, "coco_url": "http://images.cocodataset.org/train2017/1.jpg"}
    room.put({"corpus/1.jpg": jpeg(0), "boxes.json": _coco([image], [_box(1, category=1), _box(1, (1, 1, 9, 9), 2)], categories)})
    _job(room)
    _outcome(room)
    heads = [(phrase["text"], phrase["head"]) for phrase in room.rows("ground")[0]["phrases"]]
    assert heads == [("baseball bat", "bat"), ("orange", "orange")], heads
    return "a baseball bat (bat) and an orange"


def files_of_another_kind(room: Room) -> str:
    """COCO results and captions as boxes, COCO as FineHARD, an array as JSON lines, lines of another tool, a cut Parquet file"""
    room.put({"corpus/1.jpg": jpeg(0)})
    wrong = {
        ("coco", "results.json"): b'[{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]',
        ("coco", "captions.json"): b'{"images": [{"id": 1}], "annotations": [{"id": 1, "caption": "x"}]}',
        ("finehard", "coco.json"): _coco([], []),
        ("jsonl", "array.json"): b'[{"key": "1"},\n {"key": "2"}]',
        ("jsonl", "other.jsonl"): b'{"id": 1, "text": "x"}\n{"id": 2, "text": "y"}\n',
        ("parquet", "cut.parquet"): b"PAR1" + b"\0" * 40,
    }
    for (form, name), data in wrong.items():
        room.put({name: data})
        _job(room, form, name)
        ran = room.refused("run", "job.yaml")
        assert name in ran.err, ran.err
        assert room.refused("plan", "job.yaml").code == 2
    return f"{len(wrong)} files, each refused in one line that names it and what was looked for"


def numbers_that_are_none(room: Room) -> str:
    """COCO with a byte order mark, NaN, Infinity, 1e999 and 400 digits among its boxes"""
    marks = ["NaN", "-Infinity", "1e999", "9" * 400]
    images = [{"id": number, "file_name": f"{number}.jpg"} for number in range(len(marks))]
    boxes = [_box(number, (1, 1, f"MARK{number}", 9)) for number in range(len(marks))] + [_box(number) for number in range(len(marks))]
    data = _coco(images, boxes)
    for number, mark in enumerate(marks):
        data = data.replace(f'"MARK{number}"'.encode(), mark.encode())
    room.put({f"corpus/{number}.jpg": jpeg(number) for number in range(len(marks))} | {"boxes.json": b"\xef\xbb\xbf" + data})
    _job(room)
    assert set(_outcome(room).values()) == {"ok"}
    rejects = [dict(row["given_rejects"]) for row in room.rows("ground")]
    assert rejects == [{"not_finite": 1}] * len(marks), rejects
    return "each costs its box (not_finite), and no image"


def ids_that_stand_twice(room: Room) -> str:
    """Two images with one id, two categories with one id"""
    images = [{"id": 7, "file_name": "1.jpg"}, {"id": 7, "file_name": "2.jpg"}, {"id": 8, "file_name": "3.jpg"}]
    categories = [*_DOG, {"id": 90, "name": "cat"}, {"id": 1, "name": "cup"}]
    room.put({f"corpus/{number}.jpg": jpeg(number) for number in (1, 2, 3)})
    room.put({"boxes.json": _coco(images, [_box(7), _box(8), _box(8, (1, 1, 9, 9), 1)], categories)})
    _job(room)
    outcome = _outcome(room)
    assert outcome == {"1": "duplicate_id", "2": "duplicate_id", "3": "ok"}, outcome
    return "both images and the box of that category are refused as duplicate_id"


def compressed_rows_beside_others(room: Room) -> str:
    """A .jsonl.gz beside a .jsonl in a given folder, a line that is no UTF-8, a caption with a bell"""
    room.put({"corpus/1.jpg": jpeg(0), "corpus/2.jpg": jpeg(1), "rows/b.jsonl.gz": b"\x1f\x8b"})
    room.put({"rows/a.jsonl": b'{"key": "1", "long": "A red mug."}\n{"key": "2", "long": "A \\u0007 mug."}\n{"key": "caf\xe9"}\n'})
    room.job(stages=["caption"], given={"caption": {"format": "jsonl", "path": "rows", "missing": "skip"}})
    plan = room.plan()["given"][0]
    assert plan["unmatched"] == {"compressed_file": 1, "wrong_encoding": 1}, plan
    room.done("run", "job.yaml", "--json")
    assert [row["reason"] for row in room.rows("caption")] == [None, "control_characters"]
    return f"counted: {plan['unmatched']}; the bell is refused as control_characters"


CASES = (
    coco_same_basename,
    basename_without_a_folder,
    keys_that_tars_share,
    names_of_lvis,
    files_of_another_kind,
    numbers_that_are_none,
    ids_that_stand_twice,
    compressed_rows_beside_others,
)
