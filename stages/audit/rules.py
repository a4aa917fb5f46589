"""Probes without words: length, articles, spaces, capital letters. Each is a few numbers of a text; which one tells, and which
way round, is learned on the other folds, so that `longer is false` and `shorter is false` are both found. Knows no verdict.
"""

import re
from collections.abc import Callable, Sequence

import numpy as np

from stages.audit.folds import Folds
from stages.audit.layout import Floats, Layout
from stages.audit.outcomes import outcomes

_ARTICLE = re.compile(r"\b(an?)\s+[\"'(]?(\w+)", re.IGNORECASE)
# By sound, as far as spelling tells: "an hour", "a uniform", "a one-way street", "a European".
_VOWEL_SOUND = re.compile(
    r"(?:hour|honest|honou?r|heir)|(?!(?:uni(?!n|m)|use|usu|uti|ura|uro|eu|ewe|one\b|once\b|ouija))[aeiou]", re.IGNORECASE
)


def wrong_articles(text: str) -> int:
    """How many times a stands where an belongs, or an where a does."""
    return sum((article.lower() == "an") != bool(_VOWEL_SOUND.match(word)) for article, word in _ARTICLE.findall(text))


def _found(pattern: str) -> Callable[[str], float]:
    compiled = re.compile(pattern)
    return lambda text: float(len(compiled.findall(text)))


def _letters(text: str) -> float:
    """Letters and digits: spaces, marks and articles are for the other probes to count."""
    return float(len(re.sub(r"(?i)\b(?:an?|the)\b|\W", "", text)))


_MARKS = r"[.,;:!?]"
RULES: dict[str, tuple[Callable[[str], float], ...]] = {
    "length": (_letters, _found(r"(?i)\b(?!(?:an?|the)\b)\w+")),
    "article": (lambda text: float(wrong_articles(text)), _found(r"(?i)\ban?\b"), _found(r"(?i)\bthe\b")),
    "spacing": (
        _found(rf"\s{{2,}}|[\t\n\r]|^\s|\s$|\s{_MARKS}|[,;:!?](?=[^\W\d_])"),
        _found(r"\s{2,}|[\t\n\r]"),
        _found(rf"\s{_MARKS}"),
        _found(r"^\s|\s$"),
        _found(_MARKS),
        _found(r"[.!?]\s*$"),
    ),
    "case": (_found(r"[A-Z]"), _found(r"\b[A-Z]"), _found(r"^\W*[A-Z]")),
}


def rule_scores(layout: Layout, folds: Folds) -> dict[str, Floats]:
    """Per probe the score of each option, higher where it speaks for the positive."""
    return {
        name: best_of([np.array([measure(text) for text in layout.texts])[layout.options] for measure in measures], layout, folds)
        for name, measures in RULES.items()
    }


def best_of(measures: Sequence[Floats], layout: Layout, folds: Folds) -> Floats:
    """For each fold the measure and the direction that tell most on the others: the largest sum of top-1 and pairwise."""
    candidates = [sign * measure for measure in measures for sign in (1.0, -1.0)]
    told = np.stack([sum(outcomes(scores, layout)) for scores in candidates])
    chosen = np.zeros(len(layout.options))
    for teaching, asked in folds.splits:
        if teaching.any():
            best = candidates[int(told[:, teaching].mean(axis=1).argmax())]
            here = asked[layout.item_of]
            chosen[here] = best[here]
    return chosen
