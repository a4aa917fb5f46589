import itertools
from pathlib import Path

import pytest
import torch

from stages.train.config import Stage2
from stages.train.data.batch import Batch
from stages.train.data.samples import SampleMaker
from stages.train.data.shards import ExportedDataset
from stages.train.data.stream import Source, batches
from stages.train.losses import Alone
from stages.train.model.base import FgModel
from stages.train.model.load import load_model
from stages.train.step import TrainingStep
from tests.support.training_data import record, region, save_tiny_siglip, write_dataset


def settings(**params: object) -> Stage2:
    return Stage2.model_validate({"batch_size": 6, "workers": 0, "precision": "fp32", **params})


def batch_of(root: Path, tiny_clip: Path, params: Stage2) -> tuple[FgModel, Batch]:
    model, tokenizer = load_model(str(tiny_clip))
    if params.global_loss == "sigmoid":
        model.start_sigmoid()
    source = Source(ExportedDataset(str(root)), SampleMaker(params, **model.image_settings), model.packer(tokenizer))
    return model, next(itertools.islice(batches(source), 1))


def gradients(model: FgModel, batch: Batch, params: Stage2) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
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
    values, by_name = gradients(model, batch, params)
    assert all(value == value for value in values.values())
    assert all(bool(torch.isfinite(gradient).all()) for gradient in by_name.values())
    if sum(regions_of) > 1:
        assert values["loss_regional"] > 0 < values["loss_hard"]


def test_images_without_any_text_train_on(tmp_path: Path, tiny_clip: Path) -> None:
    silent = [record(number, long=None, short=None, regions=[]) for number in range(6)]
    model, batch = batch_of(write_dataset(tmp_path, [silent]), tiny_clip, settings())
    values, by_name = gradients(model, batch, settings())
    assert values["loss"] == 0
    assert all(float(gradient.abs().max()) == 0 for gradient in by_name.values())


@pytest.mark.parametrize("only_mlp", [False, True])
def test_recomputed_blocks_give_the_same_gradients(tmp_path: Path, tiny_clip: Path, only_mlp: bool) -> None:
    model, batch = batch_of(dataset(tmp_path, [1, 3, 0, 2, 1, 0]), tiny_clip, settings())
    model.train()
    _, kept = gradients(model, batch, settings())
    model.checkpoint_blocks(only_mlp)
    _, recomputed = gradients(model, batch, settings())
    for name, gradient in kept.items():
        torch.testing.assert_close(recomputed[name], gradient, msg=name)


def test_the_total_is_the_published_weighted_sum(tmp_path: Path, tiny_clip: Path) -> None:
    model, batch = batch_of(dataset(tmp_path, [1, 3, 0, 2, 1, 0]), tiny_clip, settings())
    values, _ = gradients(model, batch, settings())
    terms = [values[f"loss_{name}"] for name in ("long", "short", "regional", "hard")]
    assert values["loss"] == pytest.approx(terms[0] + terms[1] + 0.1 * terms[2] + 0.5 * terms[3], abs=1e-5)


@pytest.fixture(scope="module")
def tiny_siglip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_siglip(tmp_path_factory.mktemp("tiny-siglip"))


def test_the_recipe_of_fgclip2_is_its_codes_weighted_sum(tmp_path: Path, tiny_siglip: Path) -> None:
    params = settings(recipe="fgclip2", patch_budgets=[16])
    model, batch = batch_of(dataset(tmp_path, [1, 3, 0, 2, 1, 0]), tiny_siglip, params)
    values, _ = gradients(model, batch, params)
    term = {name.removeprefix("loss_"): value for name, value in values.items()}
    regions = 0.2 * term["regional"] + 0.1 * term["tic"] + 0.5 * (0.6 * term["hard_batch"] + 3.0 * term["hard"] + 0.4 * term["cmr"])
    assert values["loss"] == pytest.approx(term["long"] + term["short"] + regions, abs=1e-4)
    assert settings(recipe="fgclip2", weight_regional=0.1).weight_regional == 0.1  # keys override


@pytest.mark.parametrize("tower", ["tiny_clip", "tiny_siglip"])
@pytest.mark.parametrize("regions_of", [[0] * 6, [0, 0, 1, 0, 0, 0], [3, 2, 1, 3, 0, 1]], ids=["no-region", "one-region", "regions"])
def test_fgclip2_trains_on_any_batch_and_parts_give_its_gradients(
    tmp_path: Path, regions_of: list[int], tower: str, request: pytest.FixtureRequest
) -> None:
    params = settings(recipe="fgclip2", patch_budgets=[12])
    model, batch = batch_of(dataset(tmp_path, regions_of), request.getfixturevalue(tower), params)
    values, whole = gradients(model, batch, params)
    part_values, parts = gradients(model, batch, params.model_copy(update={"chunks": 3}))
    assert all(value == value for value in values.values())
    assert part_values == pytest.approx(values, abs=1e-4)
    for name, gradient in whole.items():
        assert bool(torch.isfinite(gradient).all())
        torch.testing.assert_close(parts[name], gradient, atol=1e-4, rtol=1e-3, msg=name)


def test_the_margin_of_a_step_is_that_of_the_step_before(tmp_path: Path, tiny_clip: Path) -> None:
    params = settings(recipe="fgclip2")
    model, batch = batch_of(dataset(tmp_path, [3, 2, 1, 3, 0, 1]), tiny_clip, params)
    training = TrainingStep(model, params, Alone())
    first = training.backward(batch)
    assert first.margin is not None
    assert training.margin == pytest.approx(min(10.0, max(0.0, float(first.margin))))
    training.margin = 4.0
    silent = batch_of(dataset(tmp_path / "silent", [0] * 6), tiny_clip, params)[1]
    training.backward(silent)
    assert training.margin == 4.0  # no box, no change


def test_parts_draw_the_same_dropout_both_times(tmp_path: Path, tiny_clip: Path) -> None:
    """Cached features are worth nothing if the second pass is of another network: the first part's images decide its gradient."""
    params = settings(chunks=2, weight_regional=0, weight_hard=0)
    model, batch = batch_of(dataset(tmp_path, [1] * 6), tiny_clip, params)
    model.train()
    for layer in (*model.towers.vision_model.encoder.layers, *model.towers.text_model.encoder.layers):
        layer.self_attn.dropout = 0.4
    seen: list[torch.Tensor] = []
    images = TrainingStep._images

    class Watching(TrainingStep):
        def _images(self, *arguments: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[override]
            features = images(self, *arguments)
            seen.append(features[0].detach())
            return features

    Watching(model, params, Alone()).backward(batch)
    assert torch.equal(seen[0], seen[2])
    assert torch.equal(seen[1], seen[3])
    before = torch.get_rng_state()
    Watching(model, params, Alone()).backward(batch)
    assert not torch.equal(seen[0], seen[4])  # the next step draws others
    assert not torch.equal(before, torch.get_rng_state())


def test_steps_of_naflex_towers_have_one_budget_each(tmp_path: Path, tiny_siglip: Path) -> None:
    params = settings(batch_size=2, patch_budgets=[4, 9, 16])
    model, tokenizer = load_model(str(tiny_siglip))
    source = Source(ExportedDataset(str(dataset(tmp_path, [1] * 6))), SampleMaker(params, **model.image_settings), model.packer(tokenizer))
    sizes = [batch.pixels_BCHW.shape[1] for batch in itertools.islice(batches(source), 12)]
    assert set(sizes) == {4, 9, 16}
    two = [[batch.pixels_BCHW.shape[1] for batch in itertools.islice(batches(source, rank, 2), 12)] for rank in range(2)]
    assert two[0] == two[1] == sizes  # drawn from (seed, step)
    later = [batch.pixels_BCHW.shape[1] for batch in itertools.islice(batches(source, first_step=5), 7)]
    assert later == sizes[5:]
