"""How names of files and members are read: which are images, which lie beside one, and what their key is. Opens nothing."""

IMAGE_SUFFIXES = frozenset(("jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "tif", "tiff", "jp2", "avif", "ppm", "pgm", "pbm"))
SIDECAR_SUFFIXES = frozenset(("json", "txt"))


def suffix_of(path: str) -> str:
    """What follows the last dot of the name, lower case; nothing where the name begins with that dot."""
    stem, _, suffix = path.rpartition("/")[2].rpartition(".")
    return suffix.lower() if stem else ""


def split_key(member: str) -> tuple[str, str] | None:
    """Key and suffix of a tar member as WebDataset splits them: at the first dot of its name; None for hidden or dotless names."""
    folder, slash, name = member.rpartition("/")
    stem, dot, suffix = name.partition(".")
    if not stem or not dot:
        return None
    return f"{folder}{slash}{stem}", suffix.lower()
