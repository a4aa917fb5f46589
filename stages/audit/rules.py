"""Probes without words: length, articles, spaces, capital letters. Each is a few numbers of a text; which one tells, and which
way round, is learned on the other folds, so that `longer is false` and `shorter is false` are both found. Knows no verdict.
"""

import re
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np
from jaxtyping import Float64

from schemas.audit import ProbeName
from stages.audit.folds import Folds
from stages.audit.layout import Floats, Layout
from stages.audit.outcomes import outcomes
from stages.audit.tokens import tokens_of

_ARTICLE = re.compile(r"\b(an?)\s+[\"'(]?(\w+)", re.IGNORECASE)
# By sound, as far as spelling tells: "an hour", "a uniform", "a one-way street", "a European".
_VOWEL_SOUND = re.compile(
    r"(?:hour|honest|honou?r|heir)|(?!(?:uni(?!n|m)|use|usu|uti|ura|uro|eu|ewe|one\b|once\b|ouija))[aeiou]", re.IGNORECASE
)


def wrong_articles(text: str) -> int:
    """How many times a stands where an belongs, or an where a does."""
    return sum((article.lower() == "an") != bool(_VOWEL_SOUND.match(word)) for article, word in _ARTICLE.findall(text))


_MARK = r"[.,;:!?\u3001\u3002\uff0c\uff0e\uff1a\uff1b\uff01\uff1f]"
_SPACES, _BEFORE_MARK, _EDGE = re.compile(r"\s{2,}|[\t\n\r]"), re.compile(rf"\s{_MARK}"), re.compile(r"^\s|\s$")
_STRAY = re.compile(rf"\s{{2,}}|[\t\n\r]|^\s|\s$|\s{_MARK}|[,;:!?](?=[^\W\d_])")
_MARKS, _STOP = re.compile(_MARK), re.compile(r"[.!?\u3002\uff0e\uff01\uff1f]\s*$")
_ANY_SPACING = re.compile(rf"{_MARK}|\s\s|[\t\n\r]|^\s|\s$")
_ARTICLES, _A, _THE = re.compile(r"(?i)\b(?:an?|the)\b|\W"), re.compile(r"(?i)\ban?\b"), re.compile(r"(?i)\bthe\b")
_FIRST = re.compile(r"^\W*")


def _length(text: str) -> tuple[float, ...]:
    """Letters and digits: spaces, marks and articles are for the other probes to count. Words, or characters that are words."""
    tokens = tokens_of(text)
    num_a, num_an, num_the = map(tokens.count, ("a", "an", "the"))
    letters = sum(map(len, tokens)) - num_a - 2 * num_an - 3 * num_the if text.isascii() else len(_ARTICLES.sub("", text))
    return float(letters), float(len(tokens) - num_a - num_an - num_the)


def _article(text: str) -> tuple[float, ...]:
    """Wrong ones, indefinite ones, definite ones."""
    lower = text.lower()
    num_a = float(len(_A.findall(lower))) if "a" in lower else 0.0
    return float(wrong_articles(text)) if num_a else 0.0, num_a, float(len(_THE.findall(lower))) if "the" in lower else 0.0


def _spacing(text: str) -> tuple[float, ...]:
    """Stray spaces of any kind, then by kind; marks; whether a full stop ends the text."""
    if _is_plain(text) or _ANY_SPACING.search(text) is None:
        return _SIX_ZEROS
    return tuple(float(len(pattern.findall(text))) for pattern in (_STRAY, _SPACES, _BEFORE_MARK, _EDGE, _MARKS, _STOP))


def _is_plain(text: str) -> bool:
    """Whether it is clear at once that a text is ASCII letters and digits with single spaces between words."""
    return text.isascii() and text.replace(" ", "").isalnum() and "  " not in text and text[0] != " " != text[-1]


def _case(text: str) -> tuple[float, ...]:
    """Capital letters, words that begin with one, whether the text does."""
    if text == text.lower():
        return _THREE_ZEROS
    first = text[_match_end(text) :][:1]
    starts = sum(word[0].isupper() for word in re.findall(r"\w+", text))
    return float(sum(map(str.isupper, text))), float(starts), float(first.isupper())


def _match_end(text: str) -> int:
    match = _FIRST.match(text)
    return match.end() if match else 0


_SIX_ZEROS, _THREE_ZEROS = (0.0,) * 6, (0.0,) * 3
RULES: dict[ProbeName, tuple[Callable[[str], tuple[float, ...]], int]] = {
    "length": (_length, 2),
    "article": (_article, 3),
    "spacing": (_spacing, 6),
    "case": (_case, 3),
}  # each with how many numbers it gives


def rule_scores(layout: Layout, folds: Folds) -> dict[ProbeName, Floats]:
    """Per probe the score of each option, higher where it speaks for the positive."""
    scores: dict[ProbeName, Floats] = {}
    for name, (rule, num) in RULES.items():
        numbers = chain.from_iterable(map(rule, layout.texts))
        measures = np.fromiter(numbers, dtype=np.float32, count=num * len(layout.texts)).reshape(-1, num)
        scores[name] = best_of([measures[layout.options, column] for column in range(num)], layout, folds)
    return scores


def best_of(measures: Sequence[Any], layout: Layout, folds: Folds) -> Float64[np.ndarray, " {len(layout.options)}"]:
    """For each fold the measure and the direction that tell most on the others: the largest sum of top-1 and pairwise."""
    candidates = [(measure, sign) for measure in measures for sign in (1, -1)]
    rightness = np.stack([sum(outcomes(measure * np.float32(sign), layout)) for measure, sign in candidates])
    chosen = np.zeros(len(layout.options))
    for teaching, asked in folds.splits:
        if teaching.any():
            best, sign = candidates[int(rightness[:, teaching].mean(axis=1).argmax())]
            is_asked = asked[layout.item_of]
            chosen[is_asked] = best[is_asked] * sign
    return chosen
