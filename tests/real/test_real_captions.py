"""Real dense captions through the phrase readers and the recogniser of values, against what a reader judged."""

import os
from pathlib import Path
from typing import Any

import pytest

from bench.real_captions.captions import READER, Captions
from bench.real_captions.phrases import phrase_figures
from bench.real_captions.slots import slot_figures
from bench.real_captions.values import value_figures

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def captions(tmp_path_factory: pytest.TempPathFactory) -> Captions:
    folder = Path(os.environ.get("FGDATA_CAPTIONS", ""))
    assert (folder / "phrases_judged.jsonl").is_file(), "FGDATA_CAPTIONS must name the folder of the captions"
    return Captions(folder, READER, tmp_path_factory.mktemp("captions"))


@pytest.fixture(scope="module")
def figures(captions: Captions) -> dict[str, Any]:
    return phrase_figures(captions)


@pytest.mark.parametrize(("reader", "precision", "recall"), [("spacy", 0.92, 0.93), ("chunker", 0.85, 0.74)])
@pytest.mark.parametrize("windows", ["phrases", "phrases_held_out"])
def test_phrases_hold_against_what_was_judged(figures: dict[str, Any], windows: str, reader: str, precision: float, recall: float) -> None:
    assert figures[windows][reader]["precision"] >= precision
    assert figures[windows][reader]["recall"] >= recall


@pytest.mark.parametrize("reader", ["spacy", "chunker"])
def test_nothing_that_is_asked_on_the_judged_windows_is_unjudged(figures: dict[str, Any], reader: str) -> None:
    assert figures["phrases"][reader]["wrong"].get("unjudged", 0) == 0


def test_more_than_a_quarter_of_the_phrases_has_a_slot(captions: Captions) -> None:
    assert slot_figures(captions)["slots"]["any"] >= 0.28


def test_most_values_are_known_and_few_matches_are_false(captions: Captions) -> None:
    values = value_figures(captions)["values"]
    assert {kind: figures["known"] for kind, figures in values.items() if figures["known"] < 0.8} == {}
    assert {kind: figures["false"] for kind, figures in values.items() if figures["false"] > 0.1} == {}
