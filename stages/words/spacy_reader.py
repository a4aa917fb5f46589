"""Noun phrases by spaCy's noun chunks, mended where they are wrong by kind. Knows no marks.

spaCy is imported where a text is read.
"""

import importlib.util
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from stages.words.chunker import STOPS, chunks
from stages.words.lexicon import BOUNDARIES, DETERMINERS, types_of
from stages.words.marks import DEFINITE, Named, quoted_spans
from stages.words.nouns import SINGULAR_IN_S, is_plural, looks_like_adjective, looks_like_participle, singular
from stages.words.unboxed import COLLECTIVE_NOUNS, PLACE_NOUNS, is_abstract

_NOUNS = ("NOUN", "PROPN")
_PLACES = frozenset("left right top bottom center centre middle front back".split())
_ARTICLES = frozenset("a an the another this these those".split())
_BEFORE_ARTICLES = frozenset("all both half such quite what".split())
_HYPHENS = frozenset("-‐‑–")
_WORD_LIKE = frozenset("word words letter letters number numbers numeral text name logo title phrase initials slogan".split())


def spacy_spans(text: str, model: str) -> list[Named]:
    """The noun phrases of a text, in order, none inside another."""
    doc = _spacy(model)(text)
    runs = [run for chunk in doc.noun_chunks for run in _runs(doc, chunk)]
    runs = _rejoined(doc, [run for run in (_cleaned(doc, first, last) for first, last in runs) if run is not None])
    quoted = quoted_spans(text)
    spans = [_outside(text, _named(doc, first, last), quoted) for first, last in runs]
    return _with_members(text, sorted([*spans, *_overlooked(doc)]))


def spacy_model_path(model: str) -> str | Path | None:
    """What spacy.load takes for this name: the name, or the folder inside a package that carries the model; None: not there."""
    if Path(model).is_dir() or importlib.util.find_spec(model) is None:
        return Path(model) if Path(model).is_dir() else None
    spec = importlib.util.find_spec(model)
    assert spec is not None
    for place in spec.submodule_search_locations or []:
        for config in sorted(Path(place).glob("*/config.cfg")):
            return config.parent
    return model


def _runs(doc: Any, chunk: Any) -> Iterator[tuple[int, int]]:
    """First and last token of the phrases in a chunk: up to its root, parted where "of" stands in it."""
    first = chunk.start
    places = [i for i in range(chunk.start, chunk.root.i) if doc[i].text == "," and i > first and doc[i - 1].lower_ in _PLACES]
    first = places[-1] + 1 if places else first  # "the left, two mugs"
    if first and doc[first - 1].lemma_ == "be" and doc[first].pos_ == "ADJ":  # "the can is full, and white bags ..."
        first = next((i + 2 for i in range(first, chunk.root.i) if doc[i].text == "," and doc[i + 1].lower_ == "and"), first)
    for i in range(first + 1, chunk.root.i):
        if doc[i].lower_ in _ARTICLES and doc[i - 1].lower_ not in _BEFORE_ARTICLES:  # "At the left of the flatbed another ..."
            yield first, i - 1
            first = i
        is_next = doc[i].lower_ in ("and", "or") and doc[i - 1].pos_ in _NOUNS and _begins_anew(doc[i + 1])
        if doc[i].lower_ == "of" or is_next:
            yield first, i - 1
            first = i + 1
    # "the box's vintage appeal", "the statue's left": what is seen is the owner
    head, owners = singular(chunk.root.lemma_), [i for i in range(first + 1, chunk.root.i) if doc[i].tag_ == "POS"]
    yield first, owners[-1] - 1 if owners and (is_abstract(head) or head in PLACE_NOUNS) else chunk.root.i


def _begins_anew(token: Any) -> bool:
    """Whether a phrase of its own follows an "and": "a brown back and dark red legs", but not "a pink and white dress"."""
    return token.pos_ in ("ADJ", "DET", "NUM") and token.i + 1 < len(token.doc) and not types_of(token.doc[token.i - 2].lower_)


def _overlooked(doc: Any) -> Iterator[Named]:
    """Phrases with an article that are in no chunk, since spaCy took their noun for a verb or hung it on one: on the flatbed."""
    taken = {token.i for chunk in doc.noun_chunks for token in chunk}
    by_start = {token.idx: token.i for token in doc}
    for sentence in doc.sents:
        for span in chunks(doc.text, sentence.start_char, sentence.end_char):
            first = by_start.get(span.start)
            inside = _tokens_until(doc, first, span.end) if first is not None else []
            is_noun = bool(inside) and not looks_like_adjective(inside[-1].lower_) and inside[0].pos_ in ("DET", "PRON", "NUM")
            if is_noun and taken.isdisjoint(token.i for token in inside):
                yield span


def _tokens_until(doc: Any, first: int, end: int) -> list[Any]:
    """The tokens from one on that begin before a place in the text."""
    last = first
    while last < len(doc) and doc[last].idx < end:
        last += 1
    return list(doc[first:last])


def _cleaned(doc: Any, first: int, last: int) -> tuple[int, int] | None:
    """Without leading punctuation and what is no part of a name at the end; with what belongs before and after it."""
    last = _whole_word(doc, last)
    while first <= last and (doc[first].is_punct or doc[first].is_space or doc[first].lower_ in ("and", "or", "with")):
        first += 1
    for i in range(first + 1, last + 1):
        if doc[i - 1].lower_ in _WORD_LIKE and not doc[i].is_lower and doc[i].is_alpha:
            last = i - 1  # the word "STOP", the letter R
            break
    while last > first and _is_trailing(doc, first, last):
        last -= 1
    if first > last:
        return None
    first = _with_participle(doc, first)
    return first, _with_noun_after(doc, last)


def _is_trailing(doc: Any, first: int, last: int) -> bool:
    """Whether the last word is no noun: punctuation, a verb that a noun came before, an adverb."""
    word, before = doc[last], doc[last - 1]
    if not word.is_alpha and not word.is_digit and word.text not in _HYPHENS and "-" not in word.text:
        return True
    if before.text in _HYPHENS:
        return False
    is_after_noun = before.pos_ in _NOUNS
    if word.lower_ in BOUNDARIES and (is_after_noun or (word.lower_.endswith("ing") and before.pos_ != "DET")):
        return True  # "a striped cushion rest", "a white convertible facing"
    if is_after_noun and (word.pos_ in ("ADV", "VERB") or word.tag_ == "VBZ" or word.lower_ in STOPS):
        return True
    after = doc[last + 1] if last + 1 < len(doc) else None
    if is_after_noun and looks_like_participle(word.lower_) and after is not None and after.pos_ in ("ADP", "DET", "ADV", "PART"):
        return True  # "its silhouette contrasting against"
    # "the convertible blocks part of": a noun phrase that another follows at once ends in its verb
    follows = after is not None and (after.pos_ == "DET" or after.lower_ in ("part", "its", "his", "her", "their"))
    return follows and last - first > 1 and word.lower_.endswith("s") and is_plural(word.lower_) and not types_of(before.lower_)


def _with_participle(doc: Any, first: int) -> int:
    """The start, with a participle that spaCy takes for a verb: of | interlocking bricks."""
    before = first - 1
    taken = before > 0 and doc[before].tag_ in ("VBG", "VBN") and doc[before - 1].lower_ in ("of", "with") and doc[first].pos_ in _NOUNS
    return before if taken and doc[before].lower_ not in BOUNDARIES else first


def _with_noun_after(doc: Any, last: int) -> int:
    """The end, with a noun that spaCy takes for a verb after a noun of matter: The glass | pane in front."""
    if last + 2 >= len(doc) or not types_of(doc[last].lower_) or is_plural(doc[last].lower_) or doc[last].pos_ not in _NOUNS:
        return last
    after = doc[last + 1]
    is_noun = (
        after.pos_ in ("VERB", "NOUN") and after.is_alpha and after.lower_ not in BOUNDARIES and after.tag_ in ("VB", "VBP", "NN", "NNS")
    )
    return last + 1 if is_noun and doc[last + 2].pos_ in ("ADP", "AUX", "PUNCT", "VERB") else last


def _whole_word(doc: Any, last: int) -> int:
    """The last token of the hyphenated word that a token is part of: t | - | shirt."""
    while last + 2 < len(doc) and doc[last + 1].text in _HYPHENS and not doc[last].whitespace_ and not doc[last + 1].whitespace_:
        last += 2
    return last


def _rejoined(doc: Any, runs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Adjectives that a comma parts from their noun come back: crispy | , golden rice."""
    joined: list[tuple[int, int]] = []
    for first, last in runs:
        if joined and _is_parted(doc, *joined[-1], first):
            joined[-1] = (joined[-1][0], last)
        elif not joined or first > joined[-1][1]:
            joined.append((first, last))
    return joined


def _is_parted(doc: Any, start: int, end: int, first: int) -> bool:
    """Whether the phrase from `start` to `end` is the beginning of the one at `first`: adjectives, then a comma or participles."""
    between = doc[end + 1 : first]
    if not 0 < len(between) <= 2 or doc[first].lower_ in DETERMINERS or not _is_adjectives(doc, start, end):
        return False
    if any(token.text != "," and token.tag_ not in ("VBN", "VBD", "VBG") for token in between):
        return False
    is_comma = len(between) == 1 and between[0].text == ","
    return doc[start].pos_ == "DET" or (is_comma and doc[first].pos_ in ("ADJ", "VERB", "ADV"))


def _is_adjectives(doc: Any, first: int, last: int) -> bool:
    """Whether no noun stands among these words: "a rich", "crispy"."""
    words = [token for token in doc[first : last + 1] if token.pos_ not in ("DET", "PUNCT")]
    return bool(words) and all(token.pos_ in ("ADJ", "ADV") or looks_like_adjective(token.lower_) for token in words)


def _named(doc: Any, first: int, last: int) -> Named:
    """The span of these tokens and its head: a hyphenated word is one."""
    start = last
    while start - 2 >= first and doc[start - 1].text in _HYPHENS and not doc[start - 1].whitespace_ and not doc[start - 2].whitespace_:
        start -= 2
    word = doc[last]
    end = word.idx + len(word)
    if start < last:
        return Named(doc[first].idx, end, singular(doc.text[doc[start].idx : end]))
    return Named(doc[first].idx, end, singular(word.lemma_ if word.lower_ not in SINGULAR_IN_S else word.lower_))


def _outside(text: str, span: Named, quoted: Sequence[tuple[int, int]]) -> Named:
    """The part of a phrase before a quotation that begins in it."""
    for start, _ in quoted:
        if span.start < start < span.end:
            left = text[span.start : start].rstrip()
            words = re.findall(r"\w[\w-]*", left)
            return Named(span.start, span.start + len(left), singular(words[-1])) if words else span
    return span


def _with_members(text: str, spans: Sequence[Named]) -> list[Named]:
    """Joins "a group" and "people" where "of" stands between them: the members are what is boxed."""
    joined: list[Named] = []
    for span in spans:
        last = text[span.start : span.end].rpartition(" ")[2].lower()
        is_several = (is_plural(last) or last in SINGULAR_IN_S) and text[span.start : span.end].partition(" ")[0] not in DEFINITE
        if joined and is_several and joined[-1].head in COLLECTIVE_NOUNS and text[joined[-1].end : span.start].strip() == "of":
            joined[-1] = Named(joined[-1].start, span.end, span.head)
        else:
            joined.append(span)
    return joined


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
