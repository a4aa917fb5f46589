"""Negatives that boxes prove, without a model: another place, another count. Texts, spans and boxes; no engine, no pixels.

A word is edited only where the boxes confirm it, and only into one that they refute, both with a margin. Existence
("there is a dog" where there is none) is not computed: that a thing is absent is shown by no box: docs/decisions/negatives-and-verdicts.md.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from schemas.rows import Edit, Negative, Region
from stages.negatives.edits import replay
from stages.words.ambiguity import may_be_both_true
from stages.words.lexicon import COUNTED
from stages.words.phrases import chunk_phrases, sentences

_NUMBERS = COUNTED[:8]
_ROWS = {"top": "top", "upper": "top", "bottom": "bottom", "lower": "bottom"}
_COLUMNS = {"left": "left", "right": "right", "centre": "middle", "center": "middle", "middle": "middle"}
_FRAME = "(?:image|picture|photo|photograph|frame|scene)"
_PLACE = re.compile(
    rf"\b(?:at|in|on|to|near|towards?) the (?:far )?"
    rf"(?P<place>(?P<row>{'|'.join(_ROWS)})[ -](?P<column>{'|'.join(_COLUMNS)})|(?P<one>left|right|top|bottom))"
    rf"(?=[,.]| (?:of the {_FRAME}|corner|side|edge|there|stands?|is|are|sits?|lies?)\b)",
    re.IGNORECASE,
)
Place = tuple[str | None, str | None]  # row and column, in the words of the zones


class Zone(NamedTuple):
    """Where a box's centre must lie, in shares of the side, to confirm a word, and from where on it refutes it."""

    confirmed: tuple[float, float]
    refuted_below: float
    refuted_above: float


_HORIZONTAL = {"left": Zone((0, 0.40), -1, 0.43), "middle": Zone((0.36, 0.64), 0.28, 0.72), "right": Zone((0.60, 1), 0.57, 2)}
_VERTICAL = {"top": Zone((0, 0.43), -1, 0.57), "bottom": Zone((0.57, 1), 0.43, 2)}


def moved(caption: str, regions: Sequence[Region], width: int, height: int) -> list[Negative]:
    """The caption with one thing's place exchanged for each place where no box of that noun can be meant to be.

    A sentence counts where it names one place and, of the regions, exactly one, whose box confirms the place.
    """
    negatives = []
    for start, end in sentences(caption):
        inside = [
            region
            for region in regions
            if region.start is not None and region.end is not None and start <= region.start and region.end <= end
        ]
        places = list(_PLACE.finditer(caption, start, end))
        if len(inside) != 1 or len(places) != 1 or inside[0].num_boxes != 1 or _names_others(caption, start, end, inside[0]):
            continue
        place = _place_of(places[0])
        if not _is_confirmed(inside[0], place, width, height):
            continue
        same = [region for region in regions if may_be_both_true("object", region.head, inside[0].head)]
        for new, other in _other_places(places[0], place):
            if all(_is_refuted(region, other, width, height) for region in same):
                left, right = places[0].span("place")
                negatives.append(_negative(caption, Edit(type="position", start=left, end=right, old=caption[left:right], new=new)))
    return negatives


def recounted(caption: str, regions: Sequence[Region], most: int = 3) -> list[Negative]:
    """The caption with a count exchanged, where as many boxes as it says were found, for counts that are plainly others.

    The boxes are those of that very phrase; where it was not grounded and says a number and a noun alone, all that the
    noun may mean ("three toys": cars and mugs). A greater count must exceed all boxes that the noun may mean by more than one:
    boxes are looked for by the caption's own phrases, so a thing that it leaves out is missing in both.
    """
    negatives = []
    for phrase in chunk_phrases(caption):
        first = phrase.text.split()[0]
        if phrase.start is None or first.lower() not in _NUMBERS[1:]:
            continue
        count = _NUMBERS.index(first.lower()) + 1
        named = [region for region in regions if region.start == phrase.start]
        head = named[0].head if named else phrase.head
        meant = {region.xyxy for region in regions if may_be_both_true("object", head, region.head)}
        own = {region.xyxy for region in named} or (meant if len(phrase.text.split()) == 2 else set())
        if len(own) != count:
            continue
        others = [n for n in range(2, len(_NUMBERS) + 1) if n < count or n > max(count, len(meant)) + 1]
        for other in sorted(others, key=lambda n: (abs(n - count), n))[:most]:
            new = _NUMBERS[other - 1].capitalize() if first[0].isupper() else _NUMBERS[other - 1]
            negatives.append(_negative(caption, Edit(type="count", start=phrase.start, end=phrase.start + len(first), old=first, new=new)))
    return negatives


def _negative(caption: str, edit: Edit) -> Negative:
    return Negative(text=replay(caption, [edit]), edits=[edit], type=edit.type, source="geometry", verdict="false")


def _names_others(caption: str, start: int, end: int, region: Region) -> bool:
    """Whether a sentence names further things, that the place could be about."""
    named = (phrase for phrase in chunk_phrases(caption[start:end]) if phrase.mark in (None, "pronoun"))
    spans = [(start + (phrase.start or 0), start + (phrase.end or 0)) for phrase in named]
    return any(right <= (region.start or 0) or left >= (region.end or 0) for left, right in spans)


def _place_of(match: re.Match[str]) -> Place:
    named = (match.group("one") or "").lower()
    if named:
        return _ROWS.get(named), _COLUMNS.get(named)
    return _ROWS[match.group("row").lower()], _COLUMNS[match.group("column").lower()]


def _other_places(match: re.Match[str], place: Place) -> Iterator[tuple[str, Place]]:
    """(new words, new place) for every other place that the same form of words can name."""
    row, column = place
    if row is None or column is None:
        opposite = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}[row or column or ""]
        yield opposite, (opposite if row else None, opposite if column else None)
        return
    words = match.group("place").lower()
    centre = "center" if "center" in match.string.lower() else "centre"
    upper, lower = ("upper", "lower") if words.startswith(("upper", "lower")) else ("top", "bottom")
    for new_row, row_word in (("top", upper), ("bottom", lower)):
        for new_column, column_word in (("left", "left"), ("middle", centre), ("right", "right")):
            if (new_row, new_column) != place:
                yield f"{row_word}{match.group('place')[len(match.group('row'))]}{column_word}", (new_row, new_column)


def _is_confirmed(region: Region, place: Place, width: int, height: int) -> bool:
    return all(zone.confirmed[0] <= share <= zone.confirmed[1] for zone, share in _shares(region, place, width, height))


def _is_refuted(region: Region, place: Place, width: int, height: int) -> bool:
    return any(share <= zone.refuted_below or share >= zone.refuted_above for zone, share in _shares(region, place, width, height))


def _shares(region: Region, place: Place, width: int, height: int) -> list[tuple[Zone, float]]:
    """The zones that a place names, with where the box's centre lies on their axis, 0..1."""
    left, top, right, bottom = region.xyxy
    row, column = place
    vertical = [(_VERTICAL[row], (top + bottom) / 2 / height)] if row else []
    return [*vertical, *([(_HORIZONTAL[column], (left + right) / 2 / width)] if column else [])]
