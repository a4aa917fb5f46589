"""What is wrong with a caption as a text: hedges, meta phrases, refusals, repetition, a cut end. Pure functions of strings."""

import re
from collections import Counter

FLAGS = {
    "hedge": "hedges (seems, possibly, appears to be)",
    "meta": "talks of the picture (the image shows)",
    "refusal": "refuses (I cannot, as an AI)",
    "repetition": "repeats itself",
    "unfinished": "ends in mid-sentence",
}
_HEDGE = re.compile(
    r"\b(?:appears? to|seems?|seemingly|possibly|perhaps|probably|presumably|likely|may(?: also)? be|might be|could be|"
    r"suggest(?:s|ing) that|what looks like|hard to tell|unclear)\b",
    re.I,
)
_META = re.compile(
    r"\b(?:(?:the|this) (?:image|photo|photograph|picture) (?:shows|depicts|features|captures|displays|presents|is|contains)|"
    r"in (?:the|this) (?:image|photo|photograph|picture)|overall,|the (?:caption|description))",
    re.I,
)
_REFUSAL = re.compile(r"\b(?:as an ai|i(?:'m| am) (?:sorry|unable)|i (?:cannot|can't)|language model)\b", re.I)
_END = re.compile(r"[.!?\u2026\u3002\uff01\uff1f]['\")\]\u2019\u201d]*\s*$")
_GRAM, _MAX_GRAM_REPEATS, _MIN_SENTENCE_WORDS = 5, 3, 4


def flags(text: str) -> list[str]:
    """The flags that a long caption earns, in the order of FLAGS."""
    flagged = {
        "hedge": bool(_HEDGE.search(text)),
        "meta": bool(_META.search(text)),
        "refusal": bool(_REFUSAL.search(text)),
        "repetition": repeats(text),
        "unfinished": bool(text.strip()) and not _END.search(text),
    }
    return [name for name in FLAGS if flagged[name]]


def repeats(text: str) -> bool:
    """Whether a sentence of four words or more comes twice, or the same five words in a row three times."""
    sentences = Counter(" ".join(part.lower().split()) for part in re.split(r"[.!?]+", text) if len(part.split()) >= _MIN_SENTENCE_WORDS)
    if any(count > 1 for count in sentences.values()):
        return True
    words = [word.strip(".,;:!?") for word in text.lower().split()]
    grams = Counter(tuple(words[i : i + _GRAM]) for i in range(len(words) - _GRAM + 1))
    return any(count >= _MAX_GRAM_REPEATS for count in grams.values())


def opening(text: str, num_words: int = 3) -> str:
    """The first words, by which captions from one mould are known."""
    return " ".join(text.split()[:num_words])
