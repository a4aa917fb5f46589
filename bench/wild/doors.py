"""What lies under corpus.path: links, places that cannot be read, endings that nothing reads."""

from bench.wild.room import Room, accounted, jpeg, tar_bytes


def symlinks(room: Room) -> str:
    """A folder with a link to a file and a link to a folder, both outside of it"""
    room.put({"corpus/a.jpg": jpeg(0), "elsewhere/b.jpg": jpeg(1), "elsewhere/sub/c.jpg": jpeg(2)})
    room.link("corpus/b.jpg", "../elsewhere/b.jpg")
    room.link("corpus/linked", "../elsewhere/sub")
    room.job()
    plan = room.plan()
    assert [row["key"] for row in room.index()] == ["a", "b", "linked/c"], room.index()
    return accounted(plan)


def symlinked_tars(room: Room) -> str:
    """Tars that are links into another folder, as a snapshot of a model hub is laid out"""
    room.put({"blobs/abc": tar_bytes([("1.jpg", jpeg(0))]), "blobs/def": tar_bytes([("2.jpg", jpeg(1))]), "corpus/README": b"-"})
    room.link("corpus/00000.tar", "../blobs/abc")
    room.link("corpus/00001.tar", "../blobs/def")
    room.job()
    plan = room.plan()
    assert [row["key"] for row in room.index()] == ["1", "2"], room.index()
    return accounted(plan)


CASES = (symlinks, symlinked_tars)
