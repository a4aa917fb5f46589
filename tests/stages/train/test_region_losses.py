"""FG-CLIP 2's terms beside an independent writing of its formulas, values and gradients, and the batches that its code breaks on."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from stages.train.losses import hard_similarities, sigmoid_loss
from stages.train.region_losses import batch_contrast_loss, margin_loss, next_margin, text_text_loss

SCALE = 14.3


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=-1)


def same(ours: Callable[..., torch.Tensor], theirs: Callable[..., torch.Tensor], *tensors: torch.Tensor) -> None:
    """Value and gradients agree to 1e-4."""
    given, wanted = ([tensor.clone().requires_grad_() for tensor in tensors] for _ in range(2))
    a, b = ours(*(tensor.float() for tensor in given)), theirs(*wanted)
    assert float(a.detach()) == pytest.approx(float(b.detach()), abs=1e-4)
    a.backward()
    b.backward()
    for left, right in zip(given, wanted, strict=True):
        torch.testing.assert_close(left.grad, right.grad, atol=1e-4, rtol=1e-4)


def published_sigmoid(image: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for i in range(len(image)):
        for j in range(len(text)):
            z = 1.0 if i == j else -1.0
            total = total - torch.log(torch.sigmoid(z * (SCALE * image[i] @ text[j] - 7.0)))
    return total / len(image)


def published_text_text(text: torch.Tensor) -> torch.Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for i in range(len(text)):
        row = [text[i] @ text[j] if i != j else torch.zeros((), dtype=torch.float64) for j in range(len(text))]
        row = [value if float(value.detach()) <= 0.95 else torch.zeros((), dtype=torch.float64) for value in row]
        largest = sorted(row, key=lambda value: float(value.detach()), reverse=True)[:10]
        total = total + torch.log(sum(torch.exp(value) for value in largest)) + 0 * text[i].sum()
    return total / len(text)


def published_contrast(region: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
    positives, negatives = texts[:, 0], texts[:, 1:].reshape(-1, texts.shape[-1])
    total = torch.zeros((), dtype=torch.float64)
    for i in range(len(region)):
        scores = [SCALE * region[i] @ text for text in (*positives, *negatives)]
        total = total + torch.log(sum(torch.exp(score) for score in scores)) - scores[i]
        scores = [SCALE * positives[i] @ other for other in region]
        total = total + torch.log(sum(torch.exp(score) for score in scores)) - scores[i]
    return total / (2 * len(region))


def published_margin(region: torch.Tensor, texts: torch.Tensor, margin: float) -> torch.Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for i in range(len(region)):
        for m in range(1, texts.shape[1]):
            total = total + torch.relu(margin + SCALE * region[i] @ texts[i, m] - SCALE * region[i] @ texts[i, 0])
    return total / (len(region) * (texts.shape[1] - 1))


@pytest.mark.parametrize("num_rows", [1, 2, 17])
def test_the_sigmoid_loss_is_the_published_sum_over_all_pairs(num_rows: int) -> None:
    def ours(image: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        return sigmoid_loss(image, text, torch.tensor(SCALE), torch.tensor(-7.0))

    same(ours, published_sigmoid, unit(num_rows, 8), unit(num_rows, 8, seed=1))


@pytest.mark.parametrize("num_texts", [10, 11, 40])
def test_text_text_takes_the_ten_nearest_others(num_texts: int) -> None:
    text = unit(num_texts, 4)  # of few dimensions: many lie near
    text[3] = text[0]  # above 0.95
    same(text_text_loss, published_text_text, text)


@pytest.mark.parametrize("num_texts", [1, 2, 9])
def test_fewer_than_ten_texts_are_all_taken(num_texts: int) -> None:
    """The published code fails on them."""
    same(text_text_loss, published_text_text, unit(num_texts, 4))


@pytest.mark.parametrize("num_boxes", [1, 2, 7])
def test_contrast_over_all_negatives_of_the_batch(num_boxes: int) -> None:
    def ours(region: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        return batch_contrast_loss(region, texts, torch.tensor(SCALE), torch.ones(texts.shape[:2]))

    same(ours, published_contrast, unit(num_boxes, 8), unit(num_boxes, 11, 8, seed=1))


@pytest.mark.parametrize("margin", [0.0, 2.5])
def test_the_margin_term_is_the_published_mean_of_what_negatives_lack(margin: float) -> None:
    def ours(region: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        return margin_loss(hard_similarities(region, texts, torch.tensor(SCALE)), torch.ones(texts.shape[:2]), margin)

    same(ours, lambda region, texts: published_margin(region, texts, margin), unit(5, 8), unit(5, 11, 8, seed=1))


def test_the_next_margin_is_how_far_positives_lie_above_negatives() -> None:
    similarity = torch.tensor([[5.0, 1.0, 3.0, 0.0], [7.0, 2.0, 9.0, 0.0]])
    weight = torch.tensor([[1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 0.0, 1.0]])  # the last one is exactly 0: not counted, as published
    assert float(next_margin(similarity, weight)) == pytest.approx((5 + 7) / 2 - (1 + 3 + 2) / 3)
    assert next_margin(similarity, torch.zeros_like(weight)) is None
    assert next_margin(similarity[:0], weight[:0]) is None


def test_a_text_of_weight_zero_changes_no_term() -> None:
    region, texts = unit(4, 8).float(), unit(4, 6, 8, seed=1).float()
    weight = torch.ones(4, 6)
    weight[:, 3] = 0
    kept, scale = [0, 1, 2, 4, 5], torch.tensor(SCALE)
    assert float(batch_contrast_loss(region, texts, scale, weight)) == pytest.approx(
        float(batch_contrast_loss(region, texts[:, kept], scale, weight[:, kept])), abs=1e-5
    )
    similarity = hard_similarities(region, texts, scale)
    assert float(margin_loss(similarity, weight, 1.0)) == pytest.approx(
        float(margin_loss(similarity[:, kept], weight[:, kept], 1.0)), abs=1e-5
    )


def test_a_reciprocal_negative_is_no_negative_of_the_box_that_it_names() -> None:
    region, texts, scale = unit(2, 8).float(), unit(2, 2, 8, seed=1).float(), torch.tensor(SCALE)
    texts[0, 1], texts[1, 1] = texts[1, 0], texts[0, 0]
    keys = torch.tensor([[1, 2], [2, 1]])
    masked = batch_contrast_loss(region, texts, scale, torch.ones(2, 2), keys)
    expected = 0.0
    for i, j in ((0, 1), (1, 0)):
        own, other = (float(SCALE * region[i] @ texts[k, 0]) for k in (i, j))
        expected += math.log(math.exp(own) + 2 * math.exp(other)) - own  # the other's expression, and the negative that repeats it
        own, other = (float(SCALE * texts[i, 0] @ region[k]) for k in (i, j))
        expected += math.log(math.exp(own) + math.exp(other)) - own
    assert float(masked) == pytest.approx(expected / 4, abs=1e-4)


def test_texts_that_are_equal_are_neither_positive_nor_negative() -> None:
    image, text = unit(3, 8).float(), unit(3, 8, seed=1).float()
    text[2] = text[0]
    loss = sigmoid_loss(image, text, torch.tensor(SCALE), torch.tensor(-7.0), text_key_B=torch.tensor([1, 2, 1]))
    pairs = [(i, j) for i in range(3) for j in range(3) if (i, j) not in ((0, 2), (2, 0))]
    expected = sum(-F.logsigmoid((1 if i == j else -1) * (SCALE * image[i] @ text[j] - 7)) for i, j in pairs) / 3
    assert float(loss) == pytest.approx(float(expected), abs=1e-4)


@pytest.mark.parametrize("num_boxes", [0, 1])
def test_no_box_no_text_and_no_negative_train_on(num_boxes: int) -> None:
    region, texts = unit(num_boxes, 8).float().requires_grad_(), unit(num_boxes, 3, 8, seed=1).float().requires_grad_()
    scale, weight = torch.tensor(SCALE, requires_grad=True), torch.tensor([1.0, 0.0, 0.0]).expand(num_boxes, -1)
    nothing = torch.zeros(num_boxes, dtype=torch.bool)
    loss = (
        text_text_loss(texts[:, 0])
        + batch_contrast_loss(region, texts, scale, weight)
        + margin_loss(hard_similarities(region, texts, scale), weight, 3.0)
        + sigmoid_loss(region, texts[:, 0], scale, torch.tensor(-7.0), nothing)
    )
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0, abs=1e-6)
    assert bool(torch.isfinite(region.grad).all() and torch.isfinite(texts.grad).all() and torch.isfinite(scale.grad))
