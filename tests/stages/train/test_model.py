from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from transformers import AutoTokenizer, CLIPModel, CLIPProcessor

from stages.train.config import Stage2, TrainError
from stages.train.data.samples import SampleMaker
from stages.train.data.texts import TextPacker
from stages.train.model.base import stretched
from stages.train.model.clip import FgClip
from stages.train.model.load import load_model
from tests.support.pictures import encoded
from tests.support.training_data import save_tiny_clip

TEXTS = ["a red car", "a photo of the green mug on the table", "a toy"]


@pytest.fixture(scope="module")
def model(tiny_clip: Path) -> FgClip:
    torch.manual_seed(1)
    model, _ = load_model(str(tiny_clip))
    with torch.no_grad():  # weights that a training would give: nothing equal by chance
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model.eval()


def pixels(num_images: int = 3) -> torch.Tensor:
    return torch.randint(0, 256, (num_images, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def normalised(images: torch.Tensor) -> torch.Tensor:
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
    return (images / 255 - mean) / std


def packed(tiny_clip: Path, texts: list[tuple[bool, str]]):
    return TextPacker(AutoTokenizer.from_pretrained(tiny_clip), 77, 248).pack(texts)


def test_positions_keep_twenty_and_stretch_the_rest_four_times() -> None:
    short = torch.randn(77, 5)
    long = stretched(short)
    assert long.shape == (248, 5)
    assert long[:20].equal(short[:20])
    for i in range(20, 77):
        torch.testing.assert_close(long[20 + 4 * (i - 20)], short[i])
    torch.testing.assert_close(long[22], (short[20] + short[21]) / 2)
    torch.testing.assert_close(long[247], short[76] + 0.75 * (short[76] - short[75]))


def test_features_equal_those_of_the_plain_clip(model: FgClip, tiny_clip: Path) -> None:
    images, _ = model.encode_images(pixels())
    expected = model.clip.get_image_features(normalised(pixels())).pooler_output
    torch.testing.assert_close(images, F.normalize(expected, dim=-1), atol=1e-5, rtol=1e-4)
    texts, places = packed(tiny_clip, [(False, text) for text in TEXTS])
    features = model.encode_texts(texts)[places]
    tokens = AutoTokenizer.from_pretrained(tiny_clip)(TEXTS, padding=True, return_tensors="pt")
    expected = model.clip.get_text_features(tokens["input_ids"], tokens["attention_mask"]).pooler_output
    torch.testing.assert_close(features, F.normalize(expected, dim=-1), atol=1e-5, rtol=1e-4)


def test_a_text_has_the_same_feature_alone_and_among_others(model: FgClip, tiny_clip: Path) -> None:
    texts = [(i % 3 == 0, TEXTS[i % 3] + " red" * i) for i in range(9)]
    together, places = packed(tiny_clip, texts)
    features = model.encode_texts(together)[places]
    for text, feature in zip(texts, features, strict=True):
        torch.testing.assert_close(model.encode_texts(packed(tiny_clip, [text])[0])[0], feature, atol=1e-5, rtol=1e-4)


def test_long_texts_have_positions_and_a_projection_of_their_own(model: FgClip, tiny_clip: Path) -> None:
    text = "a photo of the green mug on the table " * 5
    both, (short, long) = packed(tiny_clip, [(False, text), (True, text)])
    features = model.encode_texts(both)
    assert not torch.allclose(features[short], features[long], atol=1e-3)


def test_the_dense_map_is_the_last_block_without_mixing(model: FgClip) -> None:
    """Patch by patch: with one token alone, attention is its own value, so each patch is a sequence of length 1."""
    hidden = model.image_tokens(pixels())
    last, vision = model.clip.vision_model.encoder.layers[-1], model.clip.vision_model
    alone = last(hidden[:, 1:].reshape(-1, 1, hidden.shape[-1]), None).reshape(3, 4, 4, -1)
    expected = model.clip.visual_projection(vision.post_layernorm(alone))
    torch.testing.assert_close(model.dense_map(pixels()), expected, atol=1e-5, rtol=1e-4)


def test_a_region_is_the_roi_of_the_dense_map(model: FgClip) -> None:
    boxes = torch.tensor([[[0.25, 0.5, 0.5, 0.75]], [[0.0, 0.0, 1.0, 1.0]], [[0.5, 0.5, 0.5, 0.5]]])
    _, regions = model.encode_images(pixels(), boxes)
    dense = model.dense_map(pixels())
    torch.testing.assert_close(regions[0, 0], F.normalize(dense[0, 2, 1], dim=-1), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(regions[1, 0], F.normalize(dense[1].mean((0, 1)), dim=-1), atol=1e-5, rtol=1e-4)
    assert regions[2, 0].abs().max() == 0  # without area: the published code's loss is no number from here on


def test_a_saved_folder_loads_as_plain_clip_and_whole(model: FgClip, tiny_clip: Path, tmp_path: Path) -> None:
    model.save(tmp_path)
    AutoTokenizer.from_pretrained(tiny_clip).save_pretrained(tmp_path)
    plain = CLIPModel.from_pretrained(tmp_path).eval()
    tokens = AutoTokenizer.from_pretrained(tmp_path)(TEXTS, padding=True, return_tensors="pt")
    again, _ = load_model(str(tmp_path))
    texts, places = packed(tiny_clip, [(False, text) for text in TEXTS])
    features = again.eval().encode_texts(texts)[places]
    torch.testing.assert_close(F.normalize(plain.get_text_features(**tokens).pooler_output, dim=-1), features, atol=1e-5, rtol=1e-4)
    images = F.normalize(plain.get_image_features(normalised(pixels())).pooler_output, dim=-1)
    torch.testing.assert_close(images, again.encode_images(pixels())[0], atol=1e-5, rtol=1e-4)
    for (name, before), after in zip(model.state_dict().items(), again.state_dict().values(), strict=True):
        torch.testing.assert_close(before, after, atol=0, rtol=0, msg=name)


def test_scales_never_pass_a_hundred(tiny_clip: Path) -> None:
    model, _ = load_model(str(tiny_clip))
    with torch.no_grad():
        model.hard_scale.fill_(9.0)
    assert float(model.scales()[2].detach()) == 100.0
    model.clamp_scales()
    assert float(model.hard_scale.detach().exp()) == pytest.approx(100.0, rel=1e-5)


def test_from_scratch_takes_the_configuration_alone(tiny_clip: Path) -> None:
    torch.manual_seed(5)
    drawn, _ = load_model(str(tiny_clip), from_scratch=True)
    loaded, _ = load_model(str(tiny_clip))
    assert not torch.equal(drawn.clip.visual_projection.weight, loaded.clip.visual_projection.weight)


def test_a_folder_without_a_clip_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(TrainError, match=f"model {tmp_path}"):
        load_model(str(tmp_path))


def test_few_positions_are_stretched_too(tmp_path: Path) -> None:
    model, _ = load_model(str(save_tiny_clip(tmp_path, num_positions=24)))
    assert model.num_positions == (24, 36)


def test_a_saved_folders_processor_gives_the_pixels_that_were_trained_on(model: FgClip, tiny_clip: Path, tmp_path: Path) -> None:
    model.save(tmp_path)
    AutoTokenizer.from_pretrained(tiny_clip).save_pretrained(tmp_path)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 80, 3), dtype=np.uint8))
    processor = CLIPProcessor.from_pretrained(tmp_path)
    processed = processor(images=image, text=["a red car"], return_tensors="pt")["pixel_values"]
    pixels = SampleMaker(Stage2(), 32).pixels(encoded(image))
    assert pixels is not None
    torch.testing.assert_close(processed, normalised(pixels[None]), atol=1e-4, rtol=0)
