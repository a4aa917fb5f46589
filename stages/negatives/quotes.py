"""Where words and nouns stand in a text, and what that makes of them: a part, one of two things. Strings only."""

import re

from stages.words.ambiguity import is_state
from stages.words.lexicon import BOUNDARIES, DETERMINERS, PRONOUNS, PURPOSES, types_of
from stages.words.nouns import is_plural, looks_like_adjective, looks_like_participle, plural_forms

_JOINING = frozenset(("and", "or", "but", "not", "very", "also", "just", "only", "quite", "too", "both", "to"))
_PART_OF = re.compile(r"(?<!\w)(?:with|has|have|having|featuring|including)(?!\w)", re.IGNORECASE)
_ENDS_PARTS = re.compile(
    r"(?<!\w)(?:on|in|at|by|from|under|above|behind|beside|near|next|against|over|holding|wearing|standing|sitting|while|that|which)(?!\w)",
    re.IGNORECASE,
)

# What stands before any noun and makes no compound of it.
_BEFORE_ANY = frozenset(
    "barefoot outdoor indoor left right front rear back top bottom upper lower middle centre center side inner outer main other "
    "another same next last first second third single double pair group female male adult human wild baby modern very more most much "
    "own".split()
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


def compound_of(text: str, head: str) -> str:
    """The head noun, with the nouns before it that make it another thing, as it stands: "fishing boat" of a blue fishing boat.

    Empty where it stands nowhere. A word that some list knows as a value, or that looks like an adjective, is none of them.
    """
    for start, end in noun_spans(text, head)[:1]:
        words = re.findall(r"\S+\s+|\S+$", text[:start])
        while words and _makes_compound(words[-1]) and not words[-1].strip().istitle():
            start -= len(words.pop())
        return text[start:end]
    return ""


def _makes_compound(word: str) -> bool:
    """Whether this word, with the blank after it, stands before a noun as a noun does: office chair, frying pan."""
    word = word[:-1].lower() if word[-1:] == " " else ""
    if word in PURPOSES:
        return True
    is_free = word.isalpha() and word not in BOUNDARIES | DETERMINERS | PRONOUNS and not types_of(word) and not is_plural(word)
    return is_free and word not in _BEFORE_ANY and not looks_like_adjective(word) and not looks_like_participle(word) and not is_state(word)


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
