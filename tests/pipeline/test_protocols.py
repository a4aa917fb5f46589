"""Remote file systems, each by a stand-in whose listing says what the real one's says: a version that follows the bytes, or a refusal."""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry
from fsspec.spec import AbstractFileSystem

from pipeline.corpus.params import CorpusParams
from pipeline.corpus.update import read_rows, update_index
from pipeline.storage import Storage, StorageError
from tests.support.pictures import png


def _google(data: bytes) -> dict[str, Any]:
    return {"etag": "constant", "md5Hash": hashlib.md5(data).hexdigest(), "updated": "2026-01-01"}


def _azure(data: bytes) -> dict[str, Any]:
    return {"etag": f'"0x{hashlib.md5(data).hexdigest()[:12]}"', "last_modified": None}


def _hugging_face(data: bytes) -> dict[str, Any]:
    return {"blob_id": hashlib.sha1(data).hexdigest(), "lfs": None, "last_commit": None}


def _stand_in(name: str, facts: Callable[[bytes], dict[str, Any]]) -> type[MemoryFileSystem]:
    class StandIn(MemoryFileSystem):
        protocol = name
        store: dict[str, Any] = {}
        pseudo_dirs = [""]
        cachable = False

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return "/" + path.removeprefix(f"{name}://").strip("/")

        def ls(self, path: str, detail: bool = True, **options: Any) -> list[Any]:
            entries = super().ls(path, detail=True, **options)
            entries = [
                {key: each[key] for key in ("name", "size", "type")}
                | (facts(self.cat_file(each["name"])) if each["type"] == "file" else {})
                for each in entries
            ]
            return entries if detail else [each["name"] for each in entries]

        def find(self, path: str, **options: Any) -> Any:
            return AbstractFileSystem.find(self, path, **options)

        def info(self, path: str, **options: Any) -> dict[str, Any]:
            described = {key: value for key, value in super().info(path, **options).items() if key != "created"}
            return described if described["type"] != "file" else described | facts(self.cat_file(path))

    return StandIn


@pytest.fixture
def register() -> Iterator[Callable[[str, Callable[[bytes], dict[str, Any]]], MemoryFileSystem]]:
    names: list[str] = []

    def enter(name: str, facts: Callable[[bytes], dict[str, Any]]) -> MemoryFileSystem:
        kind = _stand_in(name, facts)
        fsspec.register_implementation(name, kind, clobber=True)
        names.append(name)
        return kind()

    yield enter
    for name in names:
        _registry.pop(name, None)


@pytest.mark.parametrize(("protocol", "facts"), [("gs", _google), ("az", _azure), ("hf", _hugging_face)])
def test_a_version_changes_with_the_bytes_and_with_nothing_else(register: Any, tmp_path: Any, protocol: str, facts: Any) -> None:
    remote = register(protocol, facts)
    for number in range(3):
        remote.pipe_file(f"/bucket/c::1/{number} [a].png", png(number))
    params = CorpusParams(path=f"{protocol}://bucket/c::1", unit_size=1)
    workdir = Storage(str(tmp_path / "work"))
    before = update_index(params, workdir)
    assert [read_rows(workdir, unit)[0].key for unit in before] == ["0 [a]", "1 [a]", "2 [a]"]
    versions = [entry.version for entry in Storage(params.path).walk()]
    remote.pipe_file("/bucket/c::1/0 [a].png", png(0))
    assert [entry.version for entry in Storage(params.path).walk()] == versions
    assert update_index(params, workdir) == before, "the same bytes written again"
    remote.pipe_file("/bucket/c::1/1 [a].png", png(7))
    after = update_index(params, workdir)
    assert [new == old for new, old in zip(after, before, strict=True)] == [True, False, True]


@pytest.mark.parametrize("protocol", ["gs", "az", "hf"])
def test_a_listing_without_versions_is_refused(register: Any, protocol: str) -> None:
    remote = register(protocol, lambda _: {})
    remote.pipe_file("/bucket/a.png", png(1))
    with pytest.raises(StorageError, match=r"names no version of .*a\.png: copy the files"):
        Storage(f"{protocol}://bucket").walk()


@pytest.mark.parametrize("url", ["http://host/a", "ftp://host/a", "s3x://bucket/a", "reference://x", "zip://a.zip"])
def test_an_unknown_protocol_is_refused(url: str) -> None:
    with pytest.raises(StorageError, match=r":// is not read, because its listings name no versions: use a local path, s3://"):
        Storage(url)


def test_a_name_that_is_no_text_is_written_reversibly_and_opens_its_file(tmp_path: Any) -> None:
    import os

    for number, name in enumerate([b"caf\xe9.bin", b"a\nb.bin", "caf\u241bE9.bin".encode(), "caf\u00e9.bin".encode()]):
        (tmp_path / os.fsdecode(name)).write_bytes(bytes([number]))
    storage = Storage(str(tmp_path))
    contents = {entry.path: storage.read(entry.path) for entry in storage.walk()}
    assert contents == {
        "caf\u241bE9.bin": b"\0", "a\u241b0Ab.bin": b"\1", "caf\u241bE2\u241b90\u241b9BE9.bin": b"\2", "caf\u00e9.bin": b"\3",
    }  # fmt: skip
