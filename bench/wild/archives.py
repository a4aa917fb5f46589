"""Tars and tables: names, links, cuts, and what stands behind their end."""

import gzip
import io
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq

from bench.wild.room import Room, accounted, encoded, jpeg, keys, picture, tar_bytes


def _reasons(room: Room) -> dict[str, str | None]:
    return {row["key"]: row["reason"] for row in room.index()}


def tar_beside_targz(room: Room) -> str:
    """A tar beside a compressed one, which cannot be read by range"""
    room.put({"corpus/a.tar": tar_bytes([("1.jpg", jpeg(0))]), "corpus/b.tar.gz": gzip.compress(tar_bytes([("2.jpg", jpeg(1))]))})
    room.job()
    plan = room.plan()
    assert plan["left_out"] == {"compressed": 1}, plan["left_out"]
    assert "1 .tar.gz compressed" in room.done("plan", "job.yaml").out
    return accounted(plan)


def compressed_tar_named_tar(room: Room) -> str:
    """A compressed tar that calls itself .tar, beside a good one"""
    room.put({"corpus/a.tar": tar_bytes([("1.jpg", jpeg(0))]), "corpus/b.tar": gzip.compress(tar_bytes([("2.jpg", jpeg(1))]))})
    room.job()
    plan = room.plan()
    assert _reasons(room) == {"1": None, "b#rest": "unreadable_shard"}, _reasons(room)
    return f"{accounted(plan)}; {room.index()[1]['detail']}"


def tar_dotted_names(room: Room) -> str:
    """Members with dots in their names: a version, a bracket, fields of a sample"""
    names = ("1.jpg", "shot 2.0 (clean).jpg", "3.left.jpg", "3.right.jpg", "v1.2/4.jpg")
    room.put({"corpus/a.tar": tar_bytes([(name, jpeg(n)) for n, name in enumerate(names)])})
    room.job()
    plan = room.plan()
    assert keys(room) == ["1", "shot 2.0 (clean)", "v1.2/4"], keys(room)
    assert plan["left_out"] == {"other_field": 2}, plan["left_out"]
    return accounted(plan)


def tar_links(room: Room) -> str:
    """Hard and symbolic links in a tar, forwards and backwards, through a link, and to nothing"""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        for name, kind, target in (
            ("x/d.jpg", tarfile.SYMTYPE, "../c.jpg"), ("a.jpg", tarfile.REGTYPE, ""), ("b.jpg", tarfile.LNKTYPE, "a.jpg"),
            ("c.jpg", tarfile.REGTYPE, ""), ("e.jpg", tarfile.SYMTYPE, "x/d.jpg"), ("f.jpg", tarfile.SYMTYPE, "gone.jpg"),
        ):  # fmt: skip
            member, data = tarfile.TarInfo(name), jpeg(len(name) + ord(name[0])) if not target else b""
            member.type, member.linkname, member.size = kind, target, len(data)
            tar.addfile(member, io.BytesIO(data))
    room.put({"corpus/a.tar": sink.getvalue()})
    room.job()
    plan = room.plan()
    digests = {row["key"]: row["sha256"] for row in room.index()}
    assert digests["b"] == digests["a"] != digests["c"] == digests["x/d"] == digests["e"], digests
    assert _reasons(room)["f"] == "link_without_target", _reasons(room)
    return f"{accounted(plan)}; f fails as link_without_target"


def tars_joined_to_one(room: Room) -> str:
    """Two tars joined by cat, with padding between"""
    whole = tar_bytes([("1.jpg", jpeg(0)), ("1.txt", b"one")]) + b"\0" * 4096 + tar_bytes([("2.jpg", jpeg(1)), ("3.jpg", jpeg(2))])
    room.put({"corpus/a.tar": whole})
    room.job()
    plan = room.plan()
    assert keys(room) == ["1", "2", "3"], keys(room)
    return accounted(plan)


def tar_with_something_behind(room: Room) -> str:
    """A tar with bytes behind its end that are no tar"""
    room.put({"corpus/a.tar": tar_bytes([("1.jpg", jpeg(0))]) + b"<html>proxy error</html>" * 40})
    room.job()
    plan = room.plan()
    assert _reasons(room) == {"1": None, "a#rest": "unreadable_shard"}, _reasons(room)
    return f"{accounted(plan)}; the rest fails as unreadable_shard"


def tar_cut_in_an_image(room: Room) -> str:
    """A download that ended within a member, and another within a caption"""
    image = tar_bytes([("1.jpg", jpeg(0)), ("2.jpg", jpeg(1))])
    text = tar_bytes([("3.jpg", jpeg(2)), ("3.txt", b"a red mug on a table " * 100)])
    room.put({"corpus/a.tar": _cut_in(image, "2.jpg"), "corpus/b.tar": _cut_in(text, "3.txt")})
    room.job()
    plan = room.plan()
    rows = {row["key"]: row for row in room.index()}
    assert rows["2"]["reason"] == "truncated_shard", rows["2"]
    assert rows["3"]["status"] == "ok"
    assert rows["3"]["alt"] is None, "half a caption is not taken for one"
    return f"{accounted(plan)}; 2 fails as truncated_shard, 3 has no caption: {rows['3']['detail']}"


def _cut_in(whole: bytes, name: str) -> bytes:
    """The tar up to a place within this member."""
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        return whole[: tar.getmember(name).offset_data + 600]


def tar_cut_in_a_header(room: Room) -> str:
    """A tar that ends within a header, one of zero bytes, and a good one"""
    whole = tar_bytes([("1.jpg", jpeg(0)), ("2.jpg", jpeg(1))])
    room.put({"corpus/a.tar": whole[: 512 + -(-len(jpeg(0)) // 512) * 512 + 100], "corpus/b.tar": b"", "corpus/c.tar": whole})
    room.job()
    plan = room.plan()
    reasons = [row["reason"] for row in room.index() if row["key"].endswith("#rest")]
    assert reasons == ["truncated_shard"] * 2, reasons
    return accounted(plan)


def tar_of_one_key_twice(room: Room) -> str:
    """A member twice, as after `tar r`, and two formats of one key"""
    room.put({"corpus/a.tar": tar_bytes([("1.jpg", jpeg(0)), ("1.jpg", jpeg(1)), ("1.png", encoded(picture(2), "PNG"))])})
    room.job()
    plan = room.plan()
    assert _reasons(room) == {"1": None, "1#2": "duplicate_key", "1#3": "duplicate_key"}, _reasons(room)
    return f"{accounted(plan)}; two fail as duplicate_key"


def tar_of_other_things(room: Room) -> str:
    """A tar with a mask, an index, a hidden file, an archive, a raw photograph and folders beside its image"""
    names = ("1.jpg", "1.seg.png", "1.cls", "README", "._1.jpg", "more.zip", "2.dng", "lone.txt")
    room.put({"corpus/a.tar": tar_bytes([(name, jpeg(0)) for name in names])})
    room.job()
    plan = room.plan()
    expected = {"other_field": 1, "no_image": 2, "hidden": 1, "compressed": 1, "no_decoder": 1, "lone_sidecar": 1}
    assert plan["left_out"] == expected, plan["left_out"]
    return accounted(plan)


def sparse_member(room: Room) -> str:
    """A sparse file in a tar, whose bytes lie apart"""
    member = tarfile.TarInfo("1.jpg")
    member.size, member.pax_headers = 512, {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9000"}
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(member, io.BytesIO(b"1\n0\n512\n".ljust(512, b"\0")))
        good = tarfile.TarInfo("2.jpg")
        good.size = len(jpeg(1))
        tar.addfile(good, io.BytesIO(jpeg(1)))
    room.put({"corpus/a.tar": sink.getvalue()})
    room.job()
    plan = room.plan()
    assert _reasons(room) == {"1": "unreadable", "2": None}, _reasons(room)
    return f"{accounted(plan)}; 1 fails as unreadable"


def parquet_bad_page(room: Room) -> str:
    """Two tables, one with a page that is broken"""
    images = pa.array([{"bytes": encoded(picture(n, (200, 200)), "PNG"), "path": f"k{n}.png"} for n in range(8)])
    sink = io.BytesIO()
    pq.write_table(pa.table({"key": [f"k{n}" for n in range(8)], "image": images}), sink, row_group_size=2)
    group = pq.read_metadata(io.BytesIO(sink.getvalue())).row_group(2)
    column = next(group.column(n) for n in range(group.num_columns) if group.column(n).path_in_schema == "image.bytes")
    start = column.dictionary_page_offset or column.data_page_offset
    broken = bytearray(sink.getvalue())
    broken[start : start + 200] = b"\xff" * 200
    room.put({"corpus/a.parquet": sink.getvalue(), "corpus/b.parquet": bytes(broken)})
    room.job({"path": "corpus", "duplicates": "keep"})
    plan = room.plan()
    rows = [row for row in room.index() if row["path"] == "b.parquet"]
    assert [row["status"] for row in rows].count("ok") == 4, rows
    assert [row["reason"] for row in rows if row["status"] != "ok"] == ["unreadable_shard"], rows
    return f"{accounted(plan)}; {rows[0]['detail'][:60]}"


def parquet_without_a_footer(room: Room) -> str:
    """A table that is cut, one that is another file, and a good one"""
    sink = io.BytesIO()
    pq.write_table(pa.table({"image": [jpeg(0), jpeg(1)], "text": ["a", "b"]}), sink)
    whole = sink.getvalue()
    room.put({"corpus/a.parquet": whole[:-40], "corpus/b.parquet": b"not a table", "corpus/c.parquet": whole})
    room.job()
    plan = room.plan()
    assert sorted(row["reason"] or "" for row in room.index()) == ["", "", "unreadable_shard", "unreadable_shard"], room.index()
    return accounted(plan)


def parquet_cells(room: Room) -> str:
    """A table with empty cells, keys that are no UTF-8 and keys that come twice"""
    keys_ = pa.array([b"a", b"caf\xe9", None, b"a", b"x\0y"], pa.binary()).view(pa.string())
    sink = io.BytesIO()
    pq.write_table(pa.table({"key": keys_, "image": [jpeg(0), jpeg(1), None, b"", jpeg(2)]}), sink)
    room.put({"corpus/a.parquet": sink.getvalue()})
    room.job()
    plan = room.plan()
    expected = {"000000002": "empty", "a": None, "a#2": "duplicate_key", "caf\u241bE9": None, "x\u241b00y": None}
    assert _reasons(room) == expected, _reasons(room)
    return accounted(plan)


CASES = (
    tar_beside_targz,
    compressed_tar_named_tar,
    tar_dotted_names,
    tar_links,
    tars_joined_to_one,
    tar_with_something_behind,
    tar_cut_in_an_image,
    tar_cut_in_a_header,
    tar_of_one_key_twice,
    tar_of_other_things,
    sparse_member,
    parquet_bad_page,
    parquet_without_a_footer,
    parquet_cells,
)
