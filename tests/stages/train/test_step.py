import itertools
from pathlib import Path

import pytest
import torch

from stages.train.config import Stage2
from stages.train.data.batch import Batch
from stages.train.data.samples import SampleMaker
from stages.train.data.shards import ExportedDataset
from stages.train.data.stream import Source, batches
from stages.train.data.texts import TextPacker
from stages.train.losses import Alone
from stages.train.model.clip import FgClip, load_model
from stages.train.step import TrainingStep
from tests.support.training_data import record, region, write_dataset


def settings(**params: object) -> Stage2:
    return Stage2.model_validate({"batch_size": 6, "workers": 0, "precision": "fp32", **params})


def batch_of(root: Path, tiny_clip: Path, params: Stage2) -> tuple[FgClip, Batch]:
    model, tokenizer = load_model(str(tiny_clip))
    source = Source(ExportedDataset(str(root)), SampleMaker(params, 32), TextPacker(tokenizer, *model.num_positions))
    return model, next(itertools.islice(batches(source), 1))


def gradients(model: FgClip, batch: Batch, params: Stage2) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    model.zero_grad()
    losses = TrainingStep(model, params, Alone()).backward(batch)
    return losses.values(), {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


def dataset(folder: Path, regions_of: list[int]) -> Path:
    """Six images with that many regions each."""
    kinds = [region("red", "car"), region("blue", "mug", "right", num_negatives=4), region("green", "star", num_negatives=1)]
    return write_dataset(folder, [[record(number, regions=kinds[:count]) for number, count in enumerate(regions_of)]])


@pytest.mark.parametrize("chunks", [2, 3, 6, 50])
def test_cached_parts_give_the_undivided_batchs_gradients(tmp_path: Path, tiny_clip: Path, chunks: int) -> None:
    model, batch = batch_of(dataset(tmp_path, [1, 3, 0, 2, 1, 0]), tiny_clip, settings())
    whole_losses, whole = gradients(model, batch, settings())
    part_losses, parts = gradients(model, batch, settings(chunks=chunks))
    assert part_losses == pytest.approx(whole_losses, abs=1e-5)
    assert set(parts) == set(whole)
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, atol=2e-5, rtol=1e-3, msg=name)


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
@pytest.mark.parametrize("chunks", [1, 3])
@pytest.mark.parametrize("regions_of", [[0] * 6, [0, 0, 1, 0, 0, 0], [3, 2, 1, 3, 0, 1]], ids=["no-region", "one-region", "regions"])
def test_any_batch_trains_on_in_any_precision(tmp_path: Path, tiny_clip: Path, regions_of: list[int], chunks: int, precision: str) -> None:
    params = settings(chunks=chunks, precision=precision)
    model, batch = batch_of(dataset(tmp_path, regions_of), tiny_clip, params)
    values, found = gradients(model, batch, params)
    assert all(value == value for value in values.values())
    assert all(bool(torch.isfinite(gradient).all()) for gradient in found.values())
    if sum(regions_of) > 1:
        assert values["loss_regional"] > 0 < values["loss_hard"]


def test_images_without_any_text_train_on(tmp_path: Path, tiny_clip: Path) -> None:
    silent = [record(number, long=None, short=None, regions=[]) for number in range(6)]
    model, batch = batch_of(write_dataset(tmp_path, [silent]), tiny_clip, settings())
    values, found = gradients(model, batch, settings())
    assert values["loss"] == 0
    assert all(float(gradient.abs().max()) == 0 for gradient in found.values())


def test_recomputed_blocks_give_the_same_gradients(tmp_path: Path, tiny_clip: Path) -> None:
    model, batch = batch_of(dataset(tmp_path, [1, 3, 0, 2, 1, 0]), tiny_clip, settings())
    model.train()
    _, kept = gradients(model, batch, settings())
    model.checkpoint_blocks()
    _, recomputed = gradients(model, batch, settings())
    for name, gradient in kept.items():
        torch.testing.assert_close(recomputed[name], gradient, msg=name)


def test_the_total_is_the_published_weighted_sum(tmp_path: Path, tiny_clip: Path) -> None:
    model, batch = batch_of(dataset(tmp_path, [1, 3, 0, 2, 1, 0]), tiny_clip, settings())
    values, _ = gradients(model, batch, settings())
    terms = [values[f"loss_{name}"] for name in ("long", "short", "regional", "hard")]
    assert values["loss"] == pytest.approx(terms[0] + terms[1] + 0.1 * terms[2] + 0.5 * terms[3], abs=1e-5)
