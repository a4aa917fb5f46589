"""Phrases of a caption as verbatim spans: three readers (built-in chunker, spaCy, an LLM's list) and the marks."""

import re
from collections.abc import Sequence

from schemas.rows import Phrase
from stages.words.chunker import chunks
from stages.words.domain import ANY_DOMAIN, Domain
from stages.words.lexicon import NUMBERS, SEVERAL
from stages.words.marks import WORD, Named, marks_of
from stages.words.nouns import IRREGULAR_PLURALS, SINGULAR_IN_S, singular
from stages.words.spacy_reader import spacy_spans
from stages.words.unboxed import COLLECTIVE_NOUNS

_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]?[A-Z0-9])|\n+")


def sentences(text: str) -> list[tuple[int, int]]:
    """The spans [start, end) of the sentences of a text, white space at their borders left out."""
    spans, start = [], 0
    for end_match in [*_SENTENCE_END.finditer(text), None]:
        end = end_match.start() if end_match else len(text)
        chunk = text[start:end]
        if chunk.strip():
            left = start + len(chunk) - len(chunk.lstrip())
            spans.append((left, left + len(chunk.strip())))
        start = end_match.end() if end_match else end
    return spans


def chunk_phrases(text: str, domain: Domain = ANY_DOMAIN) -> list[Phrase]:
    """Noun phrases by closed word lists alone: a determiner, number or value, then words up to a boundary; head is the last."""
    return _phrases(text, [span for left, right in sentences(text) for span in chunks(text, left, right)], domain)


def spacy_phrases(text: str, model: str, domain: Domain = ANY_DOMAIN) -> list[Phrase]:
    """spaCy's noun chunks, mended; groups joined with their members."""
    return _phrases(text, spacy_spans(text, model), domain)


def given_phrases(
    text: str, proposals: Sequence[tuple[str, str] | tuple[str, str, str | None]], domain: Domain = ANY_DOMAIN
) -> tuple[list[Phrase], int]:
    """Phrases that an LLM listed as (text, head), in the text's order, and how many were not verbatim (rejected).

    A phrase listed twice takes its next occurrence. A third text quotes what it stands in, which must stand in the text once; the phrase is
    then one of its whole words.
    """
    taken, spans, rejected = set[tuple[int, int]](), [], 0
    for wanted, head, *rest in proposals:
        places = _verbatim(text, wanted.strip()) if not rest or rest[0] is None else _quoted(text, wanted.strip(), rest[0].strip())
        span = next((span for span in places if span not in taken), None)
        if span is None or not re.search(rf"\b{re.escape(head)}\b", wanted, re.IGNORECASE):
            rejected += 1
            continue
        taken.add(span)
        spans.append(Named(*span, singular(head)))
    return _phrases(text, sorted(spans), domain), rejected


def _verbatim(text: str, words: str) -> list[tuple[int, int]]:
    return [match.span() for match in re.finditer(re.escape(words), text)] if words else []


def _quoted(text: str, words: str, quote: str) -> list[tuple[int, int]]:
    """Where whole words stand in the one place at which the quote stands; nowhere where it stands at several."""
    places = _verbatim(text, quote)
    if len(places) != 1 or not words:
        return []
    start, end = places[0]
    return [match.span() for match in re.compile(rf"(?<!\w){re.escape(words)}(?!\w)").finditer(text, start, end)]


def num_named(phrase: Phrase) -> int | None:
    """How many things a phrase names: 1, the number that it states, or None: several, it does not say how many."""
    words = [word.lower() for word in WORD.findall(phrase.text)]
    last = words[-1] if words else ""
    if last in SINGULAR_IN_S and "pair" in words:
        return 1
    for word in words[:-1]:
        if word in NUMBERS or word.isdecimal():
            return NUMBERS[word] if word in NUMBERS else max(1, int(word))
    is_several = last in IRREGULAR_PLURALS or singular(last) != last
    return None if is_several or not SEVERAL.isdisjoint(words[:2]) or not COLLECTIVE_NOUNS.isdisjoint(words[:-1]) else 1


def _phrases(text: str, spans: Sequence[Named], domain: Domain) -> list[Phrase]:
    borders = sentences(text)
    return [
        Phrase(
            text=text[span.start : span.end],
            start=span.start,
            end=span.end,
            head=span.head,
            sentence=_sentence(borders, span.start),
            mark=mark,
        )
        for span, mark in zip(spans, marks_of(text, spans, domain), strict=True)
    ]


def _sentence(borders: Sequence[tuple[int, int]], start: int) -> int:
    return next((i for i, (left, right) in enumerate(borders) if left <= start < right), 0)
