"""Where words and nouns stand in a text, and what that makes of them: a part, one of two things. Strings only."""

import re

from stages.words.lexicon import BOUNDARIES
from stages.words.nouns import plural_forms

_JOINING = frozenset(("and", "or", "but", "not", "very", "also", "just", "only", "quite", "too", "both", "to"))
_PART_OF = re.compile(r"(?<!\w)(?:with|has|have|having|featuring|including)(?!\w)", re.IGNORECASE)
_ENDS_PARTS = re.compile(
    r"(?<!\w)(?:on|in|at|by|from|under|above|behind|beside|near|next|against|over|holding|wearing|standing|sitting|while|that|which)(?!\w)",
    re.IGNORECASE,
)


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, hyphens inside them kept."""
    return re.findall(r"\w[\w'-]*", text.lower())


def occurrences(text: str, words: str) -> list[tuple[int, int]]:
    """The spans at which the words stand in the text as whole words, letter case as it is."""
    spans, start = [], text.find(words) if words else -1
    while start >= 0:  # as a regular expression would, without compiling one for each of a block's phrases
        end = start + len(words)
        is_whole = not (start and _is_word(text[start - 1])) and not (end < len(text) and _is_word(text[end]))
        spans += [(start, end)] if is_whole else []
        start = text.find(words, end if is_whole else start + 1)
    return spans


def _is_word(letter: str) -> bool:
    return letter.isalnum() or letter == "_"


def noun_spans(text: str, head: str) -> list[tuple[int, int]]:
    """Where the head noun stands in a text, in the singular or a plural, in order."""
    return sorted(span for form in plural_forms(head.lower()) for span in occurrences(text.lower(), form))


def are_of_two_things(text: str, head: str, first: str, second: str) -> bool:
    """Whether two values, each standing once, are said of two things: the noun, or a word that begins another phrase, stands between.

    "a yellow and black frog", "a long, thin line": in either order they say the same.
    """
    spans = sorted(span for value in (first, second) for span in occurrences(text, value)[:1])
    if len(spans) != 2:
        return True  # another rule says that they cannot be named
    between = text[spans[0][1] : spans[1][0]]
    return bool(noun_spans(between, head)) or not (BOUNDARIES - _JOINING).isdisjoint(words_of(between))


def is_part(text: str, word: str) -> bool:
    """Whether a text names this thing as a part of what it describes: after "with" or "has", and no other thing begins between."""
    spans = occurrences(text, word)
    before = text[: spans[0][0]] if spans else ""
    starts = [match.end() for match in _PART_OF.finditer(before)]
    return bool(starts) and _ENDS_PARTS.search(before, starts[-1]) is None
