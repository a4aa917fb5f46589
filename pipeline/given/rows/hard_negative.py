"""Given negatives to a row of the stage hard_negative: each as edits that replay. No model has looked at any: `unverified`."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, get_args

from pipeline.given.boxes import Frame, check_size
from pipeline.given.checks import Refused, index_of, object_of, optional_text, text_of
from pipeline.given.params import GivenParams
from pipeline.given.rows.region_caption import regions_of
from schemas.rows import ATTRIBUTE_TYPES, Edit, EditType, HardNegativeRow, Negative, RegionCaption, RegionCaptionRow, RegionNegatives
from stages.base import Image
from stages.negatives.edits import replay
from stages.words.lexicon import types_of
from stages.words.nouns import singular

_MAX_LEVEL = 3


def hard_negative_row(image: Image, content: Mapping[str, Any], params: GivenParams, frame: Frame | None) -> HardNegativeRow:
    """The negatives of each captioned region that some were given for; refused ones are counted in its `rejects`.

    Raises: Refused where the whole row is wrong, or each of its regions.
    """
    if frame is not None:
        check_size(content, params, frame)
    captions = image.row(RegionCaptionRow).regions
    rejects: Counter[str] = Counter()
    boxes = [caption.xyxy for caption in captions]
    by_region = regions_of(content, boxes, params, frame, rejects, lambda given, place: _negatives(given, captions[place], rejects))
    regions = [by_region[place] for place in sorted(by_region)]
    return HardNegativeRow(key=image.key, origin="given", given_rejects=dict(sorted(rejects.items())), regions=regions)


def _negatives(given: Mapping[str, Any], caption: RegionCaption, rejects: Counter[str]) -> RegionNegatives:
    positive = caption.short
    if positive is None:
        raise Refused("no_positive", f"region {caption.region}: {caption.reason}")
    stated = optional_text(given, "positive")
    if stated is not None and stated != positive:
        raise Refused("positive_mismatch", f"{stated!r}, the region says {positive!r}")
    texts = given.get("negatives")
    if not isinstance(texts, list):
        raise Refused("wrong_type", f"'negatives' is {type(texts).__name__}, not a list")
    kept: dict[str, Negative] = {}
    refused: Counter[str] = Counter()
    for text in texts:
        try:
            negative = _negative(text, positive, caption.head)
            if negative.text.lower() in kept:
                raise Refused("duplicate_negative", f"{negative.text!r}")
            kept[negative.text.lower()] = negative
        except Refused as problem:
            refused[problem.reason] += 1
    rejects.update(refused)
    return RegionNegatives(
        region=caption.region,
        positive=positive,
        negatives=list(kept.values()),
        num_proposed=len(texts),
        rejects=dict(sorted(refused.items())),
    )


def _negative(given: Any, positive: str, head: str) -> Negative:
    record = {"text": given} if isinstance(given, str) else object_of(given, "a negative")
    text = text_of(record, "text")
    if text.strip().lower() == positive.strip().lower():
        raise Refused("equals_positive", f"{text!r}")
    edits = derived_edits(positive, text, head) if record.get("edits") is None else _edits(record, positive, text)
    level = 1 if edits[0].type == "swap" else len(edits)
    if level > _MAX_LEVEL:
        raise Refused("too_many_edits", f"{level} edits")
    return Negative(text=text, edits=edits, type=edits[0].type, level=level, source="given", verdict="unverified")


def _edits(record: Mapping[str, Any], positive: str, text: str) -> list[Edit]:
    children = record["edits"]
    if not isinstance(children, list) or not children:
        raise Refused("wrong_type", "'edits' is no list of edits")
    edits = sorted((_edit(child, positive) for child in children), key=lambda edit: edit.start)
    overlap = any(left.end > right.start for left, right in pairwise(edits))
    if overlap or replay(positive, edits) != text:
        raise Refused("edit_does_not_replay", f"the edits of {positive!r} do not make {text!r}")
    return edits


def _edit(child: Any, positive: str) -> Edit:
    edit = object_of(child, "an edit")
    if edit.get("type") not in get_args(EditType):
        raise Refused("unknown_edit_type", f"{edit.get('type')!r}")
    start, end = index_of(edit, "start"), index_of(edit, "end")
    if start is None or end is None or not 0 <= start < end <= len(positive):
        raise Refused("span_out_of_range", f"[{start}:{end}] of {len(positive)} characters")
    old, new = text_of(edit, "old"), text_of(edit, "new")
    if positive[start:end] != old:
        raise Refused("edit_does_not_replay", f"[{start}:{end}] of {positive!r} is not {old!r}")
    return Edit(type=edit["type"], start=start, end=end, old=old, new=new)


def derived_edits(positive: str, text: str, head: str) -> list[Edit]:
    """The one edit that makes the text of the positive: the words between what both begin and both end with.

    Where a word was only added or left out, its neighbour is quoted with it. The type is that which the word lists give old and
    new, `object` where the head noun is what changed, else `untyped`.
    """
    words = [match.span() for match in re.finditer(r"\S+", positive)]
    others = [match.span() for match in re.finditer(r"\S+", text)]
    for first, last, other_last in _windows(positive, text, words, others):
        start, end = words[first][0], words[last][1]
        old, new = positive[start:end], text[others[first][0] : others[other_last][1]]
        edit = Edit(type=_type(old, new, head), start=start, end=end, old=old, new=new)
        if replay(positive, [edit]) == text:
            return [edit]
    return [Edit(type="untyped", start=0, end=len(positive), old=positive, new=text)]


def _windows(positive: str, text: str, words: Sequence[tuple[int, int]], others: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """(first, last, last in the text) of the changed words: without and with the word before, which may be an article."""
    old, new = [positive[a:b] for a, b in words], [text[a:b] for a, b in others]
    shorter = min(len(old), len(new))
    head = next((i for i in range(shorter) if old[i] != new[i]), shorter - 1)
    tail = next((i for i in range(shorter - head) if old[-1 - i] != new[-1 - i]), shorter - head - 1)
    # "an orange cup" to "a blue cup" differs from the article on, which replay sets right by itself
    starts = [head + 1] if old[head].lower() in ("a", "an") and new[head].lower() in ("a", "an") else []
    windows = [(start, len(old) - 1 - tail, len(new) - 1 - tail) for start in (*starts, head, max(0, head - 1))]
    return [(start, last, other) for start, last, other in windows if start <= last and start <= other]


def _type(old: str, new: str, head: str) -> EditType:
    if singular(old) == head and singular(new) != head and len(f"{old} {new}".split()) == 2:
        return "object"
    common = [kind for kind in ATTRIBUTE_TYPES if kind in types_of(old) and kind in types_of(new)]
    return common[0] if common else "untyped"  # type: ignore[return-value]  # ATTRIBUTE_TYPES are edit types
