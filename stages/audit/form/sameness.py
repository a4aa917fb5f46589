"""Whether two texts say the same: up to capitals, spaces, punctuation marks, invisible characters and how Unicode spells a letter.

Knows no item.
"""

import re
import unicodedata
from array import array
from collections.abc import Iterable
from itertools import islice

import numpy as np
from jaxtyping import Int64

# Characters that show nothing: soft hyphen, zero-width ones, direction marks, variation selectors, byte order marks.
INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e01ef"
)
_INVISIBLE = re.compile(f"[{INVISIBLE}]")
_MARKS = (
    "!\"#%&'()*,\\-./:;?@\\[\\\\\\]_{}\u00a1\u00a7\u00ab\u00b6\u00b7\u00bb\u00bf\u055a-\u055f\u0589\u058a\u05be\u05c0\u05c3\u060c\u061b\u061f\u066a-\u066d"
    "\u06d4\u0964\u0965\u0f0b-\u0f14\u104a-\u104f\u1361-\u1368\u17d4-\u17d6\u2010-\u2027\u2030-\u205e\u2e00-\u2e5d\u3001-\u3003\u3008-\u3011\u3014-\u301f"
    "\u30fb"
)
_AT_ONCE = 64
_SPACES_AND_MARKS = re.compile(f"[\\s{_MARKS}]+")


def shown(text: str) -> str:
    """The text without invisible characters, its letters spelled in one way (full-width ones as others)."""
    return text if text.isascii() else _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))


def is_plain(*texts: str) -> bool:
    """Whether it is clear at once that texts are ASCII letters and digits, no capitals, with single spaces between words."""
    whole = "\n".join(texts)
    return (
        whole.isascii()
        and whole.replace(" ", "").replace("\n", "").isalnum()
        and whole == whole.lower()
        and not any(odd in whole for odd in ("  ", " \n", "\n "))
        and whole[0] not in " \n"
        and whole[-1] not in " \n"
    )


def bare_form(text: str) -> str:
    """What is left of a text without its form: equal of two texts of which one is true where the other is. A text of marks is itself."""
    return text if is_plain(text) else _SPACES_AND_MARKS.sub(" ", shown(text).casefold()).strip() or text


def numbered(texts: Iterable[str]) -> Int64[np.ndarray, " texts"]:
    """A number for each text, equal where they say the same. By 64 bits of hash: as texts they would take as much memory again."""
    hashes, left = array("q"), iter(texts)
    while block := list(islice(left, _AT_ONCE)):
        hashes.extend(map(hash, block if is_plain(*block) else map(bare_form, block)))
    firsts, inverse = np.unique(np.array(hashes, dtype=np.int64), return_index=True, return_inverse=True)[1:]
    return firsts[inverse].astype(np.int64)
