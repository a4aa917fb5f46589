"""The configuration as an input, and places that are read and written: what would overwrite or make a folder of a variable's name."""

import os

from bench.wild.room import Room, jpeg, tar_bytes


def export_to_corpus_folder(room: Room) -> str:
    """export_to is the folder that holds the source tars, named as an export names its own"""
    members = [("000000000.jpg", jpeg(0)), ("000000000.txt", b"red mug"), ("000000001.jpg", jpeg(1))]
    room.put({"data/00000.tar": tar_bytes(members), "data/00000_stats.json": b'{"count":3}'})
    before = room.tree("data")
    room.job("data", export_to="data")
    messages = {word: room.refused(word, "job.yaml").message for word in ("run", "plan", "doctor")}
    assert room.tree("data") == before
    assert not (room.folder / "work").exists()
    return messages["run"].replace(str(room.folder), "...")


def places_that_meet(room: Room) -> str:
    """workdir in, around and at the corpus, through a link, the export in the workdir, a report in the corpus"""
    room.put({"data/images/a.jpg": jpeg(0), "rows/c.jsonl": b'{"key": "a", "long": "A mug."}\n'})
    room.link("linked", "data/images")
    before = room.tree("data")
    layouts = [
        {"corpus": "data/images", "workdir": "data/images/work"},
        {"corpus": "data/images", "workdir": "data"},
        {"corpus": "data/images", "workdir": "data/images"},
        {"corpus": "linked", "workdir": "data/images/work"},
        {"corpus": "data/images", "workdir": "linked/work"},
        {"corpus": "data/*/*.jpg", "workdir": "data/work"},
        {"corpus": "data/images", "export_to": "work/dataset"},
        {"corpus": "data/images", "given": {"caption": {"format": "jsonl", "path": "rows"}}, "export_to": "rows"},
    ]
    for layout in layouts:
        room.job(**layout)
        room.refused("run", "job.yaml")
    room.job("data/images", stages=["caption"])
    room.refused("report", "job.yaml", "--out", "data/images/report")
    assert room.tree("data") == before
    assert not (room.folder / "work").exists()
    return f"{len(layouts) + 1} layouts refused, each in one line, before anything is written"


def export_beside_files_of_another_tool(room: Room) -> str:
    """export_to holds a tar and a card that another tool wrote"""
    room.put({"corpus/a.jpg": jpeg(0), "dataset/00000.tar": tar_bytes([("x.jpg", jpeg(1))]), "dataset/README.md": b"# mine"})
    before = room.tree("dataset")
    room.job()
    message = room.refused("run", "job.yaml").message
    room.refused("plan", "job.yaml")
    assert room.fgdata("doctor", "job.yaml").code == 2
    assert room.tree("dataset") == before
    return message.replace(str(room.folder), "...")


def shards_that_left(room: Room) -> str:
    """A tar that leaves the corpus after it was exported"""
    room.put({f"corpus/{name}.tar": tar_bytes([(f"{name}.jpg", jpeg(number))]) for number, name in enumerate("ab")})
    room.job()
    room.done("run", "job.yaml", "--json")
    (room.folder / "corpus/b.tar").unlink()
    room.done("run", "job.yaml", "--json")
    left = sorted(path.name for path in (room.folder / "dataset").glob("*.tar"))
    assert left == ["00000.tar"], left
    return "its exported shard is removed with it"


def keys_that_stand_twice(room: Room) -> str:
    """workdir twice in one configuration"""
    return _refused(room, lambda text: text + "workdir: other\n")


def variables_that_are_not_set(room: Room) -> str:
    """$UNSET/work and an empty variable before /work"""
    os.environ.pop("FGDATA_WILD_UNSET", None)
    os.environ["FGDATA_WILD_EMPTY"] = ""
    first = _refused(room, lambda text: text.replace("workdir: work", "workdir: $FGDATA_WILD_UNSET/work"))
    second = _refused(room, lambda text: text.replace("workdir: work", "workdir: ${FGDATA_WILD_EMPTY}/work"))
    assert "not set" in first
    assert "is empty" in second
    return second


def odd_places(room: Room) -> str:
    """A list, a number, ~nobody, NUL, white space and 300 letters as workdir"""
    odd = ["[work]", "2024", "~nobody-at-all/work", '"wo\\0rk"', '"  "', "x" * 300]
    messages = [_refused(room, lambda text, place=place: text.replace("workdir: work", f"workdir: {place}")) for place in odd]
    return f"{len(messages)} lines such as: {messages[2]}"


def texts_that_are_no_yaml(room: Room) -> str:
    """A tab, two documents, a date that is none, a list at the top, UTF-16, 2,000 brackets"""
    changes = ["a:\n\tb: c\n", "a: 1\n---\nb: 2\n", "workdir: 2024-13-45\n", "- a\n", "[" * 2000]
    for change in changes:
        _refused(room, lambda _text, change=change: change)
    room.put({"job.yaml": "workdir: work\n".encode("utf-16")})
    room.refused("run", "job.yaml")
    return f"{len(changes) + 1} texts, each refused in one line"


def _refused(room: Room, change: object) -> str:
    """What a run says to the changed configuration; it must write nothing."""
    assert callable(change)
    room.put({"corpus/a.jpg": jpeg(0)})
    path = room.job()
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    before = sorted(room.folder.rglob("*"))
    message = room.refused("run", "job.yaml").message
    assert sorted(room.folder.rglob("*")) == before, "something was written"
    return message.replace(str(room.folder), "...")


CASES = (
    export_to_corpus_folder,
    places_that_meet,
    export_beside_files_of_another_tool,
    shards_that_left,
    keys_that_stand_twice,
    variables_that_are_not_set,
    odd_places,
    texts_that_are_no_yaml,
)
