import io
import itertools
import os
import re
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from schemas.rows import Negative
from stages.train.config import Stage2, TrainError
from stages.train.data.batch import NONE, Batch, collate
from stages.train.data.samples import SampleMaker
from stages.train.data.shards import ExportedDataset
from stages.train.data.stream import Source, batches, steps_per_epoch
from stages.train.data.texts import TextPacker
from stages.train.model.load import load_model
from tests.support.pictures import tar_bytes
from tests.support.processes import num_descriptors
from tests.support.training_data import negative, picture, record, region, toys, write_dataset


def source_of(root: str, tiny_clip: Path, **params: object) -> Source:
    model, tokenizer = load_model(str(tiny_clip))
    settings = Stage2.model_validate({"batch_size": 4, "workers": 0, "shuffle_buffer": 8, **params})
    return Source(ExportedDataset(root), SampleMaker(settings, model.image_size), TextPacker(tokenizer, *model.num_positions))


def taken(source: Source, num_steps: int, **where: int) -> list[Batch]:
    return list(itertools.islice(batches(source, **where), num_steps))


def same(left: Batch, right: Batch) -> bool:
    return (
        left.keys == right.keys
        and left.pixels_BCHW.equal(right.pixels_BCHW)
        and left.texts.ids_PL.equal(right.texts.ids_PL)
        and left.hard_text_HM.equal(right.hard_text_HM)
        and left.expression_K.equal(right.expression_K)
    )


def test_a_later_start_gives_exactly_the_batches_that_were_left(tmp_path: Path, tiny_clip: Path) -> None:
    source = source_of(str(write_dataset(tmp_path, toys(30, 4))), tiny_clip)
    whole = taken(source, 17)  # two epochs and a bit: 7 batches each
    assert steps_per_epoch(source.dataset, source.params, 1) == 7
    for first in (1, 6, 7, 10):
        rest = taken(source, 17 - first, first_step=first)
        assert all(same(a, b) for a, b in zip(whole[first:], rest, strict=True))


def test_reader_processes_give_the_same_batches_after_a_restart(tmp_path: Path, tiny_clip: Path) -> None:
    source = source_of(str(write_dataset(tmp_path, toys(40, 3))), tiny_clip, workers=2)
    whole = taken(source, 8)
    rest = taken(source, 5, first_step=3)
    assert all(same(a, b) for a, b in zip(whole[3:], rest, strict=True))
    assert len({key for batch in whole for key in batch.keys}) == 32


def test_a_worker_gives_all_that_is_made_without_one_and_opens_no_file_for_each_tensor(tmp_path: Path, tiny_clip: Path) -> None:
    root = str(write_dataset(tmp_path, toys(30, 4)))
    here, sent = (taken(source_of(root, tiny_clip, workers=workers), 5) for workers in (0, 1))
    for left, right in zip(here, sent, strict=True):
        assert same(left, right)
        for name, value in tensors_of(left).items():
            arrived = tensors_of(right)[name]
            assert arrived.dtype == value.dtype
            assert arrived.equal(value), name
            arrived.zero_()  # a step may write to it
    before = num_descriptors()
    message = ForkingPickler.dumps(here[0])  # held: it owns what it opened
    assert num_descriptors() - before <= 3, len(message)  # of the pixels: their own, the one to be sent, the socket that hands it over


def tensors_of(batch: Batch) -> dict[str, torch.Tensor]:
    content = {**vars(batch), **vars(batch.texts)}
    return {name: value for name, value in content.items() if isinstance(value, torch.Tensor)}


def test_an_epoch_reads_each_image_once_on_all_processes_together(tmp_path: Path, tiny_clip: Path) -> None:
    source = source_of(str(write_dataset(tmp_path, toys(33, 2))), tiny_clip)
    keys = [key for rank in range(2) for batch in taken(source, 4, rank=rank, num_processes=2) for key in batch.keys]
    assert len(keys) == len(set(keys)) == 32


def test_shards_are_read_from_s3(s3_bucket: str, tmp_path: Path, tiny_clip: Path) -> None:
    local = write_dataset(tmp_path, toys(20, 2))
    remote = f"{s3_bucket}/trainer-shards"
    fsspec.filesystem("s3").put(str(local), remote, recursive=True)
    locally, there = (taken(source_of(root, tiny_clip), 4) for root in (str(local), remote))
    assert all(same(a, b) for a, b in zip(locally, there, strict=True))


def test_only_what_the_manifest_names_is_read(tmp_path: Path, tiny_clip: Path) -> None:
    root = write_dataset(tmp_path, toys(16, 2))
    (root / "00002.tar").write_bytes(b"not of this data set")
    (root / "00001_stats.json").write_bytes(b"nor read")
    assert len(taken(source_of(str(root), tiny_clip), 8)) == 8


def test_a_tar_with_fewer_images_than_the_manifest_says_is_named_and_counted(
    tmp_path: Path, tiny_clip: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_dataset(tmp_path, toys(16, 2))
    (root / "00001.tar").write_bytes((write_dataset(tmp_path / "other", toys(4)) / "00000.tar").read_bytes())
    assert sum(batch.num_unreadable for batch in taken(source_of(str(root), tiny_clip), 4)) == 4
    assert "00001.tar: has no image" in caplog.text
    with pytest.raises(TrainError, match=r"00001\.tar: has no image"):  # an evaluation says nothing of half a data set
        list(ExportedDataset(str(root)).read_all())


@pytest.mark.parametrize("content", [None, b"no tar", "cut"], ids=["missing", "no-tar", "cut"])
def test_a_broken_shard_leaves_its_images_out(tmp_path: Path, tiny_clip: Path, content: object) -> None:
    root = write_dataset(tmp_path, toys(16, 2))
    whole = (root / "00001.tar").read_bytes()
    (root / "00001.tar").unlink()
    if content is not None:
        (root / "00001.tar").write_bytes(content if isinstance(content, bytes) else whole[: len(whole) // 2])
    batches = taken(source_of(str(root), tiny_clip), 4)
    assert sum(len(batch.keys) for batch in batches) == 16
    assert 1 <= sum(batch.num_unreadable for batch in batches) <= 8


def test_every_image_is_seen_within_a_few_epochs(tmp_path: Path, tiny_clip: Path) -> None:
    """40 images in batches of 12: four are left over, others in each epoch."""
    source = source_of(str(write_dataset(tmp_path, toys(40))), tiny_clip, batch_size=12)
    seen: set[str] = set()
    for epoch in range(6):
        keys = [key for batch in taken(source, 3, first_step=3 * epoch) for key in batch.keys]
        assert len(set(keys)) == 36
        seen |= set(keys)
    assert len(seen) == 40


def test_too_little_shared_memory_is_said_at_the_start(tmp_path: Path, tiny_clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = source_of(str(write_dataset(tmp_path, toys(16))), tiny_clip, workers=2)
    small = os.statvfs_result((4096, 4096, 10, 1, 1, 0, 0, 0, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: small)
    with pytest.raises(TrainError, match=r"/dev/shm has 0 MiB free; workers: 2 .*--shm-size.*workers: 0"):
        batches(source)


def test_groups_are_read_from_the_parquet_files_alone(tmp_path: Path) -> None:
    dataset = ExportedDataset(str(write_dataset(tmp_path, toys(4, 2))))
    assert dataset.groups([0, 1]) == {}  # nothing was mined
    regions = [[{"group": "g1", "head": "car"}, {"group": None, "head": "mug"}, {"group": "g2", "head": "car"}], []]
    pq.write_table(pa.table({"key": ["a", "b"], "regions": regions}), tmp_path / "00001.parquet")
    (tmp_path / "00001.tar").unlink()
    assert dataset.groups([0, 1]) == {(1, 0): ("g1", "g2")}


def test_records_without_an_image_take_no_part(tmp_path: Path, tiny_clip: Path) -> None:
    """A corpus of texts alone is exported too."""
    records = toys(4)[0]
    root = write_dataset(tmp_path, [records])
    members = {f"{record.key}.json": record.model_dump_json().encode() for record in records[:3]}
    last = records[3]
    members |= {f"{last.key}.png": picture(last), f"{last.key}.json": last.model_dump_json().encode()}
    (root / "00000.tar").write_bytes(tar_bytes(members))
    (batch,) = taken(source_of(str(root), tiny_clip), 1)
    assert [key for key, text in zip(batch.keys, batch.long_B.tolist(), strict=True) if text != NONE] == [last.key]


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainError, match=r"no exported data set there"):
        ExportedDataset(str(tmp_path))


def test_an_unreadable_image_keeps_its_place_without_texts_and_regions(tmp_path: Path, tiny_clip: Path) -> None:
    """The published trainer dies of one."""
    records = toys(4)
    root = write_dataset(tmp_path, records, {records[0][1].key: b"no picture"})
    (batch,) = taken(source_of(str(root), tiny_clip), 1)
    broken = batch.keys.index(records[0][1].key)
    assert batch.long_B[broken] == batch.short_B[broken] == NONE
    assert len(batch.box_K) == 3


def test_boxes_that_are_no_area_inside_the_image_are_left_out(tiny_clip: Path) -> None:
    """Zero area, pixels instead of shares, xywh with a side beyond the image, null: NaN or an exception in the published trainer."""
    wrong = [(0.2, 0.2, 0.2, 0.8), (3.0, 4.0, 20.0, 30.0), (0.8, 0.1, 0.3, 0.5), None]
    boxes = [region("red", "car", bbox=box) for box in wrong] + [region("blue", "mug")]
    sample = SampleMaker(Stage2(), 32).sample(picture(record(0)), record(0, regions=boxes), 0)
    assert [box.positive for box in sample.regions] == ["a blue mug"]


def test_negatives_vary_in_number_and_weigh_by_verdict_and_type(tiny_clip: Path) -> None:
    verdicts = ["false", "true", "unsure", "unverified"]
    negatives = [negative("a red car", "colour", "red", f"green{i}", verdict) for i, verdict in enumerate(verdicts)]
    many = [negative("a red car", "object", "car", f"mug{i}") for i in range(13)]
    maker = SampleMaker(Stage2.model_validate({"type_weights": {"object": 0.5}, "unverified_weight": 0.25, "seed": 1}), 32)
    few, lots = (
        maker.sample(picture(record(0)), record(0, regions=[region("red", "car", negatives=kept)]), 0).regions[0].negatives
        for kept in (negatives, many)
    )
    assert few == (("a green0 car", "colour", 1.0), ("a green3 car", "colour", 0.25))
    assert len(lots) == 10
    assert {weight for _, _, weight in lots} == {0.5}
    again = maker.sample(picture(record(0)), record(0, regions=[region("red", "car", negatives=many)]), 1).regions[0].negatives
    assert set(lots) != set(again)  # another epoch draws others


def test_mined_negatives_are_never_drawn_out(tiny_clip: Path) -> None:
    """A group is only fair whole: each of its texts is once the positive."""
    written = [negative("a red car", "object", "car", f"mug{i}") for i in range(30)]
    mined = [negative("a red car", "colour", "red", f"blue{i}").model_copy(update={"source": "reciprocal"}) for i in range(4)]
    boxes = [region("red", "car", negatives=[*mined, *written], group="g")]
    for epoch in range(5):
        kept = SampleMaker(Stage2(), 32).sample(picture(record(0)), record(0, regions=boxes), epoch).regions[0].negatives
        assert [kind for _, kind, _ in kept] == ["colour"] * 4 + ["object"] * 6


def test_evaluation_takes_the_fewest_edits_first_and_each_type_in_turn(tiny_clip: Path) -> None:
    single_edits = [negative("a red car", "colour", "red", new) for new in ("blue", "green", "white")] + [
        negative("a red car", "object", "car", "mug")
    ]
    two_edits = negative("a red car", "colour", "red", "black").model_copy(
        update={"edits": [*single_edits[0].edits, *single_edits[3].edits]}
    )
    boxes = [region("red", "car", negatives=[two_edits, *single_edits])]
    kept = SampleMaker(Stage2(max_negatives=1), 32, hardest_first=True).sample(picture(record(0)), record(0, regions=boxes), 0).regions[0]
    assert [text for text, _, _ in kept.negatives] == ["a blue car", "a red mug", "a green car", "a white car", "a black car"]


def test_groups_of_an_export_come_into_one_batch(tmp_path: Path, tiny_clip: Path) -> None:
    groups = [f"g{number % 4}" for number in range(16)]
    records = [record(number, regions=[region("red", "car", group=group)]) for number, group in enumerate(groups)]
    source = source_of(str(write_dataset(tmp_path, [records])), tiny_clip, shuffle_buffer=16)
    group_of = {record.key: group for record, group in zip(records, groups, strict=True)}
    for batch in taken(source, 4):
        assert len({group_of[key] for key in batch.keys}) == 1


def test_at_most_four_boxes_and_those_with_negatives_first(tiny_clip: Path) -> None:
    boxes = [region("red", "car", num_negatives=0) for _ in range(5)] + [region("blue", "mug")]
    sample = SampleMaker(Stage2(), 32).sample(picture(record(0)), record(0, regions=boxes), 0)
    assert [box.positive for box in sample.regions] == ["a blue mug", "a red car", "a red car", "a red car"]


def test_texts_that_images_share_are_encoded_once(tiny_clip: Path) -> None:
    _, tokenizer = load_model(str(tiny_clip))
    maker = SampleMaker(Stage2(region_text="short", short_prefix=""), 32)
    samples = [maker.sample(picture(record(number)), record(number, short="a toy"), 0) for number in (0, 9, 1)]
    batch = collate(samples, TextPacker(tokenizer, 77, 248))
    # 3 long, 1 short, "a red car" and "a green car" with their negatives, which are each other and "a blue car"
    assert len(batch.texts) == 3 + 1 + 3
    assert batch.short_B[0] == batch.short_B[1] == batch.short_B[2]
    assert batch.hard_text_HM[0].equal(batch.hard_text_HM[1])
    assert batch.text_key_N.unique().numel() == 7


def test_an_image_of_sixteen_bits_is_seen_in_all_its_shades() -> None:
    """Pillow alone clips it to white; the captioner and the trainer see the same."""
    deep = Image.fromarray(np.linspace(0, 65535, 32 * 32).astype(np.uint16).reshape(32, 32))
    buffer = io.BytesIO()
    deep.save(buffer, "PNG")
    pixels = SampleMaker(Stage2(), 32).pixels(buffer.getvalue())
    assert pixels is not None
    assert abs(float(pixels.float().mean()) - 127.5) < 1


def test_long_captions_vary_by_sentence_where_asked(tiny_clip: Path) -> None:
    sentences = record(0, long="First here. Second, 1.5 m. Third! Fourth?")

    def longs(**params: float) -> list[str]:
        maker = SampleMaker(Stage2.model_validate({"seed": 3, **params}), 32)
        return [maker.sample(picture(sentences), sentences, epoch).long or "" for epoch in range(12)]

    assert set(longs()) == {sentences.long}
    assert set(longs(long_drop_first=1)) == {"Second, 1.5 m. Third! Fourth?"}
    parts = longs(long_subsample=1)
    assert {text.count("h") > 0 for text in parts} == {True}
    assert all(
        sentences.long != text and set(re.split(r"(?<=[.!?]) ", text)) < set(re.split(r"(?<=[.!?]) ", sentences.long)) for text in parts
    )
    mixed = longs(long_shuffle=1)
    assert len(set(mixed)) > 3
    assert {tuple(sorted(re.split(r"(?<=[.!?]) (?=[A-Z])", text))) for text in mixed} == {
        ("First here.", "Fourth?", "Second, 1.5 m.", "Third!")
    }
    assert mixed == longs(long_shuffle=1)
    whole = SampleMaker(Stage2(seed=3), 32).sample(picture(sentences), sentences, 0)
    varied = SampleMaker(Stage2(seed=3, long_shuffle=1), 32).sample(picture(sentences), sentences, 0)
    assert varied.regions == whole.regions  # no other draw changes


def test_a_batch_without_regions_has_no_boxes(tiny_clip: Path) -> None:
    _, tokenizer = load_model(str(tiny_clip))
    samples = [SampleMaker(Stage2(), 32).sample(picture(record(number)), record(number, regions=[]), 0) for number in range(2)]
    batch = collate(samples, TextPacker(tokenizer, 77, 248))
    assert batch.boxes_BR4.shape == (2, 0, 4)
    assert len(batch.box_K) == len(batch.hard_box_H) == 0
    assert torch.equal(batch.long_B >= 0, torch.tensor([True, True]))


def test_a_negative_that_reads_like_its_positive_is_none(tiny_clip: Path) -> None:
    same_text = Negative(text="A RED car", edits=[], type="colour", verdict="false")
    sample = SampleMaker(Stage2(), 32).sample(picture(record(0)), record(0, regions=[region("red", "car", negatives=[same_text])]), 0)
    assert sample.regions[0].negatives == ()
