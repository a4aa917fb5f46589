"""A lineup: an image's phrases asked of the detector once more, all in one prompt, among near misses of themselves.

A detector fires on what is absent. A box that is the phrase's own scores higher for the phrase than for the same phrase
with one word changed; noise does not. Both stand in one prompt, for scores of different prompts cannot be compared: the
more phrases a prompt has, the more of them fire. Knows phrases, words and boxes; asks nobody.
"""

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal

from schemas.boxes import Box, iou_matrix
from schemas.rows import ATTRIBUTE_TYPES, Phrase
from stages.words.ambiguity import may_be_both_true
from stages.words.domain import Domain
from stages.words.values import values_in

_WORD = re.compile(r"[^\W\d_][\w'’-]*")
# Nouns of common things that no one takes for one another, for images that name too few things themselves.
_STRANGERS = "car dog tree chair bottle bird boat shoe lamp horse clock umbrella bicycle cake guitar fish house".split()
# Two phrases whose best boxes overlap more may name one thing: the noun of one is no near miss of the other.
_MAX_IOU_OF_STRANGERS = 0.3


@dataclass(frozen=True)
class Control:
    """A phrase with its noun, or one attribute value, replaced. `phrase` is an index into the row's phrases."""

    phrase: int
    kind: Literal["noun", "value"]
    text: str


@dataclass(frozen=True)
class Lineup:
    """What is asked in one prompt: `own` (phrase -> text) for each phrase that has controls, and the controls."""

    own: Mapping[int, str]
    controls: Sequence[Control]

    @property
    def texts(self) -> list[str]:
        """Each text once: the phrases, then the near misses."""
        return list(dict.fromkeys([*self.own.values(), *(control.text for control in self.controls)]))

    def texts_of(self, phrase: int, kind: str) -> Collection[int]:
        """Indices into `texts`: a phrase's own (kind `own`), or its controls of a kind."""
        wanted = {control.text for control in self.controls if control.phrase == phrase and control.kind == kind}
        if kind == "own" and phrase in self.own:
            wanted = {self.own[phrase]}
        return {i for i, text in enumerate(self.texts) if text in wanted}


def lineup_of(phrases: Sequence[Phrase], best: Mapping[int, Box], domain: Domain, limit: int) -> Lineup:
    """The phrases that have a box, `best`, among at most `limit` near misses: one of each noun first, then of each value, and on.

    Replacements are words that the image's other phrases use, then the domain's, then common ones; never one that may be
    true beside the word that it replaces. The same phrases and boxes give the same lineup.
    """
    queues = [_near_misses(phrases, index, slot, best, domain) for slot in ("noun", *ATTRIBUTE_TYPES) for index in sorted(best)]
    texts = {phrases[index].text for index in best}
    in_turn = [control for one_round in zip_longest(*queues) for control in one_round if control is not None and control.text not in texts]
    controls = in_turn[:limit]
    return Lineup({index: phrases[index].text for index in sorted({control.phrase for control in controls})}, controls)


def _near_misses(phrases: Sequence[Phrase], index: int, slot: str, best: Mapping[int, Box], domain: Domain) -> Iterator[Control]:
    phrase = phrases[index]
    words = [(match.start(), match.end(), match.group().lower()) for match in _WORD.finditer(phrase.text)]
    if slot == "noun":
        for start, end, word in words[-1:]:
            for noun in _other_nouns(phrases, index, best, domain):
                yield Control(index, "noun", _replaced(phrase.text, start, end, noun if word == phrase.head else f"{noun}s"))
        return
    for start, end, value in _values(phrase.text, slot, domain):
        if words and end <= words[-1][0]:
            for other in _other_values(phrases, index, slot, value, domain):
                yield Control(index, "value", _replaced(phrase.text, start, end, other))


def _other_nouns(phrases: Sequence[Phrase], index: int, best: Mapping[int, Box], domain: Domain) -> list[str]:
    head, own = phrases[index].head, best[index]
    others = [other for other in best if other != index and iou_matrix([own], [best[other]])[0, 0] < _MAX_IOU_OF_STRANGERS]
    elsewhere = [phrases[other].head for other in others]
    named = {phrase.head for phrase in phrases}
    strangers = [noun for noun in _shuffled(domain.nouns or _STRANGERS, phrases[index].text) if noun not in named]
    return [noun for noun in dict.fromkeys([*elsewhere, *strangers]) if not may_be_both_true("object", head, noun)]


def _other_values(phrases: Sequence[Phrase], index: int, kind: str, value: str, domain: Domain) -> list[str]:
    others = (other.text for other in phrases if other is not phrases[index])
    elsewhere = [word for text in others for _, _, word in _values(text, kind, domain)]
    candidates = dict.fromkeys([*elsewhere, *_shuffled(domain.values_of(kind), f"{phrases[index].text}/{kind}")])
    stated = [value, *(word for _, _, word in _values(phrases[index].text, kind, domain))]
    return [word for word in candidates if not any(may_be_both_true(kind, word, own) for own in stated)]


def _values(text: str, kind: str, domain: Domain) -> list[tuple[int, int, str]]:
    """The values of a type that a phrase states, by the lists or the domain, each where it stands first; none inside another."""
    own = [value.lower() for name, values in domain.values.items() if name == kind for value in values]
    values_stated = dict.fromkeys([*(value_read.value for value_read in values_in(text) if value_read.type == kind), *own])
    matches = [(match, value) for value in values_stated if (match := re.search(rf"(?<![\w-]){re.escape(value)}(?![\w-])", text.lower()))]
    spans = sorted((match.start(), match.end(), value) for match, value in matches)
    return [span for span in spans if not any(span is not other and other[0] <= span[0] and span[1] <= other[1] for other in spans)]


def _shuffled(words: Sequence[str], salt: str) -> list[str]:
    """In an order of its own for each salt, so that controls of a corpus are spread over all values."""
    return sorted(words, key=lambda word: hashlib.sha256(f"{salt}/{word}".encode()).hexdigest())


def _replaced(text: str, start: int, end: int, word: str) -> str:
    before = re.sub(r"\b([Aa])n?(\s+)$", lambda match: f"{match[1]}{'n' if word[0] in 'aeio' else ''}{match[2]}", text[:start])
    return before + word + text[end:]
