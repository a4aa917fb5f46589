"""The SigLIP 2 towers beside transformers' own and beside FG-CLIP 2's formulas written out."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from transformers import AutoTokenizer, Siglip2ImageProcessorPil, Siglip2Model, SiglipModel
from transformers.models.siglip2.image_processing_pil_siglip2 import get_image_size_for_max_num_patches

from stages.train.config import Stage2
from stages.train.data.batch import Sample, stacked
from stages.train.data.samples import SampleMaker, patch_grid
from stages.train.data.texts import BOX, LONG, SHORT
from stages.train.model.load import load_model
from stages.train.model.siglip import FgSiglip
from tests.support.pictures import encoded
from tests.support.training_data import save_tiny_siglip

TEXTS = ["a red car", "a photo of the green mug on the table", "A Toy"]


def moved(folder: Path) -> FgSiglip:
    """Weights that a training would give: no head equals another by chance."""
    model, _ = load_model(str(folder))
    assert isinstance(model, FgSiglip)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return model.eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_siglip(tmp_path_factory.mktemp("naflex"))


@pytest.fixture(scope="module")
def naflex(folder: Path) -> FgSiglip:
    return moved(folder)


def picture(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8))


SIZES = [(40, 64), (64, 24), (33, 33)]


def seen(model: FgSiglip, budget: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    maker = SampleMaker(Stage2(), **model.image_settings)
    pixels = [maker.pixels(encoded(picture(*size)), budget) for size in SIZES]
    stack, grids = stacked([Sample("", content) for content in pixels if content is not None], model.patch_size)
    assert grids is not None
    return stack, grids


def test_naflex_images_equal_transformers_own(naflex: FgSiglip) -> None:
    stack, grids = seen(naflex)
    processor = Siglip2ImageProcessorPil(patch_size=8, max_num_patches=16)
    inputs = processor(images=[picture(*size) for size in SIZES], return_tensors="pt")
    assert inputs["spatial_shapes"].tolist() == grids.tolist()
    for number, (rows, columns) in enumerate(grids.tolist()):
        wanted = inputs["pixel_values"][number, : rows * columns]
        torch.testing.assert_close(stack[number, : rows * columns] / 127.5 - 1, wanted, atol=1e-5, rtol=0)
    expected = naflex.siglip.get_image_features(**inputs).pooler_output
    torch.testing.assert_close(naflex.encode_images(stack, None, grids)[0], F.normalize(expected, dim=-1), atol=1e-6, rtol=1e-5)


def test_squares_equal_transformers_own(tmp_path: Path) -> None:
    model = moved(save_tiny_siglip(tmp_path, is_naflex=False))
    pixels = torch.randint(0, 256, (3, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    expected = model.siglip.get_image_features(pixels / 127.5 - 1).pooler_output
    boxes = torch.tensor([[[0.0, 0.0, 1.0, 1.0]]]).expand(3, -1, -1)
    images, regions = model.encode_images(pixels, boxes)
    torch.testing.assert_close(images, F.normalize(expected, dim=-1), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(regions[:, 0], F.normalize(model.dense_map(pixels).mean(1), dim=-1), atol=1e-5, rtol=1e-4)


def test_short_texts_equal_transformers_own_and_are_lower_case(naflex: FgSiglip, folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    packed, places = naflex.packer(tokenizer).pack([(SHORT, text) for text in TEXTS])
    ids = tokenizer([text.lower() for text in TEXTS], padding="max_length", max_length=24, truncation=True, return_tensors="pt")[
        "input_ids"
    ]
    expected = naflex.siglip.get_text_features(ids).pooler_output
    torch.testing.assert_close(naflex.encode_texts(packed)[places], F.normalize(expected, dim=-1), atol=1e-6, rtol=1e-5)


def test_long_and_box_texts_have_heads_and_positions_of_their_own(naflex: FgSiglip, folder: Path) -> None:
    """As published: a long text over all stretched positions, a box's over the short ones, the last token, then the head."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    kinds = [LONG, BOX, SHORT, LONG, BOX]
    texts = [TEXTS[number % 3] for number in range(5)]
    packed, places = naflex.packer(tokenizer).pack(list(zip(kinds, texts, strict=True)))
    features, tower = naflex.encode_texts(packed)[places], naflex.siglip.text_model
    for kind, text, feature in zip(kinds, texts, features, strict=True):
        length = 36 if kind == LONG else 24
        table = naflex.long_positions.weight if kind == LONG else tower.embeddings.position_embedding.weight
        ids = tokenizer([text.lower()], padding="max_length", max_length=length, return_tensors="pt")["input_ids"]
        hidden = tower.embeddings.token_embedding(ids) + table
        for layer in tower.encoder.layers:
            hidden = layer(hidden, None)
        head = {SHORT: tower.head, LONG: naflex.long_head, BOX: naflex.box_head}[kind]
        torch.testing.assert_close(feature, F.normalize(head(tower.final_layer_norm(hidden)[0, -1]), dim=-1), atol=1e-6, rtol=1e-5)


def test_a_region_is_read_from_its_images_own_grid(naflex: FgSiglip) -> None:
    """The dense map, patch by patch as the pooling head's own query, on the patches of the image alone."""
    stack, grids = seen(naflex)
    boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.2, 0.2, 0.2, 0.9]]).expand(3, -1, -1)
    _, regions = naflex.encode_images(stack, boxes, grids)
    tokens, head = naflex.image_tokens(stack, grids), naflex.dense_head
    for image, (rows, columns) in enumerate(grids.tolist()):
        own = tokens[image : image + 1, : rows * columns]
        mixed = head.attention(own, own, own)[0]
        dense = mixed + head.mlp(head.layernorm(mixed))
        torch.testing.assert_close(regions[image, 0], F.normalize(dense[0].mean(0), dim=-1), atol=1e-5, rtol=1e-4)
    assert regions[:, 1].abs().max() == 0


def test_padding_changes_no_feature(naflex: FgSiglip) -> None:
    stack, grids = seen(naflex)
    padded = F.pad(stack, (0, 0, 0, 5), value=77)
    boxes = torch.tensor([[0.1, 0.3, 0.8, 0.9]]).expand(3, -1, -1)
    for alone, wide in zip(naflex.encode_images(stack, boxes, grids), naflex.encode_images(padded, boxes, grids), strict=True):
        torch.testing.assert_close(alone, wide, atol=1e-6, rtol=1e-5)


def test_grids_are_those_of_the_familys_processor() -> None:
    rng = np.random.default_rng(0)
    for budget in (128, 256, 576, 784, 1024):
        for width, height in rng.integers(20, 1200, (12, 2)).tolist():
            rows, columns = (side // 16 for side in get_image_size_for_max_num_patches(height, width, 16, budget))
            assert patch_grid(width, height, budget) == (columns, rows)


@pytest.mark.parametrize("is_naflex", [True, False])
def test_a_saved_folder_loads_whole_and_with_transformers(tmp_path: Path, is_naflex: bool) -> None:
    model = moved(save_tiny_siglip(tmp_path / "plain", is_naflex=is_naflex))
    model.save(tmp_path / "saved")
    AutoTokenizer.from_pretrained(tmp_path / "plain").save_pretrained(tmp_path / "saved")
    again, _ = load_model(str(tmp_path / "saved"))
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    plain = (Siglip2Model if is_naflex else SiglipModel).from_pretrained(tmp_path / "saved")
    assert torch.equal(plain.logit_bias, model.siglip.logit_bias)
