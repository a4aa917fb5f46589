"""Blocks: sealed runs of consecutive shards that a barrier stage looks at together. Cuts and seals; knows no stage, runs nothing."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.corpus.index import Unit
from pipeline.corpus.params import BLOCK_IMAGES, digest
from pipeline.storage import Storage

_FOLDER = "blocks"


@dataclass(frozen=True)
class Block:
    """A block with those of its units that the corpus still holds. `id` is a digest of all units that it was cut of.

    `number` is its file's; None: it is not sealed, and new units may still change it.
    """

    id: str
    units: tuple[Unit, ...]
    number: int | None


class Blocks:
    """The blocks of a corpus: what is sealed stays as it is, the other units are cut as they would be sealed now."""

    def __init__(self, workdir: Storage, units: Sequence[Unit], block_images: int = BLOCK_IMAGES) -> None:
        self._workdir, self._units, self._limit = workdir, units, block_images
        self._sealed = _read_sealed(workdir)
        self.all = self._cut()

    def seal(self, block_id: str) -> bool:
        """Seal the block, and all before it that are not sealed; False where another driver sealed first: `all` is cut anew then."""
        while block_id in self._open:
            position = self._first_open
            block = self.all[position]
            number = self._seal(block)
            if number is None:
                self._sealed = _read_sealed(self._workdir)
                self.all = self._cut()
                return False
            self.all[position] = Block(block.id, block.units, number)
            self._open.remove(block.id)
            self._first_open += 1
        return True

    def _seal(self, block: Block) -> int | None:
        number, units = len(self._sealed), [unit.id for unit in block.units]
        content = {"block_images": self._limit, "num_images": sum(unit.num_rows for unit in block.units), "units": units}
        if not self._workdir.write_if_absent(f"{_FOLDER}/{number:05d}.json", f"{json.dumps(content, indent=1)}\n".encode()):
            return None
        self._sealed.append(units)
        return number

    def _cut(self) -> list[Block]:
        """Sealed blocks by number, less those of which no unit is left, then the units that no block holds."""
        at_hand = {unit.id: unit for unit in self._units}
        blocks = []
        for number, names in enumerate(self._sealed):
            live = tuple(at_hand.pop(name) for name in names if name in at_hand)
            if live:
                blocks.append(Block(digest(names), live, number))
        runs = _runs([unit for unit in self._units if unit.id in at_hand], self._limit)
        self._first_open = len(blocks)
        blocks += [Block(digest([unit.id for unit in run]), run, None) for run in runs]
        self._open = {block.id for block in blocks[self._first_open :]}
        return blocks


def _runs(units: Sequence[Unit], limit: int) -> Iterator[tuple[Unit, ...]]:
    """Whole shards, in order, up to the limit; a shard that is larger is alone."""
    shards: dict[str, list[Unit]] = {}
    for unit in units:
        shards.setdefault(unit.shard_id, []).append(unit)
    run: list[Unit] = []
    num_images = 0
    for shard in shards.values():
        size = sum(unit.num_rows for unit in shard)
        if run and num_images + size > limit:
            yield tuple(run)
            run, num_images = [], 0
        run += shard
        num_images += size
    if run:
        yield tuple(run)


def _read_sealed(workdir: Storage) -> list[list[str]]:
    """Unit ids of each sealed block, by number. Numbers have no gaps: a block is sealed by the first to write the next one."""
    names = [entry.path for entry in workdir.files(_FOLDER) if entry.path.endswith(".json")]
    contents = workdir.read_many(sorted(names, key=lambda name: int(name.rsplit("/", 1)[-1].removesuffix(".json"))))
    return [json.loads(content)["units"] for content in contents if content is not None]
