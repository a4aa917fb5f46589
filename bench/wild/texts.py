"""Texts that UTF-8 cannot hold, NUL and control characters: in sidecars, columns, answers."""

import io

import pyarrow as pa
import pyarrow.parquet as pq

from bench.wild.room import Room, jpeg, tar_bytes
from bench.wild.server import GOOD, captioner, captions_alone, openai_captioner


def surrogate_in_sidecar(room: Room) -> str:
    """Half a surrogate pair in the caption of a .json sidecar"""
    members = [("1.jpg", jpeg(0)), ("1.json", b'{"caption":"nice mug \\ud83d"}'), ("2.jpg", jpeg(1)), ("2.json", b'{"caption":"blue cup"}')]
    room.put({"corpus/a.tar": tar_bytes(members)})
    room.job(stages=["caption"])
    room.done("run", "job.yaml", "--json")
    rows = room.index()
    assert [(row["status"], row["alt"]) for row in rows] == [("ok", "nice mug"), ("ok", "blue cup")], rows
    assert [row["status"] for row in room.rows("caption")] == ["ok", "ok"]
    return f"both images ok; {rows[0]['detail']}"


def controls_in_sidecars(room: Room) -> str:
    """NUL, bell and escape characters, Latin-1 bytes, nested brackets without end, a text of 2 MiB as sidecars"""
    texts = {"nul.json": b'{"caption":"a\\u0000b"}', "bell.txt": b"a\x07b", "latin.txt": b"caf\xe9", "deep.json": b"[" * 90_000}
    texts |= {"long.txt": b"x" * 2**21, "number.json": b'{"caption": 7}', "utf16.txt": "mug".encode("utf-16")}
    room.put({f"corpus/{name}": data for name, data in texts.items()})
    room.put({f"corpus/{name.partition('.')[0]}.jpg": jpeg(number) for number, name in enumerate(texts)})
    room.job(stages=["caption"])
    room.done("run", "job.yaml", "--json")
    rows = room.index()
    assert {row["status"] for row in rows} == {"ok"}, rows
    alts = {row["key"]: row["alt"] for row in rows if row["alt"]}
    assert alts == {"nul": "ab", "bell": "ab"}, alts
    return f"{len(rows)} images ok, two texts cleaned, the others left out"


def controls_in_a_column(room: Room) -> str:
    """NUL and bytes that are no UTF-8 in the caption column of a Parquet file"""
    raw = pa.array([b"caf\xe9", b"a\0b", b"fine"], pa.binary()).view(pa.string())
    sink = io.BytesIO()
    pq.write_table(pa.table({"key": ["a", "b", "c"], "image": [jpeg(0), jpeg(1), jpeg(2)], "caption": raw}), sink)
    room.put({"corpus/a.parquet": sink.getvalue()})
    room.job(stages=["caption"])
    room.done("run", "job.yaml", "--json")
    rows = room.index()
    assert [row["alt"] for row in rows] == ["caf", "ab", "fine"], rows
    return f"3 images ok; {rows[0]['detail']}"


def surrogate_in_answer(room: Room) -> str:
    """A model's answer that holds half a surrogate pair, once"""
    bad = GOOD.replace("a red mug", "a red mug \\ud83d", 1)
    room.put({"corpus/a.tar": tar_bytes([(f"{number}.jpg", jpeg(number)) for number in range(4)])})
    with captioner(lambda number: bad if number == 3 else GOOD) as seen:
        room.job(engines=openai_captioner(seen), **captions_alone())
        room.done("run", "job.yaml", "--json")
    rows = room.rows("caption")
    assert [row["status"] for row in rows] == ["ok"] * 4, rows
    asked = sorted(row["usage"]["attempts"] for row in rows)
    assert asked == [1, 1, 1, 2], asked
    return "asked again; 4 of 4 images ok"


def controls_in_every_answer(room: Room) -> str:
    """A model whose answers for one picture always hold NUL"""
    bad = GOOD.replace("A red mug", "A\\u0000 red mug", 1)
    room.put({f"corpus/{number}.jpg": jpeg(number) for number in range(3)} | {"corpus/1.txt": b"tag-odd"})
    with captioner() as seen:
        seen.answer_to["odd"] = bad
        room.job(engines=openai_captioner(seen), **captions_alone())
        room.done("run", "job.yaml", "--json")
    rows = room.rows("caption")
    assert [(row["key"], row["reason"]) for row in rows if row["status"] != "ok"] == [("1", "invalid_output")], rows
    return f"that image fails as invalid_output ({rows[1]['detail'][:40]}...), the others are ok"


CASES = (surrogate_in_sidecar, controls_in_sidecars, controls_in_a_column, surrogate_in_answer, controls_in_every_answer)
