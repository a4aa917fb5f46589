"""WordNet's classes of senses in place of our lists of nouns: what precision and recall they would give.

    apt-get install wordnet-base; python -m bench.real_captions --only wordnet --wordnet /usr/share/wordnet --out DIR

Borders, heads and the marks that the surroundings give (quoted, absent, likened, portion, name) stay as they are. A head is asked
of the detector where the first (or any) sense of its last word is of a class that can be seen.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from bench.real_captions.captions import Captions
from bench.real_captions.phrases import Reader, figures_of, readers
from schemas.rows import Phrase

# lexnames(5WN): the files of nouns, by number.
_FILES = (
    "Tops act animal artifact attribute body cognition communication event feeling food group location motive object person phenomenon "
    "plant possession process quantity relation shape state substance time"
).split()
_FIRST_FILE = 3
_SEEN = frozenset("Tops animal artifact body food group object person plant substance".split())
_ALL = ("abstract", "scene", "light", "viewer")
# Marks that WordNet stands for, and how many of a noun's senses may make it a thing.
_REPLACED: Mapping[str, tuple[Collection[str], int | None]] = {
    "abstract_first_sense": (("abstract",), 1),
    "abstract_any_sense": (("abstract",), None),
    "all_lists_first_sense": (_ALL, 1),
    "all_lists_any_sense": (_ALL, None),
}


def wordnet_figures(captions: Captions) -> dict[str, Any]:
    """`wordnet`: for spaCy's phrases, precision and recall with our lists and with WordNet in place of some; null without --wordnet."""
    if captions.wordnet is None:
        return {"wordnet": None, "wordnet_why": "no --wordnet was given"}
    read, classes = readers(captions)["spacy"], _classes(captions.wordnet)
    ways = {"lists": read} | {name: _by_sense(read, classes, *way) for name, way in _REPLACED.items()}
    windows = {"": captions.windows, "_held_out": captions.held_out}
    return {"wordnet": {name + where: figures_of(captions, some, way) for where, some in windows.items() for name, way in ways.items()}}


def _by_sense(read: Reader, classes: Mapping[str, Sequence[str]], replaced: Collection[str], senses: int | None) -> Reader:
    def again(text: str) -> list[Phrase]:
        return [_marked(phrase, classes, senses) if phrase.mark is None or phrase.mark in replaced else phrase for phrase in read(text)]

    return again


def _marked(phrase: Phrase, classes: Mapping[str, Sequence[str]], senses: int | None) -> Phrase:
    word = phrase.head.rpartition("-")[2]
    known = classes.get(phrase.head, classes.get(word, ("artifact",)))  # a word that it does not know is a thing
    return phrase.model_copy(update={"mark": "abstract" if _SEEN.isdisjoint(known[:senses]) else None})


@cache
def _classes(folder: Path) -> Mapping[str, Sequence[str]]:
    """Noun -> the classes of its senses, the commonest first."""
    files = {}
    for line in (folder / "data.noun").read_text(encoding="utf-8").splitlines():
        if not line.startswith(" "):
            offset, number, _ = line.split(" ", 2)
            files[offset] = _FILES[int(number) - _FIRST_FILE]
    lines = (line.split() for line in (folder / "index.noun").read_text(encoding="utf-8").splitlines() if not line.startswith(" "))
    return {parts[0].replace("_", " "): [files[offset] for offset in parts[-int(parts[2]) :]] for parts in lines}
