"""What a region's expression may say, as strings: the noun stays, and hedges, places and talk of the image are refused.

Knows texts and nouns; knows no boxes, no engine. English.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Literal

from stages.words.nouns import plural_forms

Refusal = Literal["noun_lost", "other_noun", "hedge", "position", "meta"]

# Values that are nouns too: "orange" and "glass" of another region are no other noun here. Words of matter, colours, patterns.
_VALUES_TOO = frozenset(
    "orange gold silver bronze cream tan navy teal turquoise violet lavender olive khaki burgundy ivory charcoal indigo fuchsia black "
    "white red green blue purple pink brown grey gray yellow beige maroon cyan magenta crimson scarlet wood metal plastic glass "
    "ceramic leather fabric cloth cotton wool silk denim paper cardboard stone marble concrete brick rubber rattan wicker velvet "
    "suede steel iron brass copper aluminium aluminum porcelain clay straw bamboo vinyl foam fur crochet linen canvas granite plaid "
    "logo camouflage gingham tartan plain solid zigzag giant miniature square cut whole".split()
)

_FRAME = r"(?:image|picture|photo|photograph|frame|scene|crop|view|shot)"
_SIDE = r"(?:of|side|edge|corner|half|third|portion|and|in|with|next|near|beside|behind|foreground|background)"
_HEDGES = (
    r"appear(?:s|ing)?", "apparently", r"seem(?:s|ing|ingly)?", "possibly", "perhaps", "probably", "presumably", "likely", "maybe",
    "might", "could be", "may be", r"suggest(?:s|ing|ive of)", r"looks? (?:like|to be)", "looking like", r"some (?:kind|sort|type) of",
    "unclear", "unidentifiable", "indistinct", r"not (?:clearly )?visible", r"cannot be (?:seen|determined|told)",
    r"hard to (?:tell|see|make out)",
)  # fmt: skip
# A place in the frame. "a left shoe", "a black top" and "a logo on the left sleeve" are parts, and pass.
_POSITIONS = (
    rf"(?:in|on|at|to|from|near|towards?|along|by) the (?:far |upper |lower |very |extreme )*(?:left|right)(?=$|[.,;:)]|\s+{_SIDE}\b)",
    r"(?:top|upper|bottom|lower|middle|centre|center)[ -](?:left|right|centre|center|middle)\b",
    r"(?:top|upper|bottom|lower|left|right)[ -](?:hand )?(?:corner|edge|half|third|quadrant)\b",
    r"(?:left|right|top|bottom|upper|lower)most\b",
    r"(?:left|right)-?hand side\b",
    r"(?:fore|back)ground\b",
    rf"(?:left|right|top|bottom|edge|corner|centre|center|middle|side|front|back) of the {_FRAME}\b",
)
_META = (
    rf"(?:in|of|from|within|throughout) (?:the|this|an?) {_FRAME}", r"(?:the|this) (?:image|picture|photo|photograph|crop|caption)",
    r"(?:image|photo|photograph|picture|view|shot) of", r"close[- ]?up", "cropped", r"zoomed[- ]in", "out of focus", r"blurr(?:y|ed)",
    "pixelated", r"low[- ]resolution", r"(?:is|are) (?:shown|visible|depicted|seen)", "can be seen", r"(?:visible|shown|depicted) in",
    "bounding box", "the viewer", "as described",
)  # fmt: skip


def _any_of(patterns: Sequence[str], end: str = r"\b") -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(patterns)}){end}", re.IGNORECASE)


_HEDGE, _POSITION, _META_PHRASE = _any_of(_HEDGES), _any_of(_POSITIONS, ""), _any_of(_META)
# After these a thing's own wear, load or parts are named; after those what is pictured on it, up to the next comma or place.
_HAS = _any_of(("wear(?:s|ing)?", "dressed in", "in", "with", "hold(?:s|ing)?", "carr(?:ies|ying)", "ha(?:s|ve|ving)", "of", "featuring"))
_SHOWN = re.compile(
    r"\b(?:show(?:s|ing)|depict(?:s|ing)|(?:printed|painted|embroidered|decorated|engraved|carved|stamped|embossed) with)\b"
    r".*?(?=,|;|\b(?:beside|next to|behind|in front of|near|under|above|on (?:a|an|the))\b|$)",
    re.IGNORECASE,
)
_QUOTED = re.compile(r'"[^"]*"')


def refusal(
    text: str, head: str, other_heads: Iterable[str] = (), quoted: Sequence[str] = (), *, held: Iterable[str] = (), may_show: bool = False
) -> Refusal | None:
    """Why a text is no expression of a thing called `head`; None: it may stand.

    `other_heads` are the head nouns of the image's other regions, `held` of those that lie on or in this one: they may be what it
    wears, holds or has. What stands in double quotes, and the texts of `quoted` (what can be read on the thing), may say
    anything; so may, where it `may_show`, what it is said to show. A noun that is also an attribute's value ("glass", "orange")
    counts as no other noun.
    """
    plain = _QUOTED.sub(" ", text)
    for words in quoted:
        plain = re.sub(re.escape(words), " ", plain, flags=re.IGNORECASE) if words.strip() else plain
    if not names_noun(text, head):
        return "noun_lost"
    named = _SHOWN.sub(" ", plain) if may_show else plain
    own = _had(named, head)
    apart = [other for other in other_heads if other not in _VALUES_TOO and not _same_noun(other, head)]
    inside = {other for other in held if not names_noun(named[: len(named) - len(own)], other)}
    if any(names_noun(named, other) for other in apart if other not in inside):
        return "other_noun"
    if _HEDGE.search(plain):
        return "hedge"
    if _POSITION.search(plain):
        return "position"
    return "meta" if _META_PHRASE.search(_without_noun(plain, head)) else None


def _had(text: str, head: str) -> str:
    """The end of a text from the first word after its noun that says that the thing wears, holds or has something."""
    forms = "|".join(re.escape(form) for form in sorted(plural_forms(head.lower()), key=len, reverse=True))
    noun = re.search(rf"(?<![\w-])(?:{forms})(?!\w)", text.lower())
    match = _HAS.search(text, noun.end()) if noun else None
    return text[match.start() :] if match else ""


def names_noun(text: str, noun: str) -> bool:
    """Whether the text holds the noun as a word, in the singular or a plural."""
    forms = "|".join(re.escape(form) for form in sorted(plural_forms(noun.lower()), key=len, reverse=True))
    return re.search(rf"(?<![\w-])(?:{forms})(?!\w)", text.lower()) is not None


def look(text: str, head: str) -> str:
    """A text without its noun, articles and case: what it says of how the thing looks, to tell two looks apart."""
    words = re.findall(r"\w[\w'-]*", text.lower())
    forms = plural_forms(head.lower())
    return " ".join(word for word in words if word not in forms and word not in ("a", "an", "the"))


def _same_noun(noun: str, other: str) -> bool:
    return not plural_forms(noun.lower()).isdisjoint(plural_forms(other.lower()))


def _without_noun(text: str, head: str) -> str:
    """A photograph may be called one: the noun itself is not talk of the image."""
    forms = "|".join(re.escape(form) for form in sorted(plural_forms(head.lower()), key=len, reverse=True))
    return re.sub(rf"(?<![\w-])(?:{forms})(?!\w)", "thing", text, flags=re.IGNORECASE)
