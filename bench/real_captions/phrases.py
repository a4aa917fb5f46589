"""Phrases by reader against the judged windows: precision and recall with bounds over windows, and what is wrong.

A phrase is right where its very span was judged right. A thing is found where one of the spans that name it is proposed. Spans
that nobody had judged (a mended border) were judged afterwards, shuffled, without the name of the reader: judged_since.jsonl.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bench.real_captions.captions import Captions
from schemas.rows import Phrase
from stages.words.phrases import chunk_phrases, spacy_phrases

Span = tuple[int, int]
Reader = Callable[[str], list[Phrase]]
_RESAMPLES = 2000
_SINCE = Path(__file__).with_name("judged_since.jsonl")


@dataclass(frozen=True)
class Judged:
    """A window: what was judged of each span, and the things in it, each as the spans that name it rightly."""

    verdicts: Mapping[Span, str]
    objects: Sequence[frozenset[Span]]
    num_never_named: int

    @property
    def right(self) -> frozenset[Span]:
        return frozenset(span for span, verdict in self.verdicts.items() if verdict == "yes")


@dataclass(frozen=True)
class WindowCount:
    """One window under one reader: `right` of `proposed` phrases are judged right, `named` of `objects` are named."""

    proposed: int
    right: int
    named: int
    objects: int


def readers(captions: Captions) -> Mapping[str, Reader]:
    """The readers by name, each from a text to its phrases."""
    return {"chunker": chunk_phrases, "spacy": lambda text: spacy_phrases(text, captions.model)}


def phrase_figures(captions: Captions) -> dict[str, Any]:
    """`phrases`: reader -> precision and recall with 95 % bounds, and what was wrong; `phrases_held_out`: the same on other windows."""
    windows = {"phrases": captions.windows, "phrases_held_out": captions.held_out}
    read = readers(captions)
    return {key: {name: figures_of(captions, some, read[name]) for name in read} for key, some in windows.items()}


def judged(window: Mapping[str, Any]) -> Judged:
    """The window's spans with the verdicts that came with it, and those given since."""
    spans = [(span["start"], span["end"]) for span in window["spans"]]
    verdicts = {place: span["verdict"] for place, span in zip(spans, window["spans"], strict=True)}
    objects = {place: {place} for place, span in zip(spans, window["spans"], strict=True) if span["verdict"] == "yes"}
    for place, span in zip(spans, window["spans"], strict=True):
        if span["why"].startswith("ok="):  # another right name of the same thing
            objects[spans[int(span["why"][3:])]] |= objects.pop(place)
    missed = list(window["missed"])
    for span in _since().get(window["source"], ()):
        place = (span["start"], span["end"])
        verdicts[place] = span["verdict"]
        if span["verdict"] == "yes":
            objects.setdefault(tuple(span.get("same_as", place)), set()).add(place)
            missed = [text for text in missed if text != span["text"]]
    return Judged(verdicts, [frozenset(names) for names in objects.values()], len(missed))


def proposed(window: Mapping[str, Any], read: Reader) -> dict[Span, Phrase]:
    """The phrases inside the window that are to be asked of the detector, by span."""
    proposals = {(phrase.start, phrase.end): phrase for phrase in read(window["text"]) if phrase.mark is None}
    inside = {place: phrase for place, phrase in proposals.items() if place[0] is not None and place[1] is not None}
    return {place: phrase for place, phrase in inside.items() if window["judged_from"] <= place[0] and place[1] <= window["judged_to"]}


def bounded(name: str, counts: Sequence[WindowCount], over: str, under: str) -> dict[str, float]:
    """A share over all windows and its 95 % bounds, windows drawn with replacement."""
    part, whole = (np.array([getattr(count, field) for count in counts], float) for field in (over, under))
    drawn = np.random.default_rng(0).integers(len(counts), size=(_RESAMPLES, len(counts)))
    shares = part[drawn].sum(1) / np.maximum(whole[drawn].sum(1), 1)
    low, high = np.quantile(shares, (0.025, 0.975))
    figures = {name: part.sum() / max(1.0, whole.sum()), f"{name}_low": low, f"{name}_high": high}
    return {key: round(float(value), 4) for key, value in figures.items()}


def figures_of(captions: Captions, windows: Sequence[Mapping[str, Any]], read: Reader) -> dict[str, Any]:
    """Precision and recall of a reader on windows, with bounds, and how often each verdict was earned by what is wrong."""
    counts, wrong = [], Counter[str]()
    for window in windows:
        judgement, spans = judged(window), proposed(window, read)
        wrong.update(judgement.verdicts.get(place, "unjudged") for place in spans if place not in judgement.right)
        named = [names for names in judgement.objects if not names.isdisjoint(spans)]
        counts.append(
            WindowCount(len(spans), len(judgement.right & set(spans)), len(named), len(judgement.objects) + judgement.num_never_named)
        )
        if captions.verbose:
            _tell(window, judgement, spans)
    return {**bounded("precision", counts, "right", "proposed"), **bounded("recall", counts, "named", "objects"), "wrong": dict(wrong)}


def _tell(window: Mapping[str, Any], judgement: Judged, spans: Mapping[Span, Phrase]) -> None:
    for place, phrase in spans.items():
        if place not in judgement.right:
            print(f"{window['source']}: {judgement.verdicts.get(place, 'unjudged')}: {phrase.text} ({place[0]} to {place[1]})")
    for names in judgement.objects:
        if names.isdisjoint(spans):
            start, end = min(names)
            print(f"{window['source']}: lost: {window['text'][start:end]}")


@cache
def _since() -> Mapping[str, Sequence[Mapping[str, Any]]]:
    by_source: dict[str, list[Mapping[str, Any]]] = {}
    for line in _SINCE.read_text(encoding="utf-8").splitlines():
        span = json.loads(line)
        by_source.setdefault(span["source"], []).append(span)
    return by_source
