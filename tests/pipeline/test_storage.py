import threading
from pathlib import Path

import pytest

from pipeline.storage import Storage, StorageError


@pytest.fixture(params=["local", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "local":
        return Storage(str(tmp_path / "root"))
    return Storage(f"{request.getfixturevalue('s3_bucket')}/{tmp_path.name}")


def test_what_was_written_is_read_back_and_listed(storage: Storage) -> None:
    storage.write("a/one.bin", b"one")
    storage.write("a/b/two.bin", b"two")
    assert storage.read("a/one.bin") == b"one"
    assert [entry.path for entry in storage.files("a")] == ["a/one.bin"]
    assert [(entry.path, entry.size_bytes) for entry in storage.walk()] == [("a/b/two.bin", 3), ("a/one.bin", 3)]
    assert storage.folders("a") == ["b"]
    assert not storage.files("nowhere") + storage.walk("nowhere")
    assert not storage.folders("nowhere")


def test_a_new_content_has_a_new_version_and_the_same_listing_the_same(storage: Storage) -> None:
    storage.write("x", b"first")
    before = storage.walk()[0].version
    assert storage.walk()[0].version == before
    storage.write("x", b"again")
    assert storage.walk()[0].version != before


def test_of_many_writers_if_absent_one_wins_and_its_content_stays(storage: Storage) -> None:
    won: list[int] = []

    def write(number: int) -> None:
        if storage.write_if_absent("blocks/0.json", str(number).encode()):
            won.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert storage.read("blocks/0.json") == str(won[0]).encode()
    assert [entry.path for entry in storage.walk()] == ["blocks/0.json"]


def test_a_reader_never_sees_a_part_of_a_write(storage: Storage) -> None:
    contents = [bytes([number]) * 200_000 for number in range(4)]
    storage.write("table", contents[0])
    seen: set[bytes] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(storage.read("table"))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(5):
        for content in contents:
            storage.write("table", content)
    done.set()
    reader.join()
    assert seen
    assert seen <= set(contents)


def test_ranges_and_many_files_come_in_the_order_asked_for(storage: Storage) -> None:
    storage.write("x", bytes(range(100)))
    storage.write("y", b"why")
    assert storage.read_ranges("x", [(90, 95), (0, 3), (98, 100)]) == [bytes(range(90, 95)), bytes(range(3)), bytes([98, 99])]
    assert storage.read_many(["y", "gone", "x"]) == [b"why", None, bytes(range(100))]
    assert storage.read_many([]) == []


def test_a_file_that_is_not_there_says_so(storage: Storage) -> None:
    with pytest.raises(FileNotFoundError):
        storage.read("nothing")
    with pytest.raises(FileNotFoundError):
        storage.read_ranges("nothing", [(0, 1)])


def test_an_unknown_protocol_is_named() -> None:
    with pytest.raises(StorageError, match="nope"):
        Storage("nope://bucket/x")
