"""What a foreign set does not say of its texts, read off the texts: the head noun, the type of a change. Knows no probe."""

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from schemas.audit import AuditItem
from stages.audit.tokens import is_unspaced, tokens_of, unspaced_head
from stages.words.chunker import chunks
from stages.words.lexicon import types_of
from stages.words.nouns import singular
from stages.words.phrases import sentences

OTHER = "other"
_WORD, _LATIN = re.compile(r"\w[\w'-]*"), re.compile("[A-Za-z]")


def head_noun(text: str) -> str | None:
    """The head of the first noun phrase, or the last word of a text that has none; None where there is no word.

    Of a text without spaces between words the head that stands last, where its script has it there.
    """
    if not text.isascii() and is_unspaced(text):
        return unspaced_head(text)
    for phrase in (text, f"the {text[:1].lower()}{text[1:]}") if _LATIN.search(text) else ():
        named = next((chunk for left, right in sentences(phrase) for chunk in chunks(phrase, left, right)), None)
        if named is not None:
            return named.head
    words = re.findall(r"[^\W\d_]+", text.lower()) if text.isascii() else [word for word in tokens_of(text) if not word.isdecimal()]
    return singular(words[-1]) if words else None


def caption_items(caption: str, negatives: Sequence[tuple[str, str | None]], image: str | None) -> list[AuditItem]:
    """A long caption's items, one for each head noun that its negatives edit; `negatives`: text and type.

    The noun of an edit is that of the phrase that it begins in, else of the next one: what the head is in a region's item.
    """
    phrases = [chunk for left, right in sentences(caption) for chunk in chunks(caption, left, right)]
    of_noun: dict[str | None, list[tuple[str, str | None]]] = {}
    for text, kind in negatives:
        start = next((i for i, (own, other) in enumerate(zip(caption, text, strict=False)) if own != other), min(len(caption), len(text)))
        head = next((phrase.head for phrase in phrases if phrase.end > start), phrases[-1].head if phrases else head_noun(caption))
        of_noun.setdefault(head, []).append((text, kind))
    return [
        AuditItem(
            positive=caption,
            negatives=tuple(text for text, _ in phrases_of_noun),
            image=image,
            noun=head,
            types=tuple(kind for _, kind in phrases_of_noun),
        )
        for head, phrases_of_noun in of_noun.items()
    ]


def guessed_types(positive: str, negatives: Sequence[str]) -> list[str]:
    """Of each negative the type of the words that were exchanged, by the lexicon: swap where the same words stand in another order, else
    `other`."""
    own = _words(positive)
    return [_type_between(own, _words(negative)) for negative in negatives]


def _type_between(own: Sequence[str], other: Sequence[str]) -> str:
    """What both begin and end with is no part of the change."""
    first, shorter = 0, min(len(own), len(other))
    while first < shorter and own[first] == other[first]:
        first += 1
    if len(own) == len(other) and own[first + 1 :] == other[first + 1 :]:  # most often one word is exchanged
        return _type_of_change(tuple(own[first : first + 1]), tuple(other[first : first + 1]))
    last = 0
    while last < shorter - first and own[-1 - last] == other[-1 - last]:
        last += 1
    return _type_of_change(tuple(own[first : len(own) - last]), tuple(other[first : len(other) - last]))


@lru_cache(maxsize=65_536)
def _type_of_change(own: tuple[str, ...], other: tuple[str, ...]) -> str:
    left, right = Counter(own), Counter(other)
    if left == right:
        return "swap" if left else OTHER
    for word in [*(left - right), *(right - left)]:
        known = sorted(types_of(word))
        if known:
            return known[0]
    return OTHER


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower()) if text.isascii() or not is_unspaced(text) else tokens_of(text)
