import json
from pathlib import Path

import numpy as np
import pytest
import torch

from schemas.audit import FirstSentence, Retrieval
from stages.train.config import Stage2, TrainError
from stages.train.data.shards import ExportedDataset
from stages.train.evaluation.evaluate import evaluate, hard_negative_top1
from stages.train.evaluation.features import Encoder, SeenRegion
from stages.train.evaluation.fgovd import evaluate_fgovd
from stages.train.evaluation.fgovd_file import read_fgovd
from stages.train.evaluation.first_sentence import first_sentence_by_model
from stages.train.loop import Job, Trainer
from stages.train.model.load import load_model
from tests.support.training_data import negative, picture, record, region, toys, write_dataset


@pytest.fixture(scope="module")
def encoder(tiny_clip: Path) -> Encoder:
    return Encoder(*load_model(str(tiny_clip)))


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory, tiny_clip: Path) -> Encoder:
    """A tiny CLIP that has learned the toys' colours."""
    folder = tmp_path_factory.mktemp("learned")
    root = write_dataset(folder / "toys", toys(40))
    settings = Stage2.model_validate(
        {
            "batch_size": 10,
            "workers": 0,
            "precision": "fp32",
            "lr": 3e-3,
            "warmup_steps": 5,
            "steps": 120,
            "weight_regional": 1.0,
            "weight_hard": 1.0,
        }
    )
    result = Trainer(Job(str(tiny_clip), None, True, str(root), folder / "out", settings)).train()
    return Encoder(*load_model(str(result)))


def test_what_was_learned_shows_beside_its_blind_control(learned: Encoder, tmp_path: Path) -> None:
    figures = evaluate(learned, ExportedDataset(str(write_dataset(tmp_path, toys(18)))))
    hard, regions = figures["hard_negative_top1"], figures["region_top1"]
    assert hard["value"] > 0.8
    assert hard["blind"] < 0.5
    assert hard["gain_over_blind"] == pytest.approx(hard["value"] - hard["blind"])
    assert regions["value"] > 0.5 > regions["blind"]
    assert regions["candidates"] == 9
    half = figures["half_truth"]
    assert half["value"] > 0.6
    assert half["items"] == half["can_be_right"] == 36
    assert hard["can_be_right"] == hard["items"]


def test_a_model_says_how_far_first_sentences_find_their_images(learned: Encoder, tmp_path: Path) -> None:
    """Of 24 toys 6 are there twice, and a tie is never right: at most half are found."""

    def asked(name: str, long: str) -> FirstSentence:
        shard = [toy.model_copy(update={"long": long.format(long=str(toy.long))}) for toy in toys(24)[0]]
        return first_sentence_by_model(learned, ExportedDataset(str(write_dataset(tmp_path / name, [shard]))), "tiny")

    opening, ending = asked("opening", "{long}. A photo of the table."), asked("ending", "A photo of the table. {long}.")
    assert opening.images == ending.images == 24
    assert opening.model == "tiny"
    assert _r1(opening.first) > 0.25 > 0.1 > _r1(opening.rest)
    assert _r1(ending.rest) > 0.25 > 0.1 > _r1(ending.first)


def test_captions_of_one_sentence_are_no_question_of_first_sentences(learned: Encoder, tmp_path: Path) -> None:
    figures = first_sentence_by_model(learned, ExportedDataset(str(write_dataset(tmp_path, toys(24)))), "tiny")
    assert (figures.images, figures.whole) == (0, None)
    assert "20 are needed" in str(figures.whole_why)


def _r1(retrieval: Retrieval | None) -> float:
    assert retrieval is not None
    return retrieval.r1


def test_regions_in_the_evaluation_are_not_limited_to_four(encoder: Encoder, tmp_path: Path) -> None:
    boxes = [region("red", "car"), region("green", "mug"), region("blue", "star")] * 2
    figures = evaluate(encoder, ExportedDataset(str(write_dataset(tmp_path, [[record(0, regions=boxes), record(1)]]))))
    assert figures["region_top1"]["items"] == figures["hard_negative_top1"]["items"] == 7


def test_types_are_scored_apart_and_unsure_negatives_are_no_items(encoder: Encoder, tmp_path: Path) -> None:
    mixed = [negative("a red car", "colour", "red", "blue"), negative("a red car", "object", "car", "mug", verdict="unsure")]
    two = [negative("a red car", "colour", "red", "blue"), negative("a red car", "object", "car", "mug")]
    records = [record(0, regions=[region("red", "car", negatives=mixed)]), record(1, regions=[region("red", "car", negatives=two)])]
    by_type = evaluate(encoder, ExportedDataset(str(write_dataset(tmp_path, [records]))))["hard_negative_top1"]["by_type"]
    assert {kind: figures["items"] for kind, figures in by_type.items()} == {"colour": 2, "object": 1}


def test_a_negative_that_is_the_positive_is_never_right(encoder: Encoder) -> None:
    tied = [SeenRegion(0, "a red car", (("a red car", "colour"),))]
    feature = encoder.texts(["a red car"])
    assert hard_negative_top1(encoder, tied, list(feature))["value"] == 0.0


def test_nothing_to_measure_is_null_with_its_reason(encoder: Encoder, tmp_path: Path) -> None:
    records = [[record(number, long=None, regions=[]) for number in range(3)]]
    figures = evaluate(encoder, ExportedDataset(str(write_dataset(tmp_path, records))))
    assert figures["long"]["i2t_r1"] is None
    assert figures["region_top1"]["value_why"] == "no box with an expression"
    assert figures["hard_negative_top1"]["value_why"] == "no box with negatives"
    assert figures["short"]["images"] == 3


def test_an_unreadable_image_is_left_out(encoder: Encoder, tmp_path: Path) -> None:
    records = toys(4)
    root = write_dataset(tmp_path, records, {records[0][2].key: b"no picture"})
    assert evaluate(encoder, ExportedDataset(str(root)))["long"]["images"] == 3


def fgovd_line(**fields: object) -> str:
    content = {
        "img_path": "val2017/1.png",
        "bbox": [0.0, 0.0, 16.0, 32.0],  # xywh in pixels
        "pos_expression": ["a red car"],
        "neg_expression": ["a green car", "a blue car"],
        "test_type": "1_attributes",
    }
    return json.dumps({**content, **fields})


def test_fgovd_items_are_scored_on_their_boxes(learned: Encoder, tmp_path: Path) -> None:
    (tmp_path / "val2017").mkdir()
    (tmp_path / "val2017" / "1.png").write_bytes(picture(record(0)))  # a red car on the left
    right = fgovd_line()
    wrong = fgovd_line(pos_expression=["a green car"], neg_expression=["a red car"])
    beyond = fgovd_line(bbox=[-3.0, 0.0, 19.0, 40.0])
    (tmp_path / "hard.jsonl").write_text("\n".join([right, wrong, beyond]))
    figures = evaluate_fgovd(learned, tmp_path / "hard.jsonl", tmp_path)["hard_negative_top1"]
    assert figures["items"] == 3
    assert figures["value"] == pytest.approx(2 / 3)
    assert figures["by_type"]["1_attributes"]["items"] == 3


@pytest.mark.parametrize(
    "line, message",
    [
        (fgovd_line(img_path="val2017/2.png"), r"val2017/2\.png: .*--images names the folder"),
        (fgovd_line(bbox=[40.0, 0.0, 16.0, 32.0]), "has no area in an image of 32 x 32"),
        (fgovd_line(bbox=None), r"hard\.jsonl:1: no FG-OVD item"),
    ],
)
def test_a_wrong_fgovd_line_is_named(encoder: Encoder, tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "val2017").mkdir()
    (tmp_path / "val2017" / "1.png").write_bytes(picture(record(0)))
    (tmp_path / "hard.jsonl").write_text(line)
    with pytest.raises(TrainError, match=message):
        evaluate_fgovd(encoder, tmp_path / "hard.jsonl", tmp_path)


def test_the_published_file_reads_whole(tmp_path: Path) -> None:
    line = (
        '{"img_path": "val2017/000000113867.jpg", "bbox": [495.51, 565.29, 18.31, 74.71], "pos_expression": ["A pipe."], '
        '"neg_expression": ["A fabric pipe."], "category_id": 0, "neg_category_ids": [1], "width": 633, "height": 640, '
        '"image_id": 113867, "sent_id": 7131, "test_type": "1_attributes"}'
    )
    (tmp_path / "hard.jsonl").write_text(f"{line}\n{line}\n")
    item = read_fgovd(tmp_path / "hard.jsonl")[1]
    assert (item.bbox, item.neg_expression, item.test_type) == ((495.51, 565.29, 18.31, 74.71), ["A fabric pipe."], "1_attributes")


def test_equal_texts_have_the_very_same_feature(encoder: Encoder) -> None:
    first = encoder.texts(["a red car", "a green mug on the table"])
    again = encoder.texts(["a blue star", "a red car"])
    assert np.array_equal(first[0], again[1])
    assert torch.from_numpy(first).norm(dim=-1).allclose(torch.ones(2))
