"""What a user is told where a root cannot be read or written: root, operation, cause, in one line."""

import errno
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.corpus.discover import discover
from pipeline.corpus.params import CorpusParams
from pipeline.storage import Storage
from pipeline.storage_errors import FileGone, StorageFailure, failure, in_one_line
from tests.support.pictures import png, write

_WITH_LITTLE_ROOM = """
import resource, sys
from pipeline.storage import Storage
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    Storage(sys.argv[1]).write("a/b", b"x" * 5000)
except OSError as error:
    print(error)
"""


def test_a_full_disk_is_named_and_gets_its_room_back(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _WITH_LITTLE_ROOM, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{tmp_path}: cannot write a/b: it is full (")
    assert "\n" not in done.stdout.strip()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("number", "cause"),
    [(errno.EROFS, "no right to do so"), (errno.EDQUOT, "it is full"), (errno.ESTALE, "it is gone"), (errno.EIO, "it failed")],
)
def test_the_cause_of_a_failed_rename_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, cause: str) -> None:
    def fails(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    storage = Storage(str(tmp_path))
    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(StorageFailure, match=cause) as raised:
        storage.write("caption/one", b"x")
    assert raised.value.errno == number
    assert str(raised.value).startswith(f"{tmp_path}: cannot write caption/one: ")


@pytest.mark.parametrize("look", ["exists", "is_file", "walk"])
def test_a_disk_that_cannot_say_what_is_there_is_not_taken_for_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look: str
) -> None:
    storage = Storage(str(tmp_path))
    storage.write("a/b/one", b"x")
    stat, scandir = os.stat, os.scandir

    def fails(path: Any, *args: Any, **options: Any) -> Any:
        if str(path).rstrip("/").endswith("/b"):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return scandir(path) if not args and not options and look == "walk" else stat(path, *args, **options)

    monkeypatch.setattr(os, "scandir" if look == "walk" else "stat", fails)
    with pytest.raises(StorageFailure, match=rf"{tmp_path}: cannot (look for|list).*it failed"):
        getattr(storage, look)(*([] if look == "walk" else ["a/b"]))


def test_a_corpus_on_a_failing_disk_is_not_taken_for_a_smaller_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"deep/one.png": png(1)})
    scandir = os.scandir

    def fails(path: Any) -> Any:
        if str(path).endswith("deep"):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", fails)
    with pytest.raises(StorageFailure, match=rf"{tmp_path}: cannot list deep: it failed"):
        discover(CorpusParams(path=str(tmp_path)))


def test_what_is_gone_stays_a_file_that_is_not_there(tmp_path: Path, s3_bucket: str) -> None:
    for root in (str(tmp_path), f"{s3_bucket}-that-never-was"):
        with pytest.raises(FileNotFoundError, match=r"cannot read x: it is gone or cannot be reached") as raised:
            Storage(root).read("x")
        assert root in str(raised.value)
        assert isinstance(pickle.loads(pickle.dumps(raised.value)), FileGone)
        assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)


def test_credentials_are_told_from_rights() -> None:
    exceptions = pytest.importorskip("botocore.exceptions")
    for code, cause in (("ExpiredToken", "the credentials"), ("InvalidAccessKeyId", "the credentials"), ("AccessDenied", "no right")):
        error = PermissionError("Forbidden")
        error.__cause__ = exceptions.ClientError({"Error": {"Code": code, "Message": "no"}}, "PutObject")
        assert cause in str(failure("s3://bucket/work", "write", "a", error))
    assert "the credentials" in str(failure("s3://bucket/work", "write", "a", exceptions.NoCredentialsError()))
    away = exceptions.EndpointConnectionError(endpoint_url="http://127.0.0.1:9")
    assert "cannot be reached" in str(failure("s3://bucket/work", "list", "", away))


def test_an_error_from_a_worker_is_told_by_its_cause() -> None:
    class FromWorker(OSError):
        cause = failure("s3://bucket/work", "write", "a", OSError(errno.ENOSPC, "No space left on device"))

        def __str__(self) -> str:
            return "Traceback ...\n" * 40

    assert in_one_line(FromWorker()) == str(FromWorker.cause)
