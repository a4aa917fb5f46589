"""Which share of the phrases that are judged right has words that an edit could replace, by type."""

from collections import Counter
from typing import Any

from bench.real_captions.captions import Captions
from bench.real_captions.phrases import judged, proposed, readers
from schemas.rows import ATTRIBUTE_TYPES
from stages.negatives.edits_schema import slots_of


def slot_figures(captions: Captions) -> dict[str, Any]:
    """`slots`: share of the right phrases (spaCy) with a slot of each attribute type, and with any (`any`)."""
    read, slots, num = readers(captions)["spacy"], Counter[str](), 0
    for window in captions.windows:
        right = judged(window).right
        for phrase in (phrase for span, phrase in proposed(window, read).items() if span in right):
            types = {slot.type for slot in slots_of(phrase.text, phrase.head)} & set(ATTRIBUTE_TYPES)
            slots.update([*types, "any"] if types else [])
            num += 1
    return {"slots": {name: round(slots[name] / max(1, num), 4) for name in ("any", *ATTRIBUTE_TYPES)}, "phrases_with_verdict_yes": num}
