from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from stages.train.data.texts import TextPacker
from stages.train.model.base import attention_mask

TEXTS = ["a red car", "a photo of the green mug on the table", "a toy", "the blue star", "a red car on the left", "one", "two small toy"]


@pytest.fixture(scope="module")
def packer(tiny_clip: Path) -> TextPacker:
    return TextPacker(AutoTokenizer.from_pretrained(tiny_clip), 77, 248)


def test_each_text_is_found_whole_at_its_place(packer: TextPacker, tiny_clip: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_clip)
    packed, places = packer.pack([(False, text) for text in TEXTS])
    ids, positions = packed.ids_PL.flatten(), packed.positions_PL.flatten()
    for text, place in zip(TEXTS, places, strict=True):
        expected, end = tokenizer(text)["input_ids"], int(packed.ends_N[place])
        assert ids[end - len(expected) + 1 : end + 1].tolist() == expected
        assert positions[end - len(expected) + 1 : end + 1].tolist() == list(range(len(expected)))


def test_short_texts_share_rows_so_that_little_is_padding(packer: TextPacker) -> None:
    packed, _ = packer.pack([(False, TEXTS[i % 7]) for i in range(200)] + [(True, "the red car on the table " * 20)])
    assert (packed.segments_PL == -1).float().mean() < 0.1


def test_a_text_ends_at_its_first_end_token(packer: TextPacker) -> None:
    packed, places = packer.pack([(False, "a red car <end> blue mug"), (False, "a red car")])
    ids = packed.ids_PL.flatten().tolist()
    ends = [int(packed.ends_N[place]) for place in places]
    assert ids[ends[0] - 4 : ends[0] + 1] == ids[ends[1] - 4 : ends[1] + 1]


def test_texts_are_cut_at_the_positions_of_their_kind(packer: TextPacker) -> None:
    endless = "red " * 400
    packed, (short, long) = packer.pack([(False, endless), (True, endless)])
    assert packed.ends_N[short] % packed.ids_PL.shape[1] == 76
    assert packed.ends_N[long] % packed.ids_PL.shape[1] == 247
    assert packed.positions_PL.max() == 77 + 247  # the long table lies behind the short one


def test_no_token_sees_another_text(packer: TextPacker) -> None:
    packed, _ = packer.pack([(False, text) for text in TEXTS])
    mask = attention_mask(packed.segments_PL)[:, 0]
    assert not mask[packed.segments_PL[:, :, None] != packed.segments_PL[:, None, :]].any()
    assert mask.diagonal(dim1=1, dim2=2).all()  # padding sees itself, else its softmax is no number
    assert not torch.triu(mask, 1).any()


def test_parts_hold_the_same_texts_in_order(packer: TextPacker) -> None:
    packed, _ = packer.pack([(i % 5 == 0, TEXTS[i % 7]) for i in range(40)])
    for num_parts in (1, 3, 100):
        parts = packed.parts(num_parts)
        assert torch.cat([part.ids_PL.flatten()[part.ends_N] for part in parts]).eq(3).all()
        assert torch.cat([part.kind_N for part in parts]).equal(packed.kind_N)
        assert torch.cat([part.ids_PL for part in parts]).equal(packed.ids_PL)


def test_no_texts_are_no_rows(packer: TextPacker) -> None:
    packed, places = packer.pack([])
    assert (len(packed), places) == (0, [])
