"""What can be counted of a text's form: how long it is, which marks, capitals, digits and odd characters it has, and where.

Knows no item.
"""

import re
import unicodedata
from collections.abc import Container, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

from stages.audit.form.sameness import is_plain
from stages.audit.tokens import SIGNS, UNSPACED

_EXACT, _GROWTH = 40, 1.08  # numbers up to 40 stand for themselves, larger ones by steps of 8 %
_MOST_TIMES, _EDGE = 5, 6
_LETTERS = re.compile(rf"(?:(?![A-Z])[^\W\d_{UNSPACED}]|[{SIGNS}])+|[{UNSPACED}]+")
_DIGITS = re.compile(r"\d+")
_WORD = re.compile(rf"[\w{SIGNS}]+")


def traits(text: str, lower: Container[str]) -> Iterator[str]:
    """Names of what the form of a text has; of capitalised words their own, where they are among the `lower` ones too."""
    words = text.split(" ")
    yield from _steps("l", len(text) - len(words) + 1)
    yield from _steps("w", len(words))
    if is_plain(text):
        if not text.isalpha():
            yield from _digits(text)
        return
    yield from _digits(text)
    yield from _characters(text)
    yield from _capitals(text, lower)
    yield from _outline(text)


@lru_cache(maxsize=4096)
def _steps(kind: str, number: int) -> tuple[str, ...]:
    """The number itself, and each of some bounds that it reaches: so a rule of any shape can be learned of it."""
    bounds, bound = list[int](), 1.0
    while bound <= number:
        bounds.append(int(bound))
        bound = max(bound + 1, bound * 1.4)
    own = number
    if number > _EXACT:
        step = float(_EXACT)
        while step * _GROWTH <= number:
            step *= _GROWTH
        own = int(step)
    return (f"{kind}={own}", *(f"{kind}>{bound}" for bound in bounds))


def _digits(text: str) -> Iterator[str]:
    runs = _DIGITS.findall(text)
    for run in runs:
        yield f"d{min(len(run), _MOST_TIMES)}"
    yield f"D{min(len(runs), _MOST_TIMES)}"


def _characters(text: str) -> Iterator[str]:
    """Those that are no letters, with how often each stands there; spellings that Unicode has another of."""
    others = _LETTERS.sub("", text)
    for character in set(others) - {" "}:
        if not character.isalnum():
            yield from (f"c{character}", f"c{character}{min(others.count(character), _MOST_TIMES)}")
    if not text.isascii():
        yield from (form for form in ("NFC", "NFD", "NFKC") if not unicodedata.is_normalized(form, text))


def _capitals(text: str, lower: Container[str]) -> Iterator[str]:
    """How many, and which words by place and by name."""
    if text == text.lower():
        return
    words = _WORD.findall(text)
    yield f"A{min(sum(map(str.isupper, text)), _EDGE * 2)}"
    for place, word in enumerate(words):
        if word != word.lower():
            if word.lower() in lower:
                yield f"U{word}"
            shape = "X" if word.isupper() and len(word) > 1 else "x"
            yield from (f"u{shape}{min(place, _EDGE)}", f"v{shape}{min(len(words) - place, _EDGE)}")


def _outline(text: str) -> Iterator[str]:
    """Neighbours in the text when each run of letters is one sign, and what it begins and ends with."""
    outline = _DIGITS.sub("0", _LETTERS.sub("a", text))
    yield from (f"b{outline[:1]}", f"e{outline[-1:]}")
    for left, right in pairwise(outline):
        if left + right not in ("a ", " a"):
            yield f"o{left}{right}"


def halves(tokens: Sequence[str]) -> Iterator[str]:
    """In which half of a text each word stands, the first and the last one."""
    for place, token in enumerate(tokens):
        yield f"{'<' if 2 * place < len(tokens) - 1 else '>'}{token}" if 2 * place != len(tokens) - 1 else f"={token}"
    if tokens:
        yield from (f"^{tokens[0]}", f"${tokens[-1]}")
