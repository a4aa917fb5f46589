"""The zero-shot detectors against the library's own forward pass on the same random weights."""

import math
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stages.engines.base import Detector, DetectRequest
from stages.engines.dino.grounding_dino import GroundingDinoDetector, GroundingDinoSpec
from stages.engines.specs import Resources
from tests.support.tiny_models import save_tiny_grounding_dino, save_tiny_llama, save_tiny_owlv2

pytest.importorskip("transformers")
Run = Callable[[Coroutine[Any, Any, Any]], Any]
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 100, 3), np.uint8))
PLAIN = Image.new("RGB", (150, 200), (200, 20, 20))
PHRASES = ("a red car", "the blue mug", "a large striped fish")


@pytest.fixture(scope="module")
def tiny_dino(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_grounding_dino(tmp_path_factory.mktemp("dino"))


@pytest.fixture(scope="module")
def dino(tiny_dino: Path, run: Run) -> Iterator[Detector]:
    engine = GroundingDinoDetector(GroundingDinoSpec(kind="grounding-dino", model=str(tiny_dino), batch_size=3, threads=1), Resources())
    yield engine
    run(engine.close())


@pytest.fixture(scope="module")
def owl(tmp_path_factory: pytest.TempPathFactory, run: Run) -> Iterator[Detector]:
    pytest.importorskip("scipy")
    folder = save_tiny_owlv2(tmp_path_factory.mktemp("owl"))
    engine = GroundingDinoDetector(GroundingDinoSpec(kind="grounding-dino", model=str(folder), batch_size=3, threads=1), Resources())
    yield engine
    run(engine.close())


def test_a_phrase_scores_the_mean_over_its_own_tokens(dino: Detector, tiny_dino: Path, run: Run) -> None:
    import torch
    from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

    (boxes,) = run(dino.detect([DetectRequest(NOISE, PHRASES)], floor=0.0))
    processor = AutoProcessor.from_pretrained(tiny_dino)
    inputs = processor(images=NOISE, text=" . ".join(PHRASES) + " .", return_tensors="pt")
    with torch.inference_mode():
        output = AutoModelForZeroShotObjectDetection.from_pretrained(tiny_dino).eval()(**inputs)
    tokens = processor.tokenizer.convert_ids_to_tokens(inputs["input_ids"][0])
    first = tokens.index("the")
    assert tokens[first : first + 3] == ["the", "blue", "mug"]
    chances = output.logits[0, :, first : first + 3].sigmoid()
    mine = [box for box in boxes if box.phrase == 1]
    np.testing.assert_allclose([box.score for box in mine], chances.mean(1).sort(descending=True).values, rtol=1e-4)
    np.testing.assert_allclose(sorted(box.score_max for box in mine), chances.amax(1).sort().values, rtol=1e-4)
    x, y, width, height = output.pred_boxes[0, int(chances.mean(1).argmax())].tolist()
    expected = ((x - width / 2) * 100, (y - height / 2) * 60, (x + width / 2) * 100, (y + height / 2) * 60)
    np.testing.assert_allclose(mine[0].xyxy, np.clip(expected, 0, (100, 60, 100, 60)), atol=0.01)


def test_every_box_that_reaches_the_floor_by_either_score_is_returned(dino: Detector, run: Run) -> None:
    requests = [DetectRequest(NOISE, PHRASES), DetectRequest(PLAIN, PHRASES)]
    everything, some = (run(dino.detect(requests, floor)) for floor in (0.0, 0.7))
    for all_boxes, kept in zip(everything, some, strict=True):
        assert kept == [box for box in all_boxes if max(box.score, box.score_max) >= 0.7]
    assert sum(map(len, some)) < sum(map(len, everything))


def test_a_prompt_past_the_text_limit_is_asked_in_several_passes(dino: Detector, run: Run) -> None:
    many = tuple(
        f"a {size} {colour} striped {noun}" for size in ("small", "large") for colour in ("red", "blue") for noun in ("car", "mug", "fish")
    )
    (boxes,) = run(dino.detect([DetectRequest(PLAIN, many)], floor=0.0))
    assert {box.phrase for box in boxes} == set(range(12))


def test_a_phrase_longer_than_the_text_limit_is_not_cut(dino: Detector, run: Run) -> None:
    (boxes,) = run(dino.detect([DetectRequest(PLAIN, ("a car", "a " + "red " * 40 + "car", ""))], floor=0.0))
    assert {box.phrase for box in boxes} == {0}


def test_a_full_stop_inside_a_phrase_does_not_split_it(dino: Detector, run: Run) -> None:
    with_stop, without = run(dino.detect([DetectRequest(NOISE, ("a red. car",)), DetectRequest(NOISE, ("A red car",))], floor=0.0))
    assert with_stop == without


def test_the_same_unit_gives_the_same_boxes(dino: Detector, run: Run) -> None:
    requests = [DetectRequest(image, PHRASES[: 1 + i % 3]) for i, image in enumerate((NOISE, PLAIN, NOISE, NOISE, PLAIN))] + [
        DetectRequest(NOISE, ())
    ]
    first = run(dino.detect(requests, floor=0.1))
    assert first == run(dino.detect(requests, floor=0.1))
    assert first[-1] == []


def test_boxes_of_a_shrunk_image_are_in_pixels_of_the_request(tiny_dino: Path, run: Run) -> None:
    spec = GroundingDinoSpec(kind="grounding-dino", model=str(tiny_dino), max_pixels=1000, threads=1)
    engine = GroundingDinoDetector(spec, Resources())
    (boxes,) = run(engine.detect([DetectRequest(PLAIN.resize((600, 800)), ("a red car",))], floor=0.0))
    run(engine.close())
    assert max(box.xyxy[3] for box in boxes) > 200
    assert all(box.xyxy[2] <= 600 and box.xyxy[3] <= 800 for box in boxes)


def test_owlv2_scores_both_fields_the_same_and_scales_by_the_padded_square(owl: Detector, run: Run) -> None:
    requests = [DetectRequest(NOISE, ("a red car", "a mug")), DetectRequest(PLAIN, ("a fish",))]
    boxes = run(owl.detect(requests, floor=0.0))
    assert {box.phrase for box in boxes[0]} == {0, 1}
    for box in (*boxes[0], *boxes[1]):
        assert box.score == box.score_max
        assert not math.isnan(box.score)
    assert max(box.xyxy[2] for box in boxes[0]) > 64


def test_a_checkpoint_of_another_kind_is_refused(tmp_path: Path) -> None:
    spec = GroundingDinoSpec(kind="grounding-dino", model=str(save_tiny_llama(tmp_path)))
    with pytest.raises(ValueError, match="Llama"):
        GroundingDinoDetector(spec, Resources())


def test_by_size_the_boxes_of_an_image_do_not_depend_on_its_neighbours(tiny_dino: Path, run: Run) -> None:
    spec = GroundingDinoSpec(kind="grounding-dino", model=str(tiny_dino), batch_size=3, threads=1, batch_by="size")
    engine = GroundingDinoDetector(spec, Resources())
    alone = [run(engine.detect([DetectRequest(image, PHRASES)], floor=0.1))[0] for image in (NOISE, PLAIN)]
    mixed = run(engine.detect([DetectRequest(image, PHRASES) for image in (NOISE, PLAIN) * 3], floor=0.1))
    run(engine.close())
    for boxes, expected in zip(mixed, alone * 3, strict=True):
        assert [box.phrase for box in boxes] == [box.phrase for box in expected]
        np.testing.assert_allclose([box.xyxy for box in boxes], [box.xyxy for box in expected], atol=0.01)
        np.testing.assert_allclose([box.score for box in boxes], [box.score for box in expected], atol=1e-4)


def test_calls_of_several_units_at_once_keep_their_own_boxes(dino: Detector, run: Run) -> None:
    import asyncio

    calls = [[DetectRequest(image, PHRASES[: 1 + i]) for image in (NOISE, PLAIN)] for i in range(3)]

    async def together() -> list[list[Any]]:
        return list(await asyncio.gather(*(dino.detect(call, 0.1) for call in calls)))

    assert run(together()) == [run(dino.detect(call, 0.1)) for call in calls]
