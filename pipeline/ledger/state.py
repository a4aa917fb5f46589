"""What is done, what is pending and why, read off names: units x stages against the ledger. Runs nothing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.config.graph import Node
from pipeline.corpus.index import Unit
from pipeline.corpus.params import BLOCK_IMAGES
from pipeline.given.matching import NOTHING, Matched
from pipeline.ledger.blocks import Blocks
from pipeline.ledger.tables import Ledger, Table, inputs_digest

REASONS = ("new", "version_changed", "prompt_changed", "params_changed", "model_changed", "upstream_changed", "given_changed", "retry")


@dataclass(frozen=True)
class Item:
    """What a stage is given at once: one unit, or all units of a shard or of a block. Of a block each unit has its own table."""

    id: str
    units: tuple[Unit, ...]

    @property
    def num_images(self) -> int:
        return sum(unit.num_rows for unit in self.units)


@dataclass(frozen=True)
class StagePlan:
    """One stage's share of a plan. `done` and `pending` count units."""

    name: str
    fingerprint: str
    done: int
    pending: int
    why: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "fingerprint": self.fingerprint, "done": self.done, "pending": self.pending, "why": dict(self.why)}


@dataclass
class _Listed:
    """What the ledger lists for one node; `current` remembers the current tables that were found, `inputs` those of blocks."""

    tables: dict[str, dict[str, Table]]
    retries: dict[str, int]
    deaths: dict[tuple[str, int], int] = field(default_factory=dict)
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
    ) -> None:
        self.graph = list(graph)
        self.nodes = {node.name: node for node in graph}
        self.ledger = ledger
        self.given = given or {}
        self._blocks = Blocks(ledger.workdir, units, block_images) if any(node.scope == "block" for node in graph) else None
        self._units = [Item(unit.id, (unit,)) for unit in units]
        self._unit_items = {item.id: item for item in self._units}
        self._shards = _shards(units)
        self._shard_of = _by_unit(self._shards)
        self._listed = {
            node.name: _Listed(
                ledger.tables(node.name, node.fingerprint),
                ledger.retries(node.name, node.fingerprint),
                ledger.deaths(node.name, node.fingerprint),
            )
            for node in graph
        }
        self._cut_blocks()

    def items(self, stage: str) -> list[Item]:
        """All items of a stage that are scheduled, in order of shard and place."""
        return {"unit": self._units, "block": self._block_items, "shard": self._shards}[self.nodes[stage].scope]

    def item_of(self, stage: str, unit: Unit) -> Item:
        """The scheduled item of a stage that holds a unit."""
        return {"unit": self._unit_items, "block": self._block_of, "shard": self._shard_of}[self.nodes[stage].scope][unit.id]

    def tabled(self, stage: str, item: Item) -> list[Item]:
        """The items that have a table each: the units of a block, else the item itself."""
        return [self._unit_items[unit.id] for unit in item.units] if self.nodes[stage].scope == "block" else [item]

    def seal(self, item: Item) -> bool:
        """Seal a block, before the first barrier stage runs on it.

        False where another driver has sealed otherwise meanwhile: the items of all block stages are new ones then.
        """
        assert self._blocks is not None, "only a graph with a block stage has blocks"
        if self._blocks.seal(item.id):
            return True
        self._cut_blocks()
        self._forget()
        return False

    def _cut_blocks(self) -> None:
        self._block_items = [Item(block.id, block.units) for block in self._blocks.all] if self._blocks else []
        self._block_of = _by_unit(self._block_items)

    def _forget(self) -> None:
        for listed in self._listed.values():
            listed.current.clear()
            listed.inputs.clear()

    def _scheduled(self, stage: str, item: Item) -> Item:
        return self._block_of[item.units[0].id] if self.nodes[stage].scope == "block" else item

    def retry(self, stage: str, item: Item) -> int:
        """Number of the item's latest retry; 0: none was asked for."""
        return self._listed[stage].retries.get(self._scheduled(stage, item).id, 0)

    def deaths(self, stage: str, item: Item) -> int:
        """How often a worker died with this item, at this retry, in flight."""
        return self._listed[stage].deaths.get((item.id, self.retry(stage, item)), 0)

    def ask_retry(self, stage: str, item: Item) -> None:
        """Mark the item to be run again."""
        item = self._scheduled(stage, item)
        self._listed[stage].retries[item.id] = self.ledger.ask_retry(stage, self.nodes[stage].fingerprint, item.id)
        self._forget()

    def note_death(self, stage: str, item: Item) -> int:
        """One more death; returns how many."""
        number, retry = self.deaths(stage, item) + 1, self.retry(stage, item)
        self._listed[stage].deaths[item.id, retry] = number
        self.ledger.note_death(stage, self.nodes[stage].fingerprint, item.id, retry, number)
        return number

    def inputs(self, stage: str, item: Item, *, retry: int | None = None) -> str | None:
        """Digest of what the item reads now; None while something upstream is not committed."""
        node, item = self.nodes[stage], self._scheduled(stage, item)
        remembered = self._listed[stage].inputs
        if retry is None and item.id in remembered:
            return remembered[item.id]
        contents: dict[str, list[str]] = {}
        for upstream in node.reads:
            current, found = self._listed[upstream].current, contents.setdefault(upstream, [])
            for unit in item.units:
                table = current.get(unit.id) or self.table(upstream, self._unit_items[unit.id])
                if table is None:
                    return None
                found.append(table.content)
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
        tables = [self.table(stage, self._unit_items[unit.id]) for unit in units]
        return [table for table in tables if table is not None]

    def add(self, table: Table) -> None:
        """Enter a table that was just committed."""
        self._listed[table.stage].tables.setdefault(table.item, {})[table.inputs] = table

    def has_any(self, stage: str, item: Item) -> bool:
        """Whether this version of the stage has committed the item for whatever inputs."""
        return item.id in self._listed[stage].tables

    def current_tables(self, stage: str) -> list[tuple[Item, Table | None]]:
        """Each item that has a table of its own (of a block: each unit) with the current one, None where pending."""
        return [(part, self.table(stage, part)) for item in self.items(stage) for part in self.tabled(stage, item)]

    def is_done(self, stage: str, item: Item) -> bool:
        """Whether a scheduled item has all of its tables."""
        return all(self.table(stage, part) is not None for part in self.tabled(stage, item))

    def has_pending(self, stage: str) -> bool:
        """Whether some item of the stage has no current table."""
        return any(table is None for _, table in self.current_tables(stage))

    def plan(self) -> list[StagePlan]:
        """Per stage: units done and pending, and why."""
        return [self._plan_stage(node) for node in self.graph]

    def _plan_stage(self, node: Node) -> StagePlan:
        pending = [item for item, table in self.current_tables(node.name) if table is None]
        why: Counter[str] = Counter()
        earlier = _Earlier(self.ledger, node) if pending else None
        for item in pending:
            assert earlier is not None
            why[self._why(node, item, earlier)] += len(item.units)
        num_pending = sum(len(item.units) for item in pending)
        total = len(self._units)
        return StagePlan(node.name, node.fingerprint, total - num_pending, num_pending, dict(sorted(why.items())))

    def _why(self, node: Node, item: Item, earlier: "_Earlier") -> str:
        retry = self.retry(node.name, item)
        if retry and self.inputs(node.name, item) and self.table(node.name, item, retry=retry - 1) is not None:
            return "retry"
        if self.has_any(node.name, item):
            return "given_changed" if self._has_other_given(node.name, item) else "upstream_changed"
        return earlier.why(item)

    def _has_other_given(self, stage: str, item: Item) -> bool:
        """Whether the item has a table that differs in the given rows alone: they are the second half of its inputs' name."""
        read = (self.inputs(stage, item) or "").partition("-")
        return bool(read[2]) and any(inputs.partition("-")[0] == read[0] for inputs in self._listed[stage].tables[item.id])


class _Earlier:
    """Other versions of a stage in the ledger, and what sets them apart from the one at hand."""

    def __init__(self, ledger: Ledger, node: Node) -> None:
        self._versions = [
            (ledger.tables(node.name, fingerprint), _difference(description, node.description))
            for fingerprint, description in ledger.descriptions(node.name).items()
            if fingerprint != node.fingerprint
        ]

    def why(self, item: Item) -> str:
        """The difference to the nearest version that has committed the item; `new` where none has."""
        found = [difference for tables, difference in self._versions if item.id in tables]
        return max(found, key=REASONS.index) if found else "new"


def _difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    for part, reason in (
        ("given", "given_changed"),
        ("version", "version_changed"),
        ("prompts", "prompt_changed"),
        ("params", "params_changed"),
        ("engines", "model_changed"),
    ):
        if old.get(part) != new.get(part):
            return reason
    return "upstream_changed"


def _shards(units: Sequence[Unit]) -> list[Item]:
    shards: dict[str, list[Unit]] = {}
    for unit in units:
        shards.setdefault(unit.shard_id, []).append(unit)
    return [Item(shard_id, tuple(members)) for shard_id, members in shards.items()]


def _by_unit(items: Sequence[Item]) -> dict[str, Item]:
    return {unit.id: item for item in items for unit in item.units}
