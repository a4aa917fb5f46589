import numpy as np
import pytest

from stages.train.evaluation.features import SeenRegion
from stages.train.evaluation.half_truth import Pair, pairs
from stages.train.evaluation.scores import choice_figures, first_wins, retrieval_figures, share, wins


def test_a_tie_is_never_right() -> None:
    texts = np.array([[1, 0], [0, 1], [0, 1]], np.float32)
    images = np.array([[1, 0], [0, 1], [0, 1]], np.float32)
    assert wins(images, texts, [0, 1, 2]).tolist() == [True, False, False]
    assert not first_wins(images[1], texts[[1, 2, 0]])
    assert first_wins(images[0], texts)


def test_a_model_that_says_the_same_of_everything_scores_zero() -> None:
    same = np.full((9, 4), 0.5, np.float32)
    assert retrieval_figures(same, same)["i2t_r1"] == 0.0


def test_blind_retrieval_finds_at_most_one_pair() -> None:
    rng = np.random.default_rng(0)
    images = rng.normal(size=(40, 8)).astype(np.float32)
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    figures = retrieval_figures(images, images)
    assert figures["i2t_r1"] == figures["t2i_r1"] == 1.0
    assert figures["i2t_r1_blind"] <= 1 / 40
    assert figures["t2i_r1_blind"] == 0.0


def test_the_interval_is_wider_where_hits_come_by_image() -> None:
    hits = np.repeat(np.arange(40) % 2 == 0, 10)
    apart, together = share(hits, range(400)), share(hits, np.repeat(np.arange(40), 10).tolist())
    assert apart.value == together.value == 0.5
    assert apart.low < 0.5 < apart.high
    assert together.high - together.low > 2 * (apart.high - apart.low)
    assert apart.high - apart.low == pytest.approx(2 * 1.96 * 0.5 / 20, rel=0.15)


def test_gain_is_what_the_image_adds() -> None:
    figures = choice_figures(np.array([True, True, True, False]), np.array([True, False, False, False]), [0, 1, 2, 3])
    assert (figures["value"], figures["blind"], figures["gain_over_blind"], figures["items"]) == (0.75, 0.25, 0.5, 4)


def test_equal_texts_are_one_candidate() -> None:
    """Three images, two with the same caption: a model that tells the two kinds apart is right of all."""
    images = np.array([[1, 0], [0.9, 0.1], [0, 1]], np.float32)
    texts = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    figures = retrieval_figures(images, texts, ["a cup", "a cup", "a car"])
    assert (figures["i2t_r1"], figures["t2i_r1"], figures["texts"]) == (1.0, 1.0, 2)
    assert (figures["i2t_r1_can_be_right"], figures["t2i_r1_can_be_right"]) == (3, 3)
    apart = retrieval_figures(images, texts)
    assert (apart["i2t_r1"], apart["i2t_r1_can_be_right"]) == (pytest.approx(1 / 3), 1)


def test_figures_say_how_many_items_can_be_right() -> None:
    """Two texts that a model reads alike cannot be told apart, nor two images that are the same."""
    texts = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    images = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    figures = retrieval_figures(images, texts, ["a cup", "a cup of tea", "a car"])
    assert (figures["i2t_r1_can_be_right"], figures["t2i_r1_can_be_right"]) == (1, 1)
    assert figures["i2t_r1"] == figures["t2i_r1"] == pytest.approx(1 / 3)


class Texts:
    short = ["A red car and a mug", "on a table", None]
    regions = [
        SeenRegion(0, "a red car", (("a blue car", "colour"), ("a mug", "object"))),
        SeenRegion(1, "a red car", (("a blue car", "colour"),)),
        SeenRegion(2, "a red car", (("a blue car", "colour"),)),
    ]


def test_a_half_truth_differs_in_one_unit() -> None:
    assert list(pairs(Texts())) == [
        Pair(0, "A red car and a mug", "a blue car and a mug", "", "colour"),  # "a mug" is true of the image
        Pair(1, "on a table, with a red car", "on a table, with a blue car", "on a table", "colour"),
    ]
