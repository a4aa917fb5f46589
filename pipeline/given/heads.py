"""The head noun of a given name or expression, by closed word lists. Asks no model."""

import re

from stages.words.lexicon import BOUNDARIES, DETERMINERS
from stages.words.nouns import singular

_WORD = re.compile(r"[^\W\d_][\w'-]*")


def head_of(text: str) -> str:
    """The last word before the first preposition, verb or conjunction, in the singular: `man` of `a tall man in a red coat`."""
    words = [word.lower() for word in _WORD.findall(text)]
    content = [word for word in words if word not in DETERMINERS] or words
    stop = next((i for i, word in enumerate(content) if i and word in BOUNDARIES), len(content))
    return singular(content[stop - 1]) if content else text.strip().lower()
