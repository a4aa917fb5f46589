"""What is done and what is pending, read off names: units x stages against the ledger. Runs nothing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.config.graph import Node
from pipeline.corpus.index import Unit
from pipeline.corpus.listed.account import Account
from pipeline.corpus.params import BLOCK_IMAGES
from pipeline.given.matching import NOTHING, Matched
from pipeline.ledger.blocks import Blocks
from pipeline.ledger.items import Item, Items
from pipeline.ledger.tables import Ledger, Table, inputs_digest


@dataclass
class _Listed:
    """What the ledger lists for one node; `current` remembers the current tables that were found, `inputs` those of blocks."""

    tables: dict[str, dict[str, Table]]
    retries: dict[str, int]
    deaths: dict[tuple[str, int], Counter[str]] = field(default_factory=dict)
    current: dict[str, Table] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)


class State:
    """The ledger's listing of a graph over the units of a corpus; a run keeps it current with `add`.

    What is scheduled is an item of `items`. What has a table is an item of `current_tables`: the same but for a block, whose
    units have a table each. Both kinds are understood wherever an item is asked about.
    """

    def __init__(
        self,
        graph: Sequence[Node],
        units: Sequence[Unit],
        ledger: Ledger,
        given: Mapping[str, Matched] | None = None,
        block_images: int = BLOCK_IMAGES,
        account: Account | None = None,
    ) -> None:
        self.graph = list(graph)
        self.nodes = {node.name: node for node in graph}
        self.ledger = ledger
        self.given = given or {}
        self.account = account or Account()
        has_blocks = any(node.scope == "block" for node in graph)
        self._items = Items(units, Blocks(ledger.workdir, units, block_images) if has_blocks else None)
        self._listed = {
            node.name: _Listed(
                ledger.tables(node.name, node.fingerprint),
                ledger.retries(node.name, node.fingerprint),
                ledger.deaths(node.name, node.fingerprint),
            )
            for node in graph
        }

    @property
    def num_images(self) -> int:
        """Images of the corpus."""
        return sum(item.num_images for item in self._items.units)

    def items(self, stage: str) -> list[Item]:
        """All items of a stage that are scheduled, in order of shard and place."""
        return self._items.of(self.nodes[stage].scope)

    def item_of(self, stage: str, unit: Unit) -> Item:
        """The scheduled item of a stage that holds a unit."""
        return self._items.holding(self.nodes[stage].scope, unit)

    def tabled(self, stage: str, item: Item) -> list[Item]:
        """The items that have a table each: the units of a block, else the item itself."""
        return self._items.tabled(self.nodes[stage].scope, item)

    def seal(self, item: Item) -> bool:
        """Seal a block, before the first barrier stage runs on it.

        False where another driver has sealed otherwise meanwhile: the items of all block stages are new ones then.
        """
        is_sealed = self._items.seal(item)
        if not is_sealed:
            self._forget()
        return is_sealed

    def _forget(self) -> None:
        for listed in self._listed.values():
            listed.current.clear()
            listed.inputs.clear()

    def _scheduled(self, stage: str, item: Item) -> Item:
        return self._items.scheduled(self.nodes[stage].scope, item)

    def retry(self, stage: str, item: Item) -> int:
        """Number of the item's latest retry; 0: none was asked for."""
        return self._listed[stage].retries.get(self._scheduled(stage, item).id, 0)

    def deaths(self, stage: str, item: Item) -> Counter[str]:
        """How often a worker died with this item, at this retry, in flight, by what was asked alone; "": others were in flight too."""
        return self._listed[stage].deaths.setdefault((item.id, self.retry(stage, item)), Counter())

    def ask_retry(self, stage: str, item: Item) -> None:
        """Mark the item to be run again."""
        item = self._scheduled(stage, item)
        self._listed[stage].retries[item.id] = self.ledger.ask_retry(stage, self.nodes[stage].fingerprint, item.id)
        self._forget()

    def note_death(self, stage: str, item: Item, asked: str = "") -> None:
        """One more death."""
        deaths, retry = self.deaths(stage, item), self.retry(stage, item)
        deaths[asked] += 1
        self.ledger.note_death(stage, self.nodes[stage].fingerprint, item.id, retry, asked, deaths[asked])

    def inputs(self, stage: str, item: Item, *, retry: int | None = None) -> str | None:
        """Digest of what the item reads now; None while something upstream is not committed."""
        node, item = self.nodes[stage], self._scheduled(stage, item)
        remembered = self._listed[stage].inputs
        if retry is None and item.id in remembered:
            return remembered[item.id]
        contents: dict[str, list[str]] = {}
        for upstream in node.reads:
            current, of_upstream = self._listed[upstream].current, contents.setdefault(upstream, [])
            for unit in item.units:
                table = current.get(unit.id) or self.table(upstream, self._items.unit(unit))
                if table is None:
                    return None
                of_upstream.append(table.content)
        rows_digest = None if node.reads else "/".join(unit.rows_digest for unit in item.units)
        inputs = inputs_digest(contents, rows_digest, self.retry(stage, item) if retry is None else retry)
        if stage in self.given:
            inputs = f"{inputs}-{self._given_digest(stage, item)}"
        if retry is None and node.scope == "block":
            remembered[item.id] = inputs
        return inputs

    def _given_digest(self, stage: str, item: Item) -> str:
        return self.given[stage].digests.get(item.id, NOTHING)

    def given_path(self, stage: str, item: Item) -> str | None:
        """Where a worker finds which given rows are the item's; None where nothing is given to this stage."""
        return self.given[stage].pointers.get(item.id) if stage in self.given else None

    def label(self, stage: str, item: Item) -> str:
        """Names what the item's output is a function of: the fingerprint and the inputs, whatever the retry."""
        return f"{self.nodes[stage].fingerprint}.{self.inputs(stage, item, retry=0)}"

    def table(self, stage: str, item: Item, *, retry: int | None = None) -> Table | None:
        """The item's current table: committed, and for the inputs as they are now.

        Once found it stays the current one until a retry is asked for: a run adds tables only where there is none.
        """
        listed = self._listed[stage]
        if retry is None and item.id in listed.current:
            return listed.current[item.id]
        inputs = self.inputs(stage, item, retry=retry)
        table = None if inputs is None else listed.tables.get(item.id, {}).get(inputs)
        if retry is None and table is not None:
            listed.current[item.id] = table
        return table

    def tables_of(self, stage: str, units: Sequence[Unit]) -> list[Table]:
        """The current tables of units, in their order; of a stage that is read: not of one by shard."""
        tables = [self.table(stage, self._items.unit(unit)) for unit in units]
        return [table for table in tables if table is not None]

    def add(self, table: Table) -> None:
        """Enter a table that was just committed."""
        self._listed[table.stage].tables.setdefault(table.item, {})[table.inputs] = table

    def known_inputs(self, stage: str, item: Item) -> Mapping[str, Table]:
        """The item's tables by this version of the stage, by whatever inputs they were computed of."""
        return self._listed[stage].tables.get(item.id, {})

    def current_tables(self, stage: str) -> list[tuple[Item, Table | None]]:
        """Each item that has a table of its own (of a block: each unit) with the current one, None where pending."""
        return [(part, self.table(stage, part)) for item in self.items(stage) for part in self.tabled(stage, item)]

    def is_done(self, stage: str, item: Item) -> bool:
        """Whether a scheduled item has all of its tables."""
        return all(self.table(stage, part) is not None for part in self.tabled(stage, item))

    def has_ok(self, stage: str) -> bool:
        """Whether an image came back well from this version of the stage, whatever its inputs were; reads footers until one has."""
        tables = (table for by_inputs in self._listed[stage].tables.values() for table in by_inputs.values())
        return any(self.ledger.summary(table).statuses.get("ok") for table in tables)

    def has_pending(self, stage: str) -> bool:
        """Whether some item of the stage has no current table."""
        return any(table is None for _, table in self.current_tables(stage))
