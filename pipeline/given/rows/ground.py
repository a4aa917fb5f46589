"""Given boxes with their names to a row of the stage ground. A name is a span of the caption only where the source says so."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from pipeline.given.boxes import Frame, box_of, check_size
from pipeline.given.checks import REASONS, Refused, accepted, list_of, object_of, optional_text, score_of, span_of, text_of
from pipeline.given.heads import head_of
from pipeline.given.params import GivenParams
from schemas.rows import CaptionRow, Detection, GroundRow, Phrase
from stages.base import Image
from stages.words.phrases import sentences


def ground_row(image: Image, content: Mapping[str, Any], params: GivenParams, frame: Frame | None) -> GroundRow:
    """One detection a box, in their order; boxes of one name share a phrase. Skipped where nothing says of which size the image is.

    Raises: Refused where the whole row is wrong, or each of its boxes.
    """
    if frame is None:
        detail = "boxes without an image need 'width' and 'height'"
        return GroundRow(key=image.key, status="skipped", reason="no_image", detail=detail, origin="given")
    check_size(content, params, frame)
    caption = image.upstream.get(CaptionRow)
    long = caption.long if isinstance(caption, CaptionRow) else None
    phrases: list[Phrase] = []
    detections, rejects = [], Counter[str]()
    children = list_of(content, "boxes", params.max_regions)
    for phrase, detection in accepted(children, lambda child: _box(child, params, frame, long), rejects):
        if phrase not in phrases:
            phrases.append(phrase)
        detections.append(detection.model_copy(update={"phrase": phrases.index(phrase)}))
    return GroundRow(
        key=image.key,
        origin="given",
        given_rejects=dict(sorted(rejects.items())),
        width=frame.width,
        height=frame.height,
        phrases=phrases,
        detections=detections,
    )


def _box(child: Any, params: GivenParams, frame: Frame, long: str | None) -> tuple[Phrase, Detection]:
    box = object_of(child, "a box")
    if box.get("refused") in REASONS:
        raise Refused(box["refused"], "named by the importer")
    text = text_of(box, "phrase")
    start, end = span_of(box, long, text)
    sentence = next((i for i, (left, right) in enumerate(sentences(long or "")) if start is not None and left <= start < right), 0)
    head = optional_text(box, "head") or head_of(text)
    xyxy = box_of(box.get("bbox"), params, frame)
    phrase = Phrase(text=text, start=start, end=end, head=head.lower(), sentence=sentence)
    return phrase, Detection(phrase=0, xyxy=xyxy, score=score_of(box))
