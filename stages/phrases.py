"""Phrases of a caption as verbatim spans: three readers (built-in chunker, spaCy, an LLM's list) and the marks."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from schemas.rows import Phrase
from stages.lexicon import ABSTRACT_NOUNS, BOUNDARIES, DETERMINERS, POSITION_WORDS, PRONOUNS, SCENE_NOUNS, types_of
from stages.nouns import singular

_WORD = re.compile(r"[^\W\d_][\w'’-]*|\d+", re.UNICODE)
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]?[A-Z0-9])|\n+")
_MAX_WORDS = 8


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


def chunk_phrases(text: str) -> list[Phrase]:
    """Noun phrases by closed word lists alone: a determiner or number, then words up to a boundary; head is the last."""
    spans = [(number, start, end) for number, (left, right) in enumerate(sentences(text)) for start, end in _chunks(text, left, right)]
    return [_phrase(text, start, end, number, singular(_last_word(text[start:end]))) for number, start, end in spans]


def spacy_phrases(text: str, model: str) -> list[Phrase]:
    """spaCy's noun chunks, cleaned of what they get wrong: leading punctuation, a verb at the end, bare pronouns marked."""
    phrases = []
    borders = sentences(text)
    for chunk in _spacy(model)(text).noun_chunks:
        tokens = list(chunk)
        while tokens and (tokens[0].is_punct or tokens[0].is_space):
            tokens = tokens[1:]
        head = chunk.root
        tokens = [token for token in tokens if token.i <= max(head.i, tokens[0].i)]
        if not tokens:
            continue
        start, end = tokens[0].idx, tokens[-1].idx + len(tokens[-1])
        number = next((i for i, (left, right) in enumerate(borders) if left <= start < right), 0)
        phrases.append(_phrase(text, start, end, number, head.lemma_.lower()))
    return phrases


def given_phrases(text: str, proposals: Sequence[tuple[str, str]]) -> tuple[list[Phrase], int]:
    """Phrases that an LLM listed as (text, head), in the text's order, and how many were not verbatim (rejected).

    A phrase listed twice takes its next occurrence.
    """
    borders, taken, phrases, rejected = sentences(text), set[tuple[int, int]](), [], 0
    for wanted, head in proposals:
        occurrences = [(match.start(), match.end()) for match in re.finditer(re.escape(wanted.strip()), text)] if wanted.strip() else []
        span = next((span for span in occurrences if span not in taken), None)
        if span is None or not re.search(rf"\b{re.escape(head)}\b", wanted, re.IGNORECASE):
            rejected += 1
            continue
        taken.add(span)
        number = next((i for i, (left, right) in enumerate(borders) if left <= span[0] < right), 0)
        phrases.append(_phrase(text, *span, number, singular(head.lower())))
    return sorted(phrases, key=lambda phrase: (phrase.start or 0, phrase.end or 0)), rejected


def is_plural(phrase: Phrase) -> bool:
    """Whether a phrase may name several things: its noun stands in the plural or a number above one leads it."""
    last = _last_word(phrase.text)
    return last != phrase.head and last.startswith(phrase.head[:2]) and last.endswith("s")


def spacy_model_path(model: str) -> str | Path | None:
    """What spacy.load takes for this name: the name, or the folder inside a package that carries the model; None: not there."""
    import importlib.util

    if Path(model).is_dir() or importlib.util.find_spec(model) is None:
        return Path(model) if Path(model).is_dir() else None
    spec = importlib.util.find_spec(model)
    assert spec is not None
    for place in spec.submodule_search_locations or []:
        for config in sorted(Path(place).glob("*/config.cfg")):
            return config.parent
    return model


def _chunks(text: str, left: int, right: int) -> Iterator[tuple[int, int]]:
    words = [(match.start(), match.end(), match.group().lower()) for match in _WORD.finditer(text, left, right)]
    position = 0
    while position < len(words):
        if words[position][2] not in DETERMINERS:
            position += 1
            continue
        last = position
        while last + 1 < len(words) and last - position < _MAX_WORDS and _continues(text, words[last], words[last + 1]):
            last += 1
        if last > position:
            yield words[position][0], words[last][1]
        position = last + 1


def _continues(text: str, word: tuple[int, int, str], following: tuple[int, int, str]) -> bool:
    if text[word[1] : following[0]].strip() or following[2] in BOUNDARIES or following[2] in PRONOUNS:
        return False
    return following[2] not in DETERMINERS or word[2] in DETERMINERS


def _phrase(text: str, start: int, end: int, sentence: int, head: str) -> Phrase:
    span = text[start:end]
    return Phrase(text=span, start=start, end=end, head=head, sentence=sentence, mark=_mark(span, head))


def _mark(span: str, head: str) -> str | None:
    words = [word.lower() for word in _WORD.findall(span)]
    content = [word for word in words if word not in DETERMINERS]
    if not content or all(word in PRONOUNS for word in words):
        return "pronoun"
    if head in SCENE_NOUNS or all(word in POSITION_WORDS for word in content):
        return "scene"
    if types_of(head):
        return "no_noun"
    return "abstract" if head in ABSTRACT_NOUNS else None


def _last_word(span: str) -> str:
    words = _WORD.findall(span)
    return words[-1].lower() if words else span.lower()


@lru_cache(maxsize=2)
def _spacy(model: str) -> Any:
    try:
        import spacy
    except ImportError as error:
        raise ImportError("the phrase reader spacy needs its package: pip install 'fgdata[spacy]'") from error
    path = spacy_model_path(model)
    if path is None:
        raise FileNotFoundError(f"spaCy's model '{model}' is neither an installed package nor a folder")
    return spacy.load(path, exclude=["ner"])
