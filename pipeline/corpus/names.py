"""How names of files and members are read: which are images, which lie beside one, and what their key is. Opens nothing."""

import re

from schemas.pixels import has_heif_reader

_HEIF_SUFFIXES = ("heic", "heif", "hif") if has_heif_reader() else ()
IMAGE_SUFFIXES = frozenset(
    ("jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "tif", "tiff", "jp2", "avif", "ppm", "pgm", "pbm", *_HEIF_SUFFIXES)
)
SIDECAR_SUFFIXES = frozenset(("json", "txt"))
# Pictures, raw photographs and drawings that no reader here opens.
UNREAD_SUFFIXES = frozenset(
    (
        "heic", "heif", "hif", "jxl", "cr2", "cr3", "nef", "arw", "dng", "raf", "orf", "rw2", "raw", "psd", "svg", "eps", "ai", "tga",
        "exr", "hdr", "dds", "ico", "icns", "j2k", "jpx", "pcx", "qoi", "xcf", "wmf", "emf", "dcm",
    )
)  # fmt: skip
ARCHIVE_ENDINGS = (
    *(f".tar.{end}" for end in ("gz", "zst", "bz2", "xz", "lz4")),
    *(".tgz", ".tbz", ".txz", ".zip", ".7z", ".rar", ".gz", ".zst", ".bz2", ".xz", ".lz4"),
)


def ending_of(path: str) -> str:
    """How a name ends, as a list of files calls it: `.tar.gz`, `.md`; empty without a dot."""
    lower = path.lower()
    archive = next((ending for ending in ARCHIVE_ENDINGS if lower.endswith(ending)), None)
    suffix = suffix_of(path)
    return archive or (f".{suffix}" if suffix and len(suffix) <= 16 else "")


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


def split_member(member: str) -> tuple[str, str] | None:
    """As `split_key`, but a name with dots that WebDataset would cut in its middle (`shot 2.0 (clean).jpg`) keeps its whole stem.

    `1.seg.png` stays a field `seg.png` of the sample 1.
    """
    names = split_key(member)
    if names is None or "." not in names[1]:
        return names
    stem, _, suffix = member.rpartition(".")
    field = names[1].rpartition(".")[0]
    is_field = re.fullmatch(r"[a-z_][a-z0-9_-]*(\.[a-z_][a-z0-9_-]*)*", field) is not None
    return names if is_field else (stem, suffix.lower())


def why_no_image(path: str) -> str:
    """The reason for which a file of another kind is left out: a word of `account.REASONS`."""
    name = path.rpartition("/")[2]
    suffix = suffix_of(path)
    if name.startswith("."):
        return "hidden"
    if name.lower().endswith(ARCHIVE_ENDINGS):
        return "compressed"
    if suffix in UNREAD_SUFFIXES:
        return "no_decoder"
    return "other_field" if suffix in IMAGE_SUFFIXES | SIDECAR_SUFFIXES else "no_image"
