"""Names and places: what UTF-8 cannot hold, signs of patterns and of chains, keys of S3, protocols that name no versions."""

import contextlib
import io
import os
import tarfile
from collections.abc import Iterator, Mapping
from typing import Any

from bench.wild.room import Room, accounted, jpeg, keys, tar_bytes


def bracketed_path(room: Room) -> str:
    """corpus.path is a file with brackets in its name; beside it one that a pattern would name"""
    room.put({"shard[0].tar": tar_bytes([("1.jpg", jpeg(0))]), "shard0.tar": tar_bytes([("2.jpg", jpeg(1))])})
    room.job("shard[0].tar")
    plan = room.plan()
    assert keys(room) == ["1"], keys(room)
    return accounted(plan)


def bracketed_folder_and_pattern(room: Room) -> str:
    """A folder with brackets and braces in its name, with a pattern below it"""
    room.put({"data [v1] {x}/0.tar": tar_bytes([("1.jpg", jpeg(0))]), "data v/0.tar": tar_bytes([("2.jpg", jpeg(1))])})
    room.job("data [v1] {x}/*.tar")
    plan = room.plan()
    assert keys(room) == ["1"], keys(room)
    return accounted(plan)


def signs_in_names(room: Room) -> str:
    """Names with ::, #, ?, %41, *, a backslash, quotes, a leading dash and a trailing space"""
    names = ("a::b", "h#1", "q?x", "%41", "st*r", "back\\slash", "'\"", "-rf", "end ", "emoji \U0001f600", "~", "{0..3}")
    room.put({f"corp::us/{name}.jpg": jpeg(n) for n, name in enumerate(names)})
    room.job("corp::us")
    plan = room.plan()
    assert keys(room) == sorted(names), keys(room)
    room.done("run", "job.yaml", "--until", "caption")
    assert {row["status"] for row in room.rows("caption")} == {"ok"}
    return f"{accounted(plan)}; all captioned"


def name_not_utf8(room: Room) -> str:
    """A tar with a member's name in Latin-1, one with a line break, and one that looks like an escape"""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.GNU_FORMAT, encoding="utf-8", errors="surrogateescape") as tar:
        for number, name in enumerate((b"ok", b"caf\xe9", b"two\nlines", "caf\u241bE9".encode())):
            member = tarfile.TarInfo(os.fsdecode(name) + ".jpg")
            member.size = len(jpeg(number))
            tar.addfile(member, io.BytesIO(jpeg(number)))
    room.put({"corpus/a.tar": sink.getvalue()})
    room.job()
    plan = room.plan()
    assert keys(room) == ["caf\u241bE2\u241b90\u241b9BE9", "caf\u241bE9", "ok", "two\u241b0Alines"], keys(room)
    return f"{accounted(plan)}; {', '.join(keys(room))}"


def name_not_utf8_folder(room: Room) -> str:
    """Files and a folder with names that are no UTF-8, with captions; the whole line and the export"""
    for number, name in enumerate((b"ok.jpg", b"caf\xe9.jpg", b"d\xff/x.jpg")):
        room.put({os.fsdecode(b"corpus/" + name): jpeg(number), os.fsdecode(b"corpus/" + name[:-3] + b"txt"): b"a red mug"})
    config = room.job()
    before = room.tree("corpus")
    plan = room.plan()
    assert keys(room) == ["caf\u241bE9", "d\u241bFF/x", "ok"], keys(room)
    assert {row["alt"] for row in room.index()} == {"a red mug"}
    room.done("run", str(config))
    assert len(room.rows("export")) == 3, room.rows("export")
    assert {row["status"] for row in room.rows("export")} == {"ok"}, room.rows("export")
    assert room.tree("corpus") == before, "the corpus was written to"
    assert "nothing to be done" in room.done("run", str(config)).out
    return f"{accounted(plan)}; three exported, nothing pending"


def long_names_and_deep_folders(room: Room) -> str:
    """A name of 250 bytes and a file 40 folders down"""
    room.put({f"corpus/{'x' * 246}.jpg": jpeg(0), f"corpus/{'/'.join('d' * 40)}/y.jpg": jpeg(1)})
    room.job()
    return accounted(room.plan())


def unknown_protocols(room: Room) -> str:
    """corpus.path under http, ftp, and a protocol that nobody knows"""
    message = ""
    for path in ("https://example.org/images", "ftp://example.org/images", "s4://bucket/images"):
        room.job(path)
        message = room.refused("plan", "job.yaml").message
        assert path in message, message
    return message


def path_of_one_image(room: Room) -> str:
    """corpus.path is a single image, with its caption and other images beside it"""
    room.put({"c/a b.jpg": jpeg(0), "c/a b.txt": b"a red mug", "c/other.jpg": jpeg(1)})
    room.job("c/a b.jpg")
    plan = room.plan()
    assert [(row["key"], row["alt"]) for row in room.index()] == [("a b", "a red mug")]
    return accounted(plan)


def s3_double_slash(room: Room) -> str:
    """S3 keys with //, +, spaces, ?, #, %20, brackets and stars, and the mark of a folder"""
    names = ("a+b.jpg", "a b.jpg", "a%20b.jpg", "q?x.jpg", "h#1.jpg", "br[1].jpg", "\u00fc/\u00e9.jpg", "st*r.jpg", "/x.jpg", "/y//z.jpg")
    with _bucket({f"plus/{name}": jpeg(n) for n, name in enumerate(names)} | {"plus/dir/": b"", "plus-old/o.jpg": jpeg(11)}):
        room.job("s3://bkt/plus")
        plan = room.plan()
    assert keys(room) == sorted(name.removesuffix(".jpg") for name in names), keys(room)
    return accounted(plan)


def s3_paths(room: Room) -> str:
    """corpus.path with brackets, ::, =, @, +, three slashes at its end, and one that names a single image"""
    pairs = {
        "data [v1]/p.jpg": "data [v1]/", "2024-01::x/k.jpg": "2024-01::x", "run=1,x@y/e.jpg": "run=1,x@y", "new/n.jpg": "new///",
        "one+1.tar": "one+1.tar", "one/a b.jpg": "one/a b.jpg", "sh [1]/0.tar": "sh [1]/{0..3}.tar",
    }  # fmt: skip
    with _bucket({key: tar_bytes([("1.jpg", jpeg(0))]) if key.endswith("tar") else jpeg(1) for key in pairs} | {"one/b.jpg": jpeg(2)}):
        for number, path in enumerate(pairs.values()):
            room.job(f"s3://bkt/{path}", workdir=f"work{number}")
            plan = room.plan()
            assert plan["images"] == 1, (path, plan)
        room.job("s3://bkt/nope", workdir="none")
        message = room.refused("plan", "job.yaml").message
    return f"{len(pairs)} paths, one image each; of one that is not there: {message}"


@contextlib.contextmanager
def _bucket(objects: Mapping[str, bytes]) -> Iterator[None]:
    """A bucket `bkt` of a local server that speaks S3."""
    import logging

    import boto3
    import fsspec
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(port=0)
    server.start()
    _, port = server.get_host_and_port()
    given = {
        "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }  # fmt: skip
    before: dict[str, Any] = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        client = boto3.client("s3")
        client.create_bucket(Bucket="bkt")
        for key, body in objects.items():
            client.put_object(Bucket="bkt", Key=key, Body=body)
        yield
    finally:
        server.stop()
        fsspec.get_filesystem_class("s3").clear_instance_cache()  # the next server has another port
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


CASES = (
    bracketed_path,
    bracketed_folder_and_pattern,
    signs_in_names,
    name_not_utf8,
    name_not_utf8_folder,
    long_names_and_deep_folders,
    unknown_protocols,
    path_of_one_image,
    s3_double_slash,
    s3_paths,
)
