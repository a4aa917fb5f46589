"""What counts as a word: what stands between spaces, or a character in scripts that put none between words. Knows no probe."""

import re
from collections.abc import Iterable
from typing import Literal

Tokens = Literal["words", "characters"]
# Chinese characters with the marks that stand for them, kana, and the scripts of Thai, Lao, Burmese, Khmer and Tibetan, vowel signs too.
_UNSPACED = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3031-\u3035\u3041-\u309f\u30a1-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uaa60-\uaa7f\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_CHARACTER = re.compile(f"[{_UNSPACED}]")
# Letters of one script stay together; a character without spaces is a token of its own, in a text of both too.
TOKEN = re.compile(rf"[{_UNSPACED}]|(?:(?![{_UNSPACED}])\w)+")
_ASCII_TOKEN = re.compile(r"\w+", re.ASCII)  # the same of ASCII, in a third of the time
_KANJI, _KATAKANA = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff", "\u30a1-\u30ff"
_HEAD_FINAL = re.compile(f"[{_KANJI}]+|[{_KATAKANA}]+")
_OF = re.compile("[的之の]")
_AFTER_NOUN = re.compile("[。！？!?.,，、；;：:\\s]+$")
_NOUN_CHARACTERS = 2


def tokens_of(text: str) -> list[str]:
    """The words of a text, lower case; of a script without spaces its characters."""
    return (_ASCII_TOKEN if text.isascii() else TOKEN).findall(text.lower())


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
