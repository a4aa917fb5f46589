"""Inputs after public reports of webdataset, datasets, img2dataset, Pillow and fsspec, of kinds that the other files have not."""

import io
import json
import struct
import tarfile
import unicodedata
import zlib

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from bench.wild.room import Room, accounted, encoded, jpeg, keys, picture, tar_bytes


def _losses(room: Room) -> dict[str, str | None]:
    return {row["key"]: row["reason"] for row in room.index()}


def _table(**columns: pa.Array) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def tar_of_a_folder(room: Room) -> str:
    """A tar of a whole folder: names that begin with ./, folders as members, capitals, long and foreign names in two dialects"""
    long = "x" * 140
    names = ("./a.JPG", "./a.TXT", "./sub/b.Jpeg", f"./{long}/{long}.jpg", "./sub/\u00fc\u4e2d.jpg")
    members = [(name, b"a red mug" if name.endswith("TXT") else jpeg(number)) for number, name in enumerate(names)]
    for number, kind in enumerate((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT)):
        room.put({f"corpus/{number}.tar": tar_bytes([("./", b""), ("./sub/", b""), *members], format=kind)})
    room.job()
    plan = room.plan()
    rows = room.index()
    assert len(rows) == 8, keys(room)
    assert {row["status"] for row in rows} == {"ok"}, _losses(room)
    assert [row["alt"] for row in rows if row["alt"]] == ["a red mug"] * 2, rows
    return accounted(plan)


def tar_headers_of_old_tools(room: Room) -> str:
    """Headers without the word ustar, sizes in binary, a user number above two million, a time before 1970"""
    plain = bytearray(tar_bytes([("old.jpg", jpeg(0))], format=tarfile.USTAR_FORMAT))
    plain[257:265] = bytes(8)
    plain[148:156] = b" " * 8
    plain[148:156] = b"%06o\0 " % sum(plain[:512])
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.GNU_FORMAT) as tar:
        member = tarfile.TarInfo("new.jpg")
        member.size, member.uid, member.mtime = len(jpeg(1)), 2**33, -5
        tar.addfile(member, io.BytesIO(jpeg(1)))
    room.put({"corpus/a.tar": bytes(plain), "corpus/b.tar": sink.getvalue()})
    room.job()
    plan = room.plan()
    assert _losses(room) == {"old": None, "new": None}, _losses(room)
    return accounted(plan)


def folder_of_another_system(room: Room) -> str:
    """Thumbs.db, desktop.ini, what Windows notes beside a download, names that differ by case or by how an accent is written"""
    composed = unicodedata.normalize("NFC", "caf\u00e9")
    parted = unicodedata.normalize("NFD", composed)
    room.put({"corpus/A.jpg": jpeg(0), "corpus/a.jpg": jpeg(1), "corpus/a.txt": b"a red mug", "corpus/a.jpg:Zone.Identifier": b"[Zone]"})
    room.put({"corpus/Thumbs.db": b"x", "corpus/desktop.ini": b"x", f"corpus/{composed}.jpg": jpeg(2), f"corpus/{parted}.jpg": jpeg(3)})
    room.job()
    plan = room.plan()
    assert keys(room) == sorted(["A", "a", composed, parted]), keys(room)
    assert [row["key"] for row in room.index() if row["alt"]] == ["a"]
    assert plan["left_out"] == {"no_image": 3}, plan["left_out"]
    return accounted(plan)


def table_of_paths(room: Room) -> str:
    """A table of the datasets library whose images are paths without bytes, beside rows that have them"""
    cells = [{"bytes": jpeg(0), "path": "a.jpg"}, {"bytes": None, "path": "b.jpg"}, None]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    room.put({"corpus/a.parquet": _table(image=pa.array(cells, kind))})
    room.job()
    plan = room.plan()
    assert [row["reason"] for row in room.index()] == [None, "empty", "empty"], _losses(room)
    return f"{accounted(plan)}; two fail as empty"


def table_of_lists_of_images(room: Room) -> str:
    """A table with a list of images in each row"""
    kind = pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    room.put({"corpus/a.parquet": _table(images=pa.array([[{"bytes": jpeg(0), "path": None}]], kind))})
    room.job()
    return room.refused("plan", "job.yaml").message


def tables_of_other_writers(room: Room) -> str:
    """Large and viewed binary columns, keys that are numbers, dictionaries and dates, a table without rows"""
    image = [jpeg(0), jpeg(1)]
    room.put({
        "corpus/a.parquet": _table(jpg=pa.array(image, pa.large_binary()), key=pa.array([10**15, 2])),
        "corpus/b.parquet": _table(image=pa.array(image, pa.binary_view()), key=pa.array(["x", "y"]).dictionary_encode()),
        "corpus/c.parquet": _table(image=pa.array([], pa.binary()), key=pa.array([], pa.string())),
        "corpus/d.parquet": _table(image=pa.array(image[:1], pa.binary()), key=pa.array([0], pa.timestamp("us"))),
    })  # fmt: skip
    room.job()
    plan = room.plan()
    assert {row["status"] for row in room.index()} == {"ok"}, _losses(room)
    assert {"1000000000000000", "2", "x", "y"} < set(keys(room)), keys(room)
    return accounted(plan)


def img2dataset_failures(room: Room) -> str:
    """img2dataset's table with downloads that failed, its status and licence up to the export; statistics of zero bytes"""
    states = ["success", "failed_to_download", "failed_to_resize"]
    errors = [None, "HTTP Error 404: Not Found", "image decoding error"]
    table = _table(
        key=pa.array(["000000000", "000000001", "000000002"]), status=pa.array(states), error_message=pa.array(errors),
        url=pa.array(["https://example.org/0"] * 3), license=pa.array(["CC0"] * 3), jpg=pa.array([jpeg(0), None, None]),
    )  # fmt: skip
    room.put(
        {
            "corpus/00000.parquet": table,
            "corpus/00000_stats.json": b"{}",
            "corpus/00001.parquet": table[:40],
            "corpus/00001_stats.json": b"",
        }
    )
    room.job({"path": "corpus", "format": "parquet"})
    room.done("run", "job.yaml", "--json")
    reasons = _losses(room)
    assert [reasons[key] for key in ("000000001", "000000002")] == ["not_downloaded"] * 2, reasons
    rows = [row for path in sorted((room.folder / "dataset").glob("*.parquet")) for row in pq.read_table(path).to_pylist()]
    assert [(row["source_url"], row["licence"], row["source_status"]) for row in rows] == [("https://example.org/0", "CC0", "success")], (
        rows
    )
    return f"one exported with url, licence and status; the others: {reasons}"


def png_chunks(room: Room) -> str:
    """PNGs with a text of 100 MB packed small, a wrong checksum of a text, a profile that ends early, a text behind the pixels"""
    plain = encoded(picture(1), "PNG")
    head, rest = plain[:33], plain[33:]
    bomb = b"comment\0\0" + zlib.compress(bytes(100_000_000), 9)
    chunks = {"bomb": _chunk(b"zTXt", bomb), "checksum": _chunk(b"tEXt", b"a\0b")[:-1] + b"\0", "profile": _chunk(b"iCCP", b"x\0\0abc")}
    room.put({f"corpus/{name}.png": head + chunk + rest for name, chunk in chunks.items()})
    room.put({"corpus/late.png": plain[:-12] + _chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x/>") + plain[-12:], "corpus/good.png": plain})
    room.job(stages=["caption"])
    room.done("run", "job.yaml", "--json")
    rows = {row["key"]: row for row in room.index()}
    assert len(rows) == 5
    assert rows["good"]["status"] == rows["late"]["status"] == "ok"
    assert all(row["status"] == "ok" or row["reason"] for row in rows.values()), rows
    return f"5 images: {_losses(room)}"


def jpegs_of_odd_writers(room: Room) -> str:
    """JPEGs with bytes behind their end, two pictures in one, an orientation that is a word, 0, 9 or a list, a long comment, one pixel"""
    files = {"behind": jpeg(1) + b"\0" * 4000 + jpeg(2), "comment": jpeg(3)[:2] + b"\xff\xfe\xea\x60" + b"x" * 59_998 + jpeg(3)[2:]}
    files["pixel"] = encoded(Image.new("RGB", (1, 1)), "JPEG")
    files["mpo"] = encoded(picture(4), "MPO", save_all=True, append_images=[picture(5)])
    entries = {"word": (2, 4, b"top\0"), "none": (3, 1, bytes(4)), "nine": (3, 1, b"\x09\0\0\0"), "list": (3, 2, b"\6\0\6\0")}
    for name, (kind, count, value) in entries.items():
        exif = b"Exif\0\0II*\0\x08\0\0\0\1\0" + struct.pack("<HHI", 0x112, kind, count) + value + bytes(4)
        files[f"orientation-{name}"] = encoded(picture(6), "JPEG", exif=exif)
    room.put({f"corpus/{name}.jpg": data for name, data in files.items()})
    room.job(stages=["caption"])
    room.done("run", "job.yaml", "--json")
    plan = room.plan()
    assert set(_losses(room).values()) == {None}, _losses(room)
    return accounted(plan)


def wrong_suffixes(room: Room) -> str:
    """A WebP called .jpg, a JPEG called .png, an icon, an SVG and a web page called .jpg, a PDF called .tif"""
    icon = b"\0\0\1\0\1\0\x10\x10\0\0\1\0\x20\0" + struct.pack("<II", 68, 22) + bytes(68)
    files = {
        "webp.jpg": encoded(picture(1), "WEBP"),
        "jpeg.png": jpeg(2),
        "icon.jpg": icon,
        "svg.jpg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    }
    files |= {"page.jpg": b"<html>403</html>", "pdf.tif": b"%PDF-1.7\n"}
    room.put({f"corpus/{name}": data for name, data in files.items()})
    room.job()
    plan = room.plan()
    failed = {key for key, reason in _losses(room).items() if reason}
    assert failed == {"icon", "svg", "page", "pdf"}, _losses(room)
    return f"{accounted(plan)}; four fail as {', '.join(sorted({str(reason) for reason in _losses(room).values() if reason}))}"


def urls_of_local_files(room: Room) -> str:
    """corpus.path and workdir as file:// and local://, with spaces, %20 and a hash in them"""
    room.put({"c %20#x/a.jpg": jpeg(0), "c  #x/b.jpg": jpeg(1)})
    for number, protocol in enumerate(("file", "local")):
        room.job(f"{protocol}://{room.folder}/c %20#x", stages=["caption"], workdir=f"{protocol}://{room.folder}/w {number}%20")
        room.done("run", "job.yaml", "--json")
        assert len([*(room.folder / f"w {number}%20" / "corpus").iterdir()]) == 1
    assert not [path for path in room.folder.iterdir() if path.name.startswith(("file", "local"))]
    return "both read and written as they stand"


def code_points(room: Room) -> str:
    """A PNG of wide primaries by code points, and one in PQ, as screenshots of HDR screens are"""
    from bench.wild.pictures import what_is_sent

    pixels = zlib.compress(b"\0" + bytes((220, 40, 40)) * 8)
    start = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 1, 8, 2, 0, 0, 0))
    files = {f"{name}.png": start + _chunk(b"cICP", points) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")
             for name, points in (("p3", b"\x0c\x0d\0\1"), ("pq", b"\x01\x10\0\1"))}  # fmt: skip
    seen = {name: image.getpixel((1, 0)) for name, image in what_is_sent(room, files).items()}
    # as Chromium 156 shows them; a colour that is brighter than white it compresses as a whole, we each channel
    for name, wanted, at_most in (("p3", (240, 0, 21), 2), ("pq", (255, 2, 2), 8)):
        assert max(abs(a - b) for a, b in zip(seen[name], wanted, strict=True)) <= at_most, seen
    return f"(220, 40, 40) is sent as {seen['p3']} and {seen['pq']}; browsers show (240, 0, 21) and (255, 2, 2)"


def deep_link_into_the_export(room: Room) -> str:
    """A link far below corpus.path that leads into the export, which is not there yet, and one in given rows into the workdir"""
    room.put({"corpus/a/b/c/1.jpg": jpeg(0), "rows/x/rows.jsonl": json.dumps({"key": "a/b/c/1", "long": "A mug."}).encode()})
    room.link("corpus/a/b/c/more", "../../../../dataset/finehard")
    room.job()
    message = room.refused("run", "job.yaml").message
    (room.folder / "corpus/a/b/c/more").unlink()
    room.link("rows/x/deep/more", "../../../work")
    room.job(given={"caption": {"format": "jsonl", "path": "rows"}})
    room.refused("run", "job.yaml")
    assert not (room.folder / "work").exists()
    assert not (room.folder / "dataset").exists()
    return message


def list_written_over_an_image(room: Room) -> str:
    """fgdata hashes with --out among the images, at an image, and at another file"""
    room.put({"corpus/a.jpg": jpeg(0), "mine.txt": b"dear diary"})
    before = room.tree(".")
    for out in ("corpus/list.txt", "corpus/a.jpg", "mine.txt"):
        message = room.refused("hashes", "corpus", "--out", out).message
    assert room.tree(".") == before
    return f"three refused, such as: {message}"


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


CASES = (
    tar_of_a_folder, tar_headers_of_old_tools, folder_of_another_system, table_of_paths, table_of_lists_of_images, tables_of_other_writers,
    img2dataset_failures, png_chunks, jpegs_of_odd_writers, wrong_suffixes, urls_of_local_files, code_points, deep_link_into_the_export,
    list_written_over_an_image,
)  # fmt: skip
