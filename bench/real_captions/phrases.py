"""Phrases by reader against the judged windows: precision and recall with bounds over windows, and what was wrong by kind."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.real_captions.captions import Captions
from schemas.rows import Phrase
from stages.words.phrases import chunk_phrases, spacy_phrases

Span = tuple[int, int]
_RESAMPLES = 2000


@dataclass(frozen=True)
class WindowCount:
    """One window under one reader: `right` of `proposed` phrases are judged right, `found` of `mentions` things are named."""

    proposed: int
    right: int
    found: int
    mentions: int


def readers(captions: Captions) -> Mapping[str, Callable[[str], list[Phrase]]]:
    """The readers by name, each from a text to its phrases."""
    return {"chunker": chunk_phrases, "spacy": lambda text: spacy_phrases(text, captions.model)}


def phrase_figures(captions: Captions) -> dict[str, Any]:
    """`phrases`: reader -> precision and recall with 95 % bounds, and counts."""
    return {"phrases": {name: _figures(captions.windows, read) for name, read in readers(captions).items()}}


def proposed(window: Mapping[str, Any], read: Callable[[str], list[Phrase]]) -> dict[Span, Phrase]:
    """The phrases inside the window that are to be asked of the detector, by span."""
    found = [phrase for phrase in read(window["text"]) if phrase.mark is None and phrase.start is not None and phrase.end is not None]
    inside = [one for one in found if window["judged_from"] <= one.start and one.end <= window["judged_to"]]  # type: ignore[operator]  # not None
    return {(one.start, one.end): one for one in inside}  # type: ignore[misc]  # not None


def _figures(windows: Sequence[Mapping[str, Any]], read: Callable[[str], list[Phrase]]) -> dict[str, Any]:
    counts, wrong = [], Counter[str]()
    for window in windows:
        judged = {(span["start"], span["end"]): span for span in window["spans"]}
        spans = proposed(window, read)
        good = {span for span, one in judged.items() if one["verdict"] == "yes"}
        wrong.update("unjudged" if span not in judged else judged[span]["verdict"] for span in spans if span not in good)
        counts.append(WindowCount(len(spans), len(good & set(spans)), len(good & set(spans)), len(good) + len(window["missed"])))
    return {**bounded("precision", counts, "right", "proposed"), **bounded("recall", counts, "found", "mentions"), "wrong": dict(wrong)}


def bounded(name: str, counts: Sequence[WindowCount], over: str, under: str) -> dict[str, float]:
    """A share over all windows and its 95 % bounds, windows drawn with replacement."""
    part, whole = (np.array([getattr(one, field) for one in counts], float) for field in (over, under))
    drawn = np.random.default_rng(0).integers(len(counts), size=(_RESAMPLES, len(counts)))
    shares = part[drawn].sum(1) / np.maximum(whole[drawn].sum(1), 1)
    low, high = np.quantile(shares, (0.025, 0.975))
    figures = {name: part.sum() / max(1.0, whole.sum()), f"{name}_low": low, f"{name}_high": high}
    return {key: round(float(value), 4) for key, value in figures.items()}
