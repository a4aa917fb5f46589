"""The literal table of corpus formats: what `corpus.format` may say, whose files these are, and which module reads them.

Data alone, because the configuration takes the names from here: it imports no format.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.corpus.names import IMAGE_SUFFIXES, suffix_of


@dataclass(frozen=True)
class Format:
    """One corpus format. Its functions are the `READER` of its module."""

    name: str
    module: str
    suffixes: frozenset[str]  # of its files, lower case; no two formats share one, so the path of an index row names its format
    noun: str  # its files, as messages call them
    wanted: str  # what one of its files is called
    # Whether a shard is a group of files that come and go. Its id is then of its place alone, its units are named by what
    # their members hold, and files that are as they were are not read again.
    grows: bool = False
    is_guessed: bool = True  # whether `auto` may choose it
    metadata_of: frozenset[str] = frozenset()  # formats beside which its files hold no images
    compressed: tuple[str, ...] = ()  # endings of compressed files, which cannot be read by range
    about: str = ""  # what the description of `corpus.format` says of it alone

    def owns(self, path: str) -> bool:
        """Whether a file of this path is one of the format's."""
        return suffix_of(path) in self.suffixes


def tabled(formats: Iterable[Format]) -> dict[str, Format]:
    """The formats by name.

    Raises: ValueError where two share a name or a suffix.
    """
    table: dict[str, Format] = {}
    for row in formats:
        taken = [other.name for other in table.values() if other.name == row.name or other.suffixes & row.suffixes]
        if taken:
            raise ValueError(f"corpus format {row.name}: its name or a suffix is that of {taken[0]}")
        table[row.name] = row
    return table


FORMATS = tabled(
    (
        Format(
            name="webdataset",
            module="pipeline.corpus.formats.tar",
            suffixes=frozenset({"tar"}),
            noun="tars",
            wanted="*.tar",
            compressed=(".tar.gz", ".tgz", ".tar.zst", ".tar.bz2", ".tar.xz"),
        ),
        Format(
            name="parquet",
            module="pipeline.corpus.formats.parquet",
            suffixes=frozenset({"parquet"}),
            noun="Parquet",
            wanted="*.parquet",
            metadata_of=frozenset({"webdataset"}),
        ),
        Format(
            name="folder",
            module="pipeline.corpus.formats.folder",
            suffixes=IMAGE_SUFFIXES,
            noun="image files",
            wanted=f"image file ({', '.join(sorted(IMAGE_SUFFIXES))})",
            grows=True,
        ),
        Format(
            name="text",
            module="pipeline.corpus.formats.text",
            suffixes=frozenset({"jsonl"}),
            noun="JSON lines",
            wanted="*.jsonl",
            is_guessed=False,
            about="no pixels are at hand; a line of a .jsonl file names an image by `key` (or `key_column`) and may hold its alt text "
            "(`alt_field`), `width` and `height`.",
        ),
    )
)

GUESSED = tuple(row for row in FORMATS.values() if row.is_guessed)
# What corpus.format may say, in the order of messages: auto and img2dataset are no formats, they choose one that is guessed.
CHOICES = ("auto", *(row.name for row in GUESSED), "img2dataset", *(row.name for row in FORMATS.values() if not row.is_guessed))
assert len(CHOICES) == len(set(CHOICES)), "a corpus format is named as a rule is"


def format_of(path: str) -> Format:
    """The format of a shard's file or of an index row, by its `path`.

    Raises: ValueError where no format has files of this suffix.
    """
    suffix = suffix_of(path)
    for row in FORMATS.values():
        if suffix in row.suffixes:
            return row
    raise ValueError(f"{path}: no corpus format has files that end in .{suffix}")
