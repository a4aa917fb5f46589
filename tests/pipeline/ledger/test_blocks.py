"""How a corpus is cut into blocks, and what sealing fixes."""

import json
from pathlib import Path

from pipeline.corpus.index import Unit
from pipeline.ledger.blocks import Blocks
from pipeline.storage import Storage


def _shard(number: int, *sizes: int) -> list[Unit]:
    return [Unit(f"u{number}-{place}", f"s{number}", number, 0, size, "") for place, size in enumerate(sizes)]


def _names(blocks: Blocks) -> list[list[str]]:
    return [[unit.id for unit in block.units] for block in blocks.all]


def _seal_all(blocks: Blocks) -> None:
    assert all(blocks.seal(block.id) for block in list(blocks.all))


def test_whole_shards_in_order_fill_a_block_up_to_its_limit_and_a_larger_one_is_alone(tmp_path: Path) -> None:
    units = [*_shard(0, 4, 4), *_shard(1, 2), *_shard(2, 4, 4, 4), *_shard(3, 1), *_shard(4, 9)]
    blocks = Blocks(Storage(str(tmp_path)), units, 10)
    assert _names(blocks) == [["u0-0", "u0-1", "u1-0"], ["u2-0", "u2-1", "u2-2"], ["u3-0", "u4-0"]]
    assert not (tmp_path / "blocks").exists(), "to cut writes nothing"


def test_a_sealed_block_stays_as_it_is_and_later_units_form_new_ones_those_of_an_old_shard_too(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    first = Blocks(storage, [*_shard(0, 4), *_shard(1, 4)], 100)
    _seal_all(first)
    before = (tmp_path / "blocks" / "00000.json").stat().st_mtime_ns
    later = Blocks(storage, [*_shard(0, 4, 3), *_shard(1, 4), *_shard(2, 4)], 100)
    assert _names(later) == [["u0-0", "u1-0"], ["u0-1", "u2-0"]]
    assert later.all[0].id == first.all[0].id
    _seal_all(later)
    assert (tmp_path / "blocks" / "00000.json").stat().st_mtime_ns == before
    assert json.loads((tmp_path / "blocks" / "00001.json").read_text()) == {
        "block_images": 100,
        "num_images": 7,
        "units": ["u0-1", "u2-0"],
    }


def test_the_limit_holds_only_for_blocks_that_are_not_sealed(tmp_path: Path) -> None:
    storage, units = Storage(str(tmp_path)), [*_shard(0, 4), *_shard(1, 4)]
    _seal_all(Blocks(storage, units, 100))
    assert _names(Blocks(storage, [*units, *_shard(2, 4), *_shard(3, 4)], 4)) == [["u0-0", "u1-0"], ["u2-0"], ["u3-0"]]


def test_what_has_left_the_corpus_leaves_its_block_whose_name_stays(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    blocks = Blocks(storage, [*_shard(0, 4), *_shard(1, 4), *_shard(2, 8)], 8)
    _seal_all(blocks)
    less = Blocks(storage, _shard(1, 4), 8)
    assert _names(less) == [["u1-0"]]
    assert less.all[0].id == blocks.all[0].id
    less = Blocks(storage, [*_shard(1, 4), *_shard(3, 4)], 8)
    _seal_all(less)
    assert json.loads((tmp_path / "blocks" / "00002.json").read_text())["units"] == ["u3-0"]


def test_blocks_are_sealed_in_order(tmp_path: Path) -> None:
    storage, units = Storage(str(tmp_path)), [unit for number in range(3) for unit in _shard(number, 4)]
    blocks = Blocks(storage, units, 4)
    assert blocks.seal(blocks.all[1].id)
    assert [block.number for block in blocks.all] == [0, 1, None]
    assert [block.number for block in Blocks(storage, units, 4).all] == [0, 1, None]


def test_of_two_drivers_that_seal_at_once_the_second_reads_what_the_first_has_sealed(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    units = [unit for number in range(4) for unit in _shard(number, 4)]
    fast, slow = Blocks(storage, units, 8), Blocks(storage, units[:3], 4)
    assert fast.seal(fast.all[0].id)
    assert not slow.seal(slow.all[2].id)
    assert _names(slow) == [["u0-0", "u1-0"], ["u2-0"]]
    assert slow.seal(slow.all[1].id)
    assert not fast.seal(fast.all[1].id)
    assert _names(fast) == [["u0-0", "u1-0"], ["u2-0"], ["u3-0"]]
    held = [name for path in sorted((tmp_path / "blocks").iterdir()) for name in json.loads(path.read_text())["units"]]
    assert sorted(held) == sorted(set(held)), "no unit is in two blocks"
