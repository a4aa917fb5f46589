"""How the units of a corpus are grouped to what a stage is given at once: units, blocks, shards. Knows no tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.corpus.index import Unit
from pipeline.ledger.blocks import Blocks
from stages.base import Scope


@dataclass(frozen=True)
class Item:
    """What a stage is given at once: one unit, or all units of a shard or of a block. Of a block each unit has its own table."""

    id: str
    units: tuple[Unit, ...]

    @property
    def num_images(self) -> int:
        return sum(unit.num_rows for unit in self.units)

    def table_of(self, unit: Unit, scope: Scope) -> str:
        """The name of the table that holds a unit's rows."""
        return unit.id if scope == "block" else self.id


class Items:
    """The items of a corpus by scope. Blocks that another driver has sealed otherwise are cut anew."""

    def __init__(self, units: Sequence[Unit], blocks: Blocks | None) -> None:
        self._blocks = blocks
        self.units = [Item(unit.id, (unit,)) for unit in units]
        self._by_scope: dict[Scope, list[Item]] = {"unit": self.units, "shard": _shards(units)}
        self._holding: dict[Scope, Mapping[str, Item]] = {scope: _by_unit(items) for scope, items in self._by_scope.items()}
        self._cut_blocks()

    def of(self, scope: Scope) -> list[Item]:
        """All items that are scheduled, in order of shard and place."""
        return self._by_scope[scope]

    def holding(self, scope: Scope, unit: Unit) -> Item:
        """The item that holds a unit."""
        return self._holding[scope][unit.id]

    def unit(self, unit: Unit) -> Item:
        """The unit as an item of its own."""
        return self._holding["unit"][unit.id]

    def scheduled(self, scope: Scope, item: Item) -> Item:
        """The item that is scheduled where this one has a table: of a unit of a block, the block."""
        return self._holding[scope][item.units[0].id] if scope == "block" else item

    def tabled(self, scope: Scope, item: Item) -> list[Item]:
        """The items that have a table each: the units of a block, else the item itself."""
        return [self.unit(unit) for unit in item.units] if scope == "block" else [item]

    def seal(self, item: Item) -> bool:
        """Seal a block; False where another driver has sealed otherwise meanwhile: all blocks are new items then."""
        assert self._blocks is not None, "only a graph with a block stage has blocks"
        if self._blocks.seal(item.id):
            return True
        self._cut_blocks()
        return False

    def _cut_blocks(self) -> None:
        self._by_scope["block"] = [Item(block.id, block.units) for block in self._blocks.all] if self._blocks else []
        self._holding["block"] = _by_unit(self._by_scope["block"])


def _shards(units: Sequence[Unit]) -> list[Item]:
    shards: dict[str, list[Unit]] = {}
    for unit in units:
        shards.setdefault(unit.shard_id, []).append(unit)
    return [Item(shard_id, tuple(members)) for shard_id, members in shards.items()]


def _by_unit(items: Sequence[Item]) -> dict[str, Item]:
    return {unit.id: item for item in items for unit in item.units}
