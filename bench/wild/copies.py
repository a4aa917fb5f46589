"""Corpora that were copied, restored, changed or grown, and the rules that filter: what is computed again."""

import io
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bench.wild.room import Room, accounted, encoded, jpeg, keys, picture, tar_bytes

_CAPTION = ("--until", "caption")


def _pending(room: Room) -> int:
    return int(room.plan()["stages"][0]["pending"])


def copied_tars(room: Room) -> str:
    """Tars and their times changed by a copy, the whole folder moved"""
    room.put({f"corpus/{n}.tar": tar_bytes([(f"{n}{m}.jpg", jpeg(4 * n + m)) for m in range(4)]) for n in range(2)})
    room.job()
    room.done("run", "job.yaml", *_CAPTION)
    shutil.copytree("corpus", "clone", copy_function=shutil.copyfile)
    shutil.rmtree("corpus")
    for path in Path("clone").iterdir():
        os.utime(path, (10_000, 10_000))
    room.job("clone")
    assert _pending(room) == 0, f"{_pending(room)} units pending"
    room.done("run", "job.yaml", "--until", "ground")
    assert {row["status"] for row in room.rows("ground")} == {"ok"}, "its bytes are not found where they lie now"
    return "nothing is captioned again; the copy's bytes are read"


def copied_table(room: Room) -> str:
    """A Parquet file restored from a backup, with another time"""
    sink = io.BytesIO()
    pq.write_table(pa.table({"image": [jpeg(n) for n in range(5)], "caption": ["a"] * 5}), sink)
    room.put({"corpus/a.parquet": sink.getvalue()})
    room.job()
    room.done("run", "job.yaml", *_CAPTION)
    os.utime("corpus/a.parquet", (10_000, 10_000))
    assert _pending(room) == 0, f"{_pending(room)} units pending"
    return "nothing is captioned again"


def repacked_tar(room: Room) -> str:
    """A tar packed anew in another order, with a readme"""
    members = [(f"{n}.jpg", jpeg(n)) for n in range(6)]
    room.put({"corpus/a.tar": tar_bytes(members)})
    room.job()
    room.done("run", "job.yaml", *_CAPTION)
    room.put({"corpus/a.tar": tar_bytes([("README", b"-"), *members[::-1]])})
    assert _pending(room) == 0, f"{_pending(room)} units pending"
    room.done("run", "job.yaml", "--until", "ground")
    return "nothing is captioned again; the offsets are renewed"


def changed_tar(room: Room) -> str:
    """A tar in which one caption changed"""
    room.put({"corpus/a.tar": tar_bytes([("1.jpg", jpeg(0)), ("1.txt", b"a")]), "corpus/b.tar": tar_bytes([("2.jpg", jpeg(1))])})
    room.job()
    room.done("run", "job.yaml", *_CAPTION)
    room.put({"corpus/a.tar": tar_bytes([("1.jpg", jpeg(0)), ("1.txt", b"b")])})
    assert _pending(room) == 1, f"{_pending(room)} units pending"
    return "its unit alone is pending"


def folder_that_grows(room: Room) -> str:
    """A folder to which files are added, one is changed and one removed, after it was captioned"""
    room.put({f"corpus/{n}.jpg": jpeg(n) for n in range(12)})
    room.job()
    room.done("run", "job.yaml", *_CAPTION)
    assert _pending(room) == 0
    room.put({"corpus/3.jpg": jpeg(50), **{f"corpus/new{n}.jpg": jpeg(60 + n) for n in range(4)}})
    Path("corpus/7.jpg").unlink()
    pending = _pending(room)
    assert pending <= 3, f"{pending} of 4 units pending"
    return f"{pending} of 4 units pending: those that changed and the new one"


def corpus_is_left_alone(room: Room) -> str:
    """A read-only corpus of tars, run to the export; its bytes and times before and after"""
    room.put({f"corpus/{n}.tar": tar_bytes([(f"{m}.jpg", jpeg(4 * n + m)) for m in range(4)]) for n in range(2)})
    room.job()
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in Path("corpus").iterdir()}
    room.done("run", "job.yaml")
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in Path("corpus").iterdir()} == before
    assert "nothing to be done" in room.done("run", "job.yaml").out
    return "exported; run again: nothing to be done; the corpus is as it was"


def filters(room: Room) -> str:
    """Icons, banners, a huge picture and a re-encoded copy, with the rules for them"""
    turned = picture(3, (400, 300)).rotate(20)
    room.put({
        "corpus/a.png": encoded(turned, "PNG"), "corpus/a_again.jpg": encoded(turned, quality=80),
        "corpus/icon.jpg": encoded(picture(1, (32, 32))),
        "corpus/banner.jpg": encoded(picture(2, (900, 90))), "corpus/huge.jpg": encoded(picture(4, (1500, 1400))),
    })  # fmt: skip
    room.job({"path": "corpus", "min_side_px": 64, "max_aspect_ratio": 4, "max_megapixels": 2, "near_duplicates": "filter"})
    plan = room.plan()
    reasons = {row["key"]: row["reason"] for row in room.index()}
    assert reasons == {
        "a": None, "a_again": "near_duplicate", "icon": "too_small", "banner": "too_elongated", "huge": "too_many_pixels",
    }, reasons  # fmt: skip
    return f"{accounted(plan)}; {', '.join(f'{key} {reason}' for key, reason in reasons.items() if reason)}"


def old_number_of_shards(room: Room) -> str:
    """A folder that was indexed when eight shards were the rule, and then grew"""
    room.put({f"corpus/{n}.jpg": jpeg(n) for n in range(12)})
    room.job({"path": "corpus", "folder_shards": 8})
    room.done("run", "job.yaml", *_CAPTION)
    room.job({"path": "corpus"})
    assert _pending(room) == 0, f"{_pending(room)} units pending"
    assert len(keys(room)) == 12
    return "its eight shards stay; nothing is pending"


def status_doctor_and_report(room: Room) -> str:
    """What doctor, plan, status and the report say of files that are left out"""
    room.put({"corpus/a.jpg": jpeg(0), "corpus/b.nef": b"-", "corpus/.c.jpg": b"-", "corpus/d.txt": b"-", "corpus/e.tar.gz": b"-"})
    room.job(stages=("caption",))
    wanted = ("1 .nef no decoder", "1 .tar.gz compressed", "1 hidden", "1 .txt with no image beside it")
    room.done("run", "job.yaml")
    texts = {name: room.done(name, "job.yaml").out for name in ("doctor", "plan", "status")}
    room.done("report", "job.yaml", "--out", "page")
    texts["report"] = Path("page/index.html").read_text(encoding="utf-8")
    missing = [(name, words) for name, text in texts.items() for words in wanted if words not in text]
    assert not missing, missing
    return f"all four: {', '.join(wanted)}"


CASES = (
    copied_tars,
    copied_table,
    repacked_tar,
    changed_tar,
    folder_that_grows,
    corpus_is_left_alone,
    filters,
    old_number_of_shards,
    status_doctor_and_report,
)
