"""What counts as a word: what stands between spaces, or a character in scripts that put none between words. Knows no probe."""

import re
from collections.abc import Iterable
from typing import Literal

from stages.audit.form.sameness import shown

Tokens = Literal["words", "characters"]
# Chinese characters with the marks that stand for them, kana, bopomofo, Yi, and the scripts of Thai, Lao, Burmese, Khmer, Tibetan, Tai and
# Java and Bali, vowel signs too.
UNSPACED = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\u1b00-\u1b7f\u3005-\u3007\u3031-\u3035\u3041-\u309f"
    "\u30a1-\u30ff\u3100-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\ua980-\ua9df\uaa60-\uaadf\uf900-\ufaff\uff66-\uff9f"
    "\U00020000-\U0003ffff"
)
# Signs that Python counts among no letters and that are part of words: accents, points of Hebrew and Arabic, vowel signs of India.
SIGNS = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed"
    "\u0711\u0730-\u074a\u07a6-\u07b0\u07eb-\u07f3\u0816-\u082d\u0859-\u085b\u08ca-\u0963\u0966-\u0df3\u135d-\u135f\u1712-\u1773\u18a9\u1920-\u193b"
    "\u1ab0-\u1aff\u1b80-\u1bf3\u1c24-\u1c37\u1cd0-\u1cf9\u1dc0-\u1dff\u20d0-\u20f0\ua66f-\ua67d\ua69e\ua69f\ua6f0\ua6f1\ua802-\ua82c\ua880-\ua8c5"
    "\ua8e0-\ua953\uaae0-\uaaef\uabe3-\uabed\ufe20-\ufe2f\U00011000-\U00011fff"
)
_CHARACTER = re.compile(f"[{UNSPACED}]")
# Letters of one script stay together; a character without spaces is a token of its own, in a text of both too.
TOKEN = re.compile(rf"[{UNSPACED}]|(?:(?![{UNSPACED}])[\w{SIGNS}])+")
_ASCII_TOKEN = re.compile(r"\w+", re.ASCII)  # the same of ASCII, in a third of the time
_KANJI, _KATAKANA = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff", "\u30a1-\u30ff"
_HEAD_FINAL = re.compile(f"[{_KANJI}]+|[{_KATAKANA}]+")
_OF = re.compile("[的之の]")
_AFTER_NOUN = re.compile("[。！？!?.,，、；;：:\\s]+$")
_NOUN_CHARACTERS = 2


def tokens_of(text: str) -> list[str]:
    """The words of a text, lower case; of a script without spaces its characters."""
    return _ASCII_TOKEN.findall(text.lower()) if text.isascii() else TOKEN.findall(shown(text).lower())


def is_unspaced(text: str) -> bool:
    """Whether a text has characters of a script that puts no spaces between words."""
    return _CHARACTER.search(text) is not None


def tokenisation(texts: Iterable[str]) -> tuple[Tokens, dict[str, int]]:
    """How most of the texts were read, and how many texts each way."""
    counts = {"words": 0, "characters": 0}
    for text in texts:
        counts["words" if text.isascii() or not is_unspaced(text) else "characters"] += 1
    return ("characters" if counts["characters"] > counts["words"] else "words"), counts


def unspaced_head(text: str) -> str | None:
    """The head of a Chinese or Japanese expression, which stands last: what follows the last of-particle, two characters at most.

    Katakana stay whole. None in scripts whose heads stand first, and where nothing is left: there the noun is to be named.
    """
    part = _OF.split(_AFTER_NOUN.sub("", text))[-1]
    runs = _HEAD_FINAL.findall(part) or _HEAD_FINAL.findall(text)
    if not runs:
        return None
    last = str(runs[-1])
    return last if re.fullmatch(f"[{_KATAKANA}]+", last) else last[-_NOUN_CHARACTERS:]
