"""What lies under corpus.path: links, places that cannot be read, endings that nothing reads, hidden files."""

import os
from pathlib import Path

from bench.wild.room import Room, accounted, jpeg, keys, tar_bytes


def symlinks(room: Room) -> str:
    """A folder with a link to a file and a link to a folder, both outside of it"""
    room.put({"corpus/a.jpg": jpeg(0), "elsewhere/b.jpg": jpeg(1), "elsewhere/sub/c.jpg": jpeg(2)})
    room.link("corpus/b.jpg", "../elsewhere/b.jpg")
    room.link("corpus/linked", "../elsewhere/sub")
    room.job()
    plan = room.plan()
    assert keys(room) == ["a", "b", "linked/c"], keys(room)
    return accounted(plan)


def symlinked_tars(room: Room) -> str:
    """Tars that are links into another folder, as a snapshot of a model hub is laid out"""
    room.put({"blobs/abc": tar_bytes([("1.jpg", jpeg(0))]), "blobs/def": tar_bytes([("2.jpg", jpeg(1))]), "corpus/README": b"-"})
    room.link("corpus/00000.tar", "../blobs/abc")
    room.link("corpus/00001.tar", "../blobs/def")
    room.job()
    plan = room.plan()
    assert keys(room) == ["1", "2"], keys(room)
    return accounted(plan)


def link_in_a_circle(room: Room) -> str:
    """Links to the folder itself, to a folder above it, and two folders that lead to each other"""
    room.put({"data/corpus/a.jpg": jpeg(0), "data/corpus/x/b.jpg": jpeg(1), "data/corpus/y/c.jpg": jpeg(2)})
    for name, target in (("self", "."), ("up", ".."), ("x/y", "../y"), ("y/x", "../x")):
        room.link(f"data/corpus/{name}", target)
    room.job("data/corpus")
    plan = room.plan()
    assert keys(room) == ["a", "x/b", "y/c"], keys(room)
    assert plan["left_out"] == {"link_again": 4}, plan["left_out"]
    return accounted(plan)


def link_to_nothing(room: Room) -> str:
    """A link whose target has gone, and one to itself"""
    room.put({"corpus/a.jpg": jpeg(0)})
    room.link("corpus/b.jpg", "../gone.jpg")
    room.link("corpus/c.jpg", "c.jpg")
    room.job()
    plan = room.plan()
    assert plan["left_out"] == {"dangling_link": 2}, plan["left_out"]
    return accounted(plan)


def corpus_that_is_a_link(room: Room) -> str:
    """corpus.path itself is a link to the folder"""
    room.put({"disk/a.jpg": jpeg(0), "disk/a.txt": b"a red mug"})
    room.link("corpus", "disk")
    room.job()
    plan = room.plan()
    assert [row["alt"] for row in room.index()] == ["a red mug"]
    return accounted(plan)


def locked_folder(room: Room) -> str:
    """A folder below that may not be read"""
    room.put({"corpus/a.jpg": jpeg(0), "corpus/locked/b.jpg": jpeg(1)})
    Path("corpus/locked").chmod(0)
    room.job()
    with room.as_nobody():
        message = room.refused("plan", "job.yaml").message
    assert "locked" in message, message
    return message


def locked_file(room: Room) -> str:
    """An image file that may not be read"""
    room.put({"corpus/a.jpg": jpeg(0), "corpus/b.jpg": jpeg(1)})
    Path("corpus/b.jpg").chmod(0)
    room.job()
    with room.as_nobody():
        message = room.refused("plan", "job.yaml").message
    assert "b.jpg" in message, message
    return message


def folder_heic(room: Room) -> str:
    """A picture of a format without a decoder, and one that a browser saved under another ending"""
    room.put({"corpus/a.jpg": jpeg(0), "corpus/b.cr2": b"II*\0" + b"x" * 50, "corpus/e.jpg_large": jpeg(2)})
    room.job()
    plan = room.plan()
    assert plan["left_out"] == {"no_decoder": 1, "no_image": 1}, plan["left_out"]
    return accounted(plan)


def hidden_files(room: Room) -> str:
    """Hidden files and folders, and what a Mac leaves in archives"""
    hidden = (".DS_Store", ".git/objects/x.jpg", "__MACOSX/a.jpg", "sub/._b.jpg", ".~lock.jpg")
    room.put({"corpus/a.jpg": jpeg(0), **{f"corpus/{name}": b"-" for name in hidden}})
    room.job()
    plan = room.plan()
    assert plan["left_out"] == {"hidden": 5}, plan["left_out"]
    return accounted(plan)


def pipes_and_sockets(room: Room) -> str:
    """A named pipe with an image's name"""
    room.put({"corpus/a.jpg": jpeg(0)})
    os.mkfifo("corpus/b.jpg")
    room.job()
    plan = room.plan()
    assert plan["left_out"] == {"no_file": 1}, plan["left_out"]
    return accounted(plan)


def lone_sidecars(room: Room) -> str:
    """Captions whose image is missing, beside others whose image is there"""
    room.put({"corpus/a.jpg": jpeg(0), "corpus/a.txt": b"a", "corpus/b.txt": b"b", "corpus/c.json": b"{}"})
    room.job()
    plan = room.plan()
    assert (plan["sidecars"], plan["left_out"]) == (1, {"lone_sidecar": 2}), plan
    return accounted(plan)


def empty_image_files(room: Room) -> str:
    """Files of zero bytes, and a text that calls itself an image"""
    room.put({"corpus/a.jpg": jpeg(0), "corpus/b.jpg": b"", "corpus/c.png": b"<html>404</html>"})
    room.job()
    plan = room.plan()
    reasons = {row["key"]: row["reason"] for row in room.index()}
    assert reasons == {"a": None, "b": "empty", "c": "unreadable"}, reasons
    return f"{accounted(plan)}; b empty, c unreadable"


def two_images_of_one_key(room: Room) -> str:
    """a.jpg and a.png side by side, with one caption"""
    room.put({"corpus/a.jpg": jpeg(0), "corpus/a.png": jpeg(1), "corpus/a.txt": b"which?"})
    room.job()
    plan = room.plan()
    assert [(row["key"], row["reason"]) for row in room.index()] == [("a", None), ("a#2", "duplicate_key")], room.index()
    return f"{accounted(plan)}; the second fails as duplicate_key"


def mixed_formats(room: Room) -> str:
    """Tars and loose images in one folder"""
    room.put({"corpus/a.tar": tar_bytes([("1.jpg", jpeg(0))]), "corpus/b.jpg": jpeg(1)})
    room.job()
    message = room.refused("plan", "job.yaml").message
    assert "set corpus.format" in message, message
    room.job({"path": "corpus", "format": "webdataset"})
    plan = room.plan()
    assert plan["left_out"] == {"other_format": 1}, plan["left_out"]
    return f"refused: {message[-60:]}; once it is set: {accounted(plan)}"


def nothing_to_read(room: Room) -> str:
    """A folder of archives and raw photographs alone"""
    room.put({"corpus/a.zip": b"PK", "corpus/b.nef": b"MM"})
    room.job()
    message = room.refused("plan", "job.yaml").message
    assert "no tars, Parquet or image files" in message, message
    return message


def img2dataset_still_writing(room: Room) -> str:
    """img2dataset's folder with a finished shard, its table, and one that is still being written"""
    room.put({"corpus/00000.tar": tar_bytes([("1.jpg", jpeg(0))]), "corpus/00001.tar": tar_bytes([("2.jpg", jpeg(1))])})
    room.put({"corpus/00000_stats.json": b"{}", "corpus/00000.parquet": b"PAR1", "corpus/00001.parquet": b"PA"})
    room.job()
    plan = room.plan()
    assert plan["left_out"] == {"metadata": 2, "unfinished": 1, "other_format": 1}, plan["left_out"]
    return accounted(plan)


CASES = (
    symlinks,
    symlinked_tars,
    link_in_a_circle,
    link_to_nothing,
    corpus_that_is_a_link,
    locked_folder,
    locked_file,
    folder_heic,
    hidden_files,
    pipes_and_sockets,
    lone_sidecars,
    empty_image_files,
    two_images_of_one_key,
    mixed_formats,
    nothing_to_read,
    img2dataset_still_writing,
)
