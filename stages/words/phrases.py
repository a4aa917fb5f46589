"""Phrases of a caption as verbatim spans: three readers (built-in chunker, spaCy, an LLM's list) and the marks."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from schemas.rows import Phrase
from stages.words.domain import ANY_DOMAIN, Domain
from stages.words.lexicon import (
    ABSTRACT_NOUNS,
    BOUNDARIES,
    COLLECTIVE_NOUNS,
    DETERMINERS,
    NUMBERS,
    PLACE_NOUNS,
    POSITION_WORDS,
    PRONOUNS,
    SCENE_NOUNS,
    SEVERAL,
    THINGS_TOO,
)
from stages.words.nouns import IRREGULAR_PLURALS, SINGULAR_IN_S, singular

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


def chunk_phrases(text: str, domain: Domain = ANY_DOMAIN) -> list[Phrase]:
    """Noun phrases by closed word lists alone: a determiner or number, then words up to a boundary; head is the last."""
    spans = [(number, start, end) for number, (left, right) in enumerate(sentences(text)) for start, end in _chunks(text, left, right)]
    return [_phrase(text, start, end, number, singular(_last_word(text[start:end])), domain) for number, start, end in spans]


def spacy_phrases(text: str, model: str, domain: Domain = ANY_DOMAIN) -> list[Phrase]:
    """spaCy's noun chunks, cleaned of what they get wrong: leading punctuation, a verb at the end; groups joined with their members."""
    spans: list[tuple[int, int, str]] = []
    for chunk in _spacy(model)(text).noun_chunks:
        tokens = _cleaned(chunk)
        if tokens:
            last = tokens[-1]
            spans.append((tokens[0].idx, last.idx + len(last), singular(last.lemma_ if last.lower_ not in SINGULAR_IN_S else last.lower_)))
    borders = sentences(text)
    return [_phrase(text, start, end, _sentence(borders, start), head, domain) for start, end, head in _with_members(text, spans)]


def _cleaned(chunk: Any) -> list[Any]:
    """The tokens of one of spaCy's noun chunks without leading punctuation, a leading place, and a verb at the end."""
    tokens = [token for token in chunk if token.i <= chunk.root.i]
    places = [i for i, token in enumerate(tokens) if i and token.text == "," and tokens[i - 1].lower_ in POSITION_WORDS]
    tokens = tokens[places[-1] + 1 :] if places else tokens  # "the left, two mugs"
    while tokens and (tokens[0].is_punct or tokens[0].is_space):
        tokens = tokens[1:]
    while len(tokens) > 1 and tokens[-1].lower_ in BOUNDARIES and tokens[-2].pos_ in ("NOUN", "PROPN"):
        tokens = tokens[:-1]  # "a striped cushion rest"
    return tokens


def given_phrases(text: str, proposals: Sequence[tuple[str, str]], domain: Domain = ANY_DOMAIN) -> tuple[list[Phrase], int]:
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
        phrases.append(_phrase(text, *span, _sentence(borders, span[0]), singular(head), domain))
    return sorted(phrases, key=lambda phrase: (phrase.start or 0, phrase.end or 0)), rejected


def num_named(phrase: Phrase) -> int | None:
    """How many things a phrase names: 1, the number that it states, or None: several, it does not say how many."""
    words = [word.lower() for word in _WORD.findall(phrase.text)]
    last = words[-1] if words else ""
    if last in SINGULAR_IN_S and "pair" in words:
        return 1
    for word in words[:-1]:
        if word in NUMBERS or word.isdecimal():
            return NUMBERS[word] if word in NUMBERS else max(1, int(word))
    is_several = last in IRREGULAR_PLURALS or singular(last) != last
    return None if is_several or not SEVERAL.isdisjoint(words[:2]) or not COLLECTIVE_NOUNS.isdisjoint(words[:-1]) else 1


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
        last = _end_of(text, words, position, position)
        if last > position and last + 2 < len(words) and words[last][2] in COLLECTIVE_NOUNS and words[last + 1][2] == "of":
            members = _end_of(text, words, last + 2, position)
            if _names_several(words[last + 2 : members + 1]):
                last = members
        if last > position:
            yield words[position][0], words[last][1]
        position = last + 1


def _end_of(text: str, words: Sequence[tuple[int, int, str]], first: int, start: int) -> int:
    """Index of the last word of the noun phrase that goes on from `first`; it began at `start`."""
    last = first
    while last + 1 < len(words) and last - start < _MAX_WORDS and _continues(text, words[last], words[last + 1]):
        last += 1
    return last


def _names_several(words: Sequence[tuple[int, int, str]]) -> bool:
    noun = words[-1][2] if words else ""
    return bool(words) and words[0][2] not in BOUNDARIES | PRONOUNS and (noun in SINGULAR_IN_S or singular(noun) != noun)


def _with_members(text: str, spans: Sequence[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Joins "a group" and "people" where "of" stands between them: the members are what is boxed."""
    joined: list[tuple[int, int, str]] = []
    for start, end, head in spans:
        if joined and joined[-1][2] in COLLECTIVE_NOUNS and text[joined[-1][1] : start].strip() == "of":
            joined[-1] = (joined[-1][0], end, head)
        else:
            joined.append((start, end, head))
    return joined


def _sentence(borders: Sequence[tuple[int, int]], start: int) -> int:
    return next((i for i, (left, right) in enumerate(borders) if left <= start < right), 0)


def _continues(text: str, word: tuple[int, int, str], following: tuple[int, int, str]) -> bool:
    if text[word[1] : following[0]].strip() or following[2] in BOUNDARIES or following[2] in PRONOUNS:
        return False
    return following[2] not in DETERMINERS or word[2] in DETERMINERS


def _phrase(text: str, start: int, end: int, sentence: int, head: str, domain: Domain) -> Phrase:
    span = text[start:end]
    return Phrase(text=span, start=start, end=end, head=head, sentence=sentence, mark=_mark(span, head, domain))


def _mark(span: str, head: str, domain: Domain) -> str | None:
    words = [word.lower() for word in _WORD.findall(span)]
    content = [word for word in words if word not in DETERMINERS]
    if not content or all(word in PRONOUNS for word in words):
        return "pronoun"
    if head in domain.drop:
        return "dropped"
    if head in domain.keep or head in domain.nouns:
        return None
    if head in SCENE_NOUNS or all(word in POSITION_WORDS for word in content):
        return "scene"
    if head in PLACE_NOUNS and not any(domain.types_of(word) for word in content[:-1]):
        return "scene"
    if domain.types_of(head) and head not in THINGS_TOO:
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
