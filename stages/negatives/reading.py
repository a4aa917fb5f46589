"""Whether a dealt or exchanged value reads as somebody would write it, by the words before it. Strings only.

A strong writer needs no such rule, and what it writes is not held to it.
"""

from stages.negatives.quotes import compound_of, noun_spans, words_of
from stages.words.kinds import kind_of
from stages.words.nouns import singular
from stages.words.scales import NEUTRAL

# Of the body what a left and a right one is of.
_IN_PAIRS = frozenset(
    "hand arm leg foot eye ear shoulder knee elbow wing paw horn cheek hip ankle wrist thumb eyebrow thigh hoof claw tusk antler fin "
    "flipper talon nostril forearm palm finger toe heel calf breast lung temple".split()
)
_SIDES = frozenset(("left", "right"))
_VIVID = frozenset(("vibrant", "vivid", "bright"))
_NEVER_VIVID = NEUTRAL - {"white", "cream", "silver"} | {"gray", "dark", "taupe", "khaki", "maroon"}


def is_of_compound(text: str, head: str) -> bool:
    """Whether other nouns before the head noun make it another thing, a license plate, so that it does not stand for the thing alone."""
    spans = noun_spans(text, head)
    return bool(spans) and compound_of(text, head) != text[slice(*spans[0])]


def reads_well(text: str, start: int, kind: str, new: str) -> bool:
    """Whether `new` may stand at `start`: no right nose, no vibrant black."""
    before = words_of(text[:start])[-1:]
    if kind == "object" and _SIDES.intersection(before):
        return kind_of(new) != "body" or singular(new) in _IN_PAIRS
    if kind == "colour" and _VIVID.intersection(before):
        return not _NEVER_VIVID.intersection(words_of(new)) and (new != "white" or before == ["bright"])
    return True
