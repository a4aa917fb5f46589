"""What is wrong with a given value, by name. Nothing is repaired here: what is not right is refused with its reason."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from schemas.text import UNFIT

# Each reason with what it means; docs/bring-your-own.md has the same list.
REASONS: Mapping[str, str] = {
    "malformed_json": "the line, sidecar or the rest of the file is no JSON",
    "wrong_encoding": "not UTF-8, or text that was decoded as something else on its way",
    "truncated_shard": "the tar cannot be read on from here",
    "missing_key": "nothing names the image",
    "no_such_image": "no image of the corpus has this name",
    "duplicate_row": "two rows for one image: neither is taken",
    "ambiguous_name": "several images have this name, and no folder in the row tells them apart",
    "duplicate_id": "two images, or two categories, of the file have one id",
    "compressed_file": "a compressed file beside the others, which is not read",
    "wrong_type": "a text, number, list or object was expected",
    "missing_field": "a field that the stage needs is not there",
    "empty_text": "nothing but white space",
    "null_bytes": "the text holds a NUL character",
    "control_characters": "the text holds other control characters",
    "other_image_size": "the row is of an image of another size",
    "stored_orientation": "the row is of the pixels as stored, and EXIF turns this image",
    "too_many_regions": "more boxes or regions than `max_regions`",
    "not_finite": "a NaN or an infinity among a box's numbers",
    "inverted": "right of left, or bottom of top, is exchanged",
    "zero_area": "a side of length zero",
    "outside_frame": "the box leaves the image by more than `tolerance_px`",
    "looks_xywh": "declared xyxy, but it can only be xywh",
    "looks_xyxy": "declared xywh, but only as xyxy it lies in the image",
    "looks_normalised": "declared pixels, but no number is above one",
    "looks_pixels": "declared normalised, but numbers are far above one",
    "bad_score": "no number from 0 to 1",
    "unknown_category": "the annotation's category is not among the categories",
    "crowd": "an `iscrowd` annotation: a box around many",
    "span_not_verbatim": "the caption does not have the phrase at this place",
    "span_out_of_range": "the span is not inside its text",
    "span_without_caption": "a span, and no long caption that it could be of",
    "region_out_of_range": "no region of the image has this number",
    "region_not_selected": "no selected region has this box",
    "duplicate_region": "a second text for one region",
    "unknown_attribute_type": "no type of attribute",
    "unknown_edit_type": "no type of edit",
    "edit_does_not_replay": "the edits do not quote the positive, or do not make the text of it",
    "too_many_edits": "more than three places are changed",
    "positive_mismatch": "the positive is not the region's short expression",
    "no_positive": "the region has no short expression that could be denied",
    "equals_positive": "the negative says what the positive says",
    "duplicate_negative": "the same negative twice for one region",
}  # fmt: skip
MISREAD = ("looks_xywh", "looks_normalised", "looks_pixels")  # one such box means that the whole row was declared wrongly
_MANY = 2**31
Child = TypeVar("Child")
Made = TypeVar("Made")
# UTF-8 read as Latin-1 or CP1252 leaves these pairs behind.
_MOJIBAKE = re.compile("[\u00c2\u00c3][\u0080-\u00bf]|\u00e2\u20ac[\u0080-\u2fff]|\ufffd|[\ud800-\udfff]")


class Refused(ValueError):  # not an error of the program: a verdict on a given value
    """A given value is not taken: the reason's name, and what was found."""

    def __init__(self, reason: str, detail: str) -> None:
        assert reason in REASONS, reason
        super().__init__(detail)
        self.reason, self.detail = reason, detail[:200]


def accepted(children: Iterable[Child], read: Callable[[Child], Made], rejects: Counter[str]) -> list[Made]:
    """What `read` makes of each child that it does not refuse; the refused are counted in `rejects`.

    Raises: Refused where a child shows that the whole row was declared wrongly, or where every child is refused: the first's.
    """
    made: list[Made] = []
    first: Refused | None = None
    for child in children:
        try:
            made.append(read(child))
        except Refused as refused:
            if refused.reason in MISREAD:
                raise
            rejects[refused.reason] += 1
            first = first or refused
    if first is not None and not made:
        raise first
    return made


def text_of(record: Mapping[str, Any], field: str) -> str:
    """A text that must be there, as it is.

    Raises: Refused.
    """
    text = optional_text(record, field)
    if text is None:
        raise Refused("missing_field", f"no field '{field}'")
    return text


def optional_text(record: Mapping[str, Any], field: str) -> str | None:
    """A text, or None where there is none.

    Raises: Refused.
    """
    value = record.get(field)
    if value is None:
        return None
    if not isinstance(value, str):
        raise Refused("wrong_type", f"'{field}' is {type(value).__name__}, not a text")
    if not value.strip():
        raise Refused("empty_text", f"'{field}' is empty")
    if "\0" in value:
        raise Refused("null_bytes", f"'{field}' holds a NUL character")
    control = UNFIT.search(value)
    if control is not None and not "\ud800" <= control.group() <= "\udfff":
        raise Refused("control_characters", f"'{field}' holds {control.group()!r}")
    mojibake = _MOJIBAKE.search(value)
    if mojibake is not None:
        raise Refused("wrong_encoding", f"'{field}' holds {mojibake.group()!r}")
    return value


def list_of(record: Mapping[str, Any], field: str, limit: int) -> list[Any]:
    """A list that must be there, of at most `limit`.

    Raises: Refused.
    """
    value = record.get(field)
    if value is None:
        raise Refused("missing_field", f"no field '{field}'")
    if not isinstance(value, list):
        raise Refused("wrong_type", f"'{field}' is {type(value).__name__}, not a list")
    if len(value) > limit:
        raise Refused("too_many_regions", f"{len(value)} in '{field}', at most {limit} are taken")
    return value


def object_of(value: Any, named: str) -> Mapping[str, Any]:
    """Raises: Refused where the value is no object."""
    if not isinstance(value, dict):
        raise Refused("wrong_type", f"{named} is {type(value).__name__}, not an object")
    return value


def number_of(value: Any, named: str) -> float:
    """A finite number.

    Raises: Refused.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused("wrong_type", f"{named} is {type(value).__name__}, not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise Refused("not_finite", f"{named} is {number}")
    return number


def index_of(record: Mapping[str, Any], field: str) -> int | None:
    """A whole number, or None where there is none.

    Raises: Refused.
    """
    value = record.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refused("wrong_type", f"'{field}' is {type(value).__name__}, not a whole number")
    if abs(value) >= _MANY:
        raise Refused("wrong_type", f"'{field}' is larger than any place")
    return value


def score_of(record: Mapping[str, Any]) -> float | None:
    """A score from 0 to 1, or None.

    Raises: Refused.
    """
    value = record.get("score")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise Refused("bad_score", f"score is {value!r}")
    return float(value)


def span_of(record: Mapping[str, Any], text: str | None, phrase: str) -> tuple[int | None, int | None]:
    """The phrase's place in the caption; two Nones where none is given.

    Raises: Refused where the caption does not have the phrase at that place.
    """
    start, end = index_of(record, "start"), index_of(record, "end")
    if start is None and end is None:
        return None, None
    if start is None or end is None:
        raise Refused("missing_field", "a span needs both start and end")
    if text is None:
        raise Refused("span_without_caption", f"[{start}:{end}] of no long caption")
    if not 0 <= start < end <= len(text):
        raise Refused("span_out_of_range", f"[{start}:{end}] of {len(text)} characters")
    if text[start:end] != phrase:
        raise Refused("span_not_verbatim", f"[{start}:{end}] is {text[start:end]!r}, not {phrase!r}")
    return start, end
