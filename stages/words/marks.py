"""Why a phrase is not asked of the detector: what its words say, and what stands around it. Knows no reader.

A mark is one of pronoun, scene, abstract, no_noun, light, viewer, portion, name, quoted, absent, likened, dropped.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from stages.words.domain import Domain
from stages.words.lexicon import ADJECTIVES_ONLY, DETERMINERS, PRONOUNS, THINGS_ALONE_TOO, THINGS_TOO
from stages.words.nouns import is_plural
from stages.words.unboxed import (
    ANAPHORIC,
    BACKDROPS,
    FRACTIONS,
    LAMPS,
    LIGHTS,
    NOTHING_IF_ALONE,
    PLACE_NOUNS,
    PORTIONS,
    POSITION_WORDS,
    SCENE_NOUNS,
    SUBSTANCES,
    VIEWERS,
    WHOLE_IF_BARE,
    is_abstract,
)

WORD = re.compile(r"[^\W\d_][\w'’-]*|\d+", re.UNICODE)
DEFINITE = frozenset("the this that these those its his her their my your our both".split())
# "A lot" and "a number of" are none; "a parking lot" and "a white number" are things.
_ONLY_BEFORE_OF = frozenset("lot number range series".split())
_QUOTES = re.compile(
    r'"[^"\n]{1,160}"|“[^“”\n]{1,160}”|‘[^‘’\n]{1,80}’(?!\w)|(?<![\w\'])\'[^\'\n]{1,80}\'(?!\w)|\*\*?[^*\n]{1,80}\*\*?', re.UNICODE
)
_READS = re.compile(r"\b(?:reads?|reading|says?|saying|spells?|spelling|spelled|labell?ed|titled|named|called|written)(?: out| as)?:?\s*$")
_ABSENT = re.compile(
    r"\b(?:no|without|lacks?|lacking|devoid of|absence of|lack of|free of|free from|instead of|nor|neither|not|never)"
    r"(?: (?:any|a|an|visible|other))*\s*$",
    re.IGNORECASE,
)
_LIKENED = re.compile(
    r"\b(?:like|as if|as though|similar to|similarly to|resembl(?:e|es|ed|ing)|reminiscent of|suggest(?:s|ed|ing|ive of)?|hint(?:s|ing) at"
    r"|indicat(?:e|es|ing|ive of)|impl(?:y|ies|ying)|evok(?:e|es|ing)|evocative of|symboli[sz](?:es|ing)|mimic(?:s|king)?|imitat(?:es|ing)"
    r"|(?:used|intended|designed|meant|suitable|ready|perfect|ideal|typical|waiting|preparing) (?:for|of|as|to)(?: (?:hold|make|\w+ing))?"
    r"|in the (?:shape|form|style|likeness) of|than)(?: (?:that|those) of)?\s*$",
    re.IGNORECASE,
)
_PLACED = re.compile(
    r"\b(?:in|at|on|to|from|along|toward|towards|near|around|across|into|by|over|between|off|down|up|of)\s*$", re.IGNORECASE
)
_NAMED = re.compile(r"\b(?:in|at|from|near|of|to|by|for|and|or|over|as)\s*$|,\s*$", re.IGNORECASE)
_JOINED = re.compile(r"\s*,?\s*(?:and|or|nor|and/or)\s+(?:any\s+|other\s+)*", re.IGNORECASE)
_OF = re.compile(r"\s+of\s+(\w+)", re.IGNORECASE)


_HOW_MUCH = POSITION_WORDS | {"only", "just", "visible", "good"}


class Named(NamedTuple):
    """A span of the text and the head noun of what it names, singular and in lower case."""

    start: int
    end: int
    head: str


def marks_of(text: str, spans: Sequence[Named], domain: Domain) -> list[str | None]:
    """The mark of each span, in the text's order; None: it is asked of the detector."""
    marks: list[str | None] = []
    for i, span in enumerate(spans):
        mark = _mark(text, span, domain)
        if mark is None and marks and marks[-1] in ("absent", "likened") and _goes_on(text, spans[i - 1], span):
            mark = marks[-1]
        marks.append(mark)
    return marks


@lru_cache(maxsize=256)
def quoted_spans(text: str) -> tuple[tuple[int, int], ...]:
    """What stands in quotation marks, with them: words to be read, not things."""
    return tuple(match.span() for match in _QUOTES.finditer(text))


def words_in(span: str) -> list[str]:
    """The words of a phrase, lower case."""
    return [word.lower() for word in WORD.findall(span)]


def _mark(text: str, span: Named, domain: Domain) -> str | None:
    words = words_in(text[span.start : span.end])
    content = [word for word in words if word not in DETERMINERS]
    if not content or all(word in PRONOUNS for word in words):
        return "pronoun"
    if span.head in domain.drop:
        return "dropped"
    if span.head in domain.keep:
        return None
    around = _around(text, span)
    if span.head in domain.nouns:
        return around if around in ("quoted", "absent") else None
    return around or _of_words(text, span, words, content, domain)


def _around(text: str, span: Named) -> str | None:
    """The mark that what stands around a phrase gives it."""
    before, own = text[max(0, span.start - 60) : span.start], text[span.start : span.end]
    if any(start <= span.start and span.end <= end for start, end in quoted_spans(text)):
        return "quoted"
    if own.isupper() and (_READS.search(before) or len(span.head) == 1):
        return "quoted"
    first = words_in(own)[0]
    if first == "no" or _ABSENT.search(before):
        return "absent"
    if first not in DEFINITE and _LIKENED.search(before):
        return "likened"
    is_name = all(word[0].isupper() for word in WORD.findall(own)) and _NAMED.search(before) is not None
    return "name" if is_name and first not in DETERMINERS else None


def _of_words(text: str, span: Named, words: Sequence[str], content: Sequence[str], domain: Domain) -> str | None:
    head, modifiers = span.head, content[:-1]
    last = words[-1]
    of = _OF.match(text, span.end)
    if head == "one" or (head in ANAPHORIC and all(word in ANAPHORIC or word in POSITION_WORDS for word in modifiers)):
        return "pronoun"
    if head in VIEWERS:
        return "viewer"
    if _is_scene(text, span, words, modifiers, domain):
        return "scene"
    if head in LIGHTS and not is_plural(last) and not any(word in LAMPS for word in modifiers):
        return "light"
    if of and head in PORTIONS and of.group(1).lower() not in DEFINITE:
        return "portion"
    if _is_value(words, head, domain) or (head in SUBSTANCES and words == [last]):
        return "no_noun"
    if head == "shape" and last == "shapes" and modifiers:
        return None
    if head in _ONLY_BEFORE_OF:
        return "abstract" if of or words in (["a", head], [last]) else None
    is_alone = head in NOTHING_IF_ALONE and last == head and words[0] not in DETERMINERS
    is_shade = head == "shade" and any("colour" in domain.types_of(word) for word in modifiers)
    return "abstract" if is_alone or is_shade or list(words[-2:]) == ["eye", "level"] or is_abstract(head) else None


def _is_scene(text: str, span: Named, words: Sequence[str], modifiers: Sequence[str], domain: Domain) -> bool:
    head = span.head
    if head in SCENE_NOUNS or head.rpartition("-")[2] in SCENE_NOUNS or (head in WHOLE_IF_BARE and list(words) == ["the", head]):
        return True
    is_fraction = head in FRACTIONS and all(word in _HOW_MUCH or "size" in domain.types_of(word) for word in modifiers)
    if is_fraction and _OF.match(text, span.end):
        return True
    is_placed = all(word in POSITION_WORDS or word in PLACE_NOUNS for word in modifiers)
    if is_placed and (head in PLACE_NOUNS or words[-1] in POSITION_WORDS):
        return not _is_part(text, span, words)
    return head in BACKDROPS and not any(domain.types_of(word) for word in modifiers)


def _is_part(text: str, span: Named, words: Sequence[str]) -> bool:
    """Whether a noun of place is said of as a thing: "The corners are of metal"; "at the corners" is a place."""
    placed = _PLACED.search(text[max(0, span.start - 20) : span.start]) is not None
    return is_plural(words[-1]) and not placed and _OF.match(text, span.end) is None and words[-1] != "rest"


def _is_value(words: Sequence[str], head: str, domain: Domain) -> bool:
    """Whether the last word says how something is. Plurals ("papers"), and matter with an article ("the fur"), are things."""
    types = domain.types_of(head) | domain.types_of(words[-1])
    if not types or head in THINGS_ALONE_TOO:
        return False
    if is_plural(words[-1]) and (head in THINGS_TOO or "material" in types):
        return False
    if head in THINGS_TOO:
        return len(words) == 1
    is_described = words[0] in DEFINITE or (words[0] in DETERMINERS and len(words) > 2)
    return not ("material" in types and head not in ADJECTIVES_ONLY and is_described)


def _goes_on(text: str, last: Named, span: Named) -> bool:
    """Whether a phrase only goes on with what the last one began: "no texts or objects"."""
    between = text[last.end : span.start]
    return _JOINED.fullmatch(between) is not None and words_in(text[span.start : span.end])[0] not in DETERMINERS - {"a", "an"}
