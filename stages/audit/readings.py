"""What a foreign set does not say of its texts, read off the texts: the head noun, the type of a change. Knows no probe."""

import re
from collections import Counter

from stages.words.lexicon import types_of
from stages.words.nouns import singular
from stages.words.phrases import chunk_phrases

OTHER = "other"


def head_noun(text: str) -> str | None:
    """The head of the first noun phrase, or the last word of a text that has none; None where there is no word."""
    phrases = chunk_phrases(text) or chunk_phrases(f"the {text[:1].lower()}{text[1:]}")
    if phrases:
        return phrases[0].head
    words = re.findall(r"[^\W\d_]+", text.lower())
    return singular(words[-1]) if words else None


def guessed_type(positive: str, negative: str) -> str:
    """The type of the words that were exchanged, by the lexicon: swap where the same words stand in another order, else `other`."""
    left, right = Counter(_words(positive)), Counter(_words(negative))
    if left == right:
        return "swap" if _words(positive) != _words(negative) else OTHER
    for word in [*(left - right), *(right - left)]:
        known = sorted(types_of(word))
        if known:
            return known[0]
    return OTHER


def _words(text: str) -> list[str]:
    return re.findall(r"\w[\w'-]*", text.lower())
