"""The losses beside an independent writing of the published formulas, and what the published code breaks on."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stages.train.losses import by_type, contrastive_loss, hard_similarities, weighted_logits
from stages.train.losses import hard_loss as loss_of_logits


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def hard_loss(region: torch.Tensor, texts: torch.Tensor, scale: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return loss_of_logits(weighted_logits(hard_similarities(region, texts, scale), weights))


def value(loss: torch.Tensor) -> float:
    return float(loss.detach())


def published_contrastive(image: np.ndarray, text: np.ndarray, scale: float) -> float:
    """Row by row, as the paper writes it: -log softmax at the pair, both ways, halved."""
    total = 0.0
    for a, b in ((image, text), (text, image)):
        for i in range(len(a)):
            scores = [scale * float(a[i] @ b[j]) for j in range(len(b))]
            total += math.log(sum(math.exp(score) for score in scores)) - scores[i]
    return total / (2 * len(image))


def published_hard(region: np.ndarray, texts: np.ndarray, scale: float) -> float:
    """11-way cross-entropy, positive first."""
    total = 0.0
    for i in range(len(region)):
        scores = [scale * float(region[i] @ texts[i, m]) for m in range(texts.shape[1])]
        total += math.log(sum(math.exp(score) for score in scores)) - scores[0]
    return total / len(region)


@pytest.mark.parametrize("num_rows", [1, 2, 17])
def test_contrastive_loss_equals_the_published_formula(num_rows: int) -> None:
    image, text = unit(num_rows, 8), unit(num_rows, 8, seed=1)
    expected = published_contrastive(image.double().numpy(), text.double().numpy(), 14.3)
    assert value(contrastive_loss(image, text, torch.tensor(14.3))) == pytest.approx(expected, abs=1e-4)


def test_hard_loss_equals_the_published_eleven_way_cross_entropy() -> None:
    region, texts = unit(5, 8), unit(5, 11, 8, seed=1)
    expected = published_hard(region.double().numpy(), texts.double().numpy(), 14.3)
    assert value(hard_loss(region, texts, torch.tensor(14.3), torch.ones(5, 11))) == pytest.approx(expected, abs=1e-4)


def test_regions_with_nine_and_eleven_negatives_keep_their_own() -> None:
    """The published code cuts 9 + 11 texts into two groups of ten negatives without an error."""
    region, texts = unit(2, 8), unit(2, 12, 8, seed=1)
    weights = torch.ones(2, 12)
    weights[0, 10:] = 0
    numbers = region.double().numpy(), texts.double().numpy()
    alone = [published_hard(numbers[0][i : i + 1], numbers[1][i : i + 1, :size], 14.3) for i, size in ((0, 10), (1, 12))]
    assert value(hard_loss(region, texts, torch.tensor(14.3), weights)) == pytest.approx(sum(alone) / 2, abs=1e-4)


def test_an_unsure_negative_changes_nothing() -> None:
    region, texts, scale = unit(3, 8).requires_grad_(), unit(3, 4, 8, seed=1).requires_grad_(), torch.tensor(10.0)
    weights = torch.ones(3, 4)
    weights[:, 2] = 0
    loss = hard_loss(region, texts, scale, weights)
    assert value(loss) == pytest.approx(value(hard_loss(region, texts[:, [0, 1, 3]], scale, torch.ones(3, 3))), abs=1e-6)
    loss.backward()
    assert texts.grad[:, 2].abs().max() == 0
    assert torch.isfinite(region.grad).all()


def test_weight_two_counts_a_negative_twice() -> None:
    region, texts, scale = unit(3, 8), unit(3, 4, 8, seed=1), torch.tensor(10.0)
    doubled = torch.cat([texts, texts[:, 1:2]], 1)
    weights = torch.ones(3, 4)
    weights[:, 1] = 2
    assert value(hard_loss(region, texts, scale, weights)) == pytest.approx(
        value(hard_loss(region, doubled, scale, torch.ones(3, 5))), abs=1e-5
    )


@pytest.mark.parametrize("num_rows", [0, 1])
def test_no_region_and_one_region_train_on(num_rows: int) -> None:
    """The published code fails on both."""
    image, text = unit(num_rows, 8).requires_grad_(), unit(num_rows, 8, seed=1).requires_grad_()
    scale = torch.tensor(10.0, requires_grad=True)
    loss = contrastive_loss(image, text, scale) + hard_loss(image, text[:, None], scale, torch.ones(num_rows, 1))
    loss.backward()
    assert value(loss) == pytest.approx(0, abs=1e-6)
    assert torch.isfinite(image.grad).all()
    assert scale.grad == 0


def test_rows_without_a_text_are_neither_rows_nor_candidates() -> None:
    image, text, scale = unit(6, 8).requires_grad_(), unit(6, 8, seed=1).requires_grad_(), torch.tensor(10.0)
    is_valid = torch.tensor([True, False, True, True, False, True])
    loss = contrastive_loss(image, text, scale, is_valid)
    assert value(loss) == pytest.approx(value(contrastive_loss(image[is_valid], text[is_valid], scale)), abs=1e-5)
    loss.backward()
    assert image.grad[~is_valid].abs().max() == 0
    assert torch.isfinite(image.grad).all()
    assert value(contrastive_loss(image, text, scale, torch.zeros(6, dtype=torch.bool))) == 0


def test_equal_captions_are_no_negatives_of_each_other_unless_asked() -> None:
    image, text, scale = unit(4, 8), unit(4, 8, seed=1), torch.tensor(10.0)
    text[2] = text[0]
    keys = torch.tensor([7, 8, 7, 9])
    kept = [[0, 1, 3], [1, 2, 3]]  # what rows 0 and 2 are compared with
    masked = value(contrastive_loss(image, text, scale, text_key_B=keys))
    both = []
    for a, b in ((image, text), (text, image)):
        scores = (10 * a @ b.T).tolist()
        for i, candidates in enumerate([kept[0], [0, 1, 2, 3], kept[1], [0, 1, 2, 3]]):
            both.append(math.log(sum(math.exp(scores[i][j]) for j in candidates)) - scores[i][i])
    assert masked == pytest.approx(sum(both) / 8, abs=1e-4)
    published = published_contrastive(image.double().numpy(), text.double().numpy(), 10.0)
    assert value(contrastive_loss(image, text, scale)) == pytest.approx(published, abs=1e-4)
    assert masked < published


def test_losses_of_bfloat16_features_are_finite_and_near() -> None:
    image, text = unit(16, 32), unit(16, 32, seed=1)
    exact = value(contrastive_loss(image, text, torch.tensor(100.0)))
    assert value(contrastive_loss(image.bfloat16(), text.bfloat16(), torch.tensor(100.0))) == pytest.approx(exact, rel=0.05)


def test_each_edit_type_has_its_own_loss_and_top1() -> None:
    region = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    east, north = [1.0, 0.0], [0.0, 1.0]
    texts = torch.tensor([[east, north, east], [north, east, north]])  # the last negative ties with the positive
    types = torch.tensor([[-1, 0, 1], [-1, 0, 1]])
    logits = hard_similarities(region, texts, torch.tensor(10.0))
    figures = by_type(logits, types, {0: "colour", 1: "size", 2: "state"})
    assert set(figures) == {"colour", "size"}
    assert figures["colour"].top1 == 1.0
    assert figures["size"].top1 == 0.0  # ties are not right
    assert figures["size"].loss == pytest.approx(math.log(2), abs=1e-4)
    assert figures["colour"].boxes == 2
