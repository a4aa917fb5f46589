"""What is done, what is pending and why, read off names: units x stages against the ledger. Runs nothing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.corpus.index import Unit
from pipeline.given.matching import NOTHING, Matched
from pipeline.graph import Node
from pipeline.ledger import Ledger, Table, inputs_digest

REASONS = ("new", "version_changed", "prompt_changed", "params_changed", "model_changed", "upstream_changed", "given_changed", "retry")


@dataclass(frozen=True)
class Item:
    """What a stage commits at once: one unit, or all units of a shard."""

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
    """What the ledger lists for one node; `current` remembers the items whose current table has been found."""

    tables: dict[str, dict[str, Table]]
    retries: dict[str, int]
    deaths: dict[tuple[str, int], int] = field(default_factory=dict)
    current: dict[str, Table] = field(default_factory=dict)


class State:
    """The ledger's listing of a graph over the units of a corpus; a run keeps it current with `add`."""

    def __init__(self, graph: Sequence[Node], units: Sequence[Unit], ledger: Ledger, given: Mapping[str, Matched] | None = None) -> None:
        self.graph = list(graph)
        self.nodes = {node.name: node for node in graph}
        self.ledger = ledger
        self.given = given or {}
        self._items = {node.name: _items(node, units) for node in graph}
        self._item_of = {name: {unit.id: item for item in items for unit in item.units} for name, items in self._items.items()}
        self._listed = {
            node.name: _Listed(
                ledger.tables(node.name, node.fingerprint),
                ledger.retries(node.name, node.fingerprint),
                ledger.deaths(node.name, node.fingerprint),
            )
            for node in graph
        }

    def items(self, stage: str) -> list[Item]:
        """All items of a stage, in order of shard and place."""
        return self._items[stage]

    def item_of(self, stage: str, unit: Unit) -> Item:
        """The item of a stage that holds a unit."""
        return self._item_of[stage][unit.id]

    def retry(self, stage: str, item: Item) -> int:
        """Number of the item's latest retry; 0: none was asked for."""
        return self._listed[stage].retries.get(item.id, 0)

    def deaths(self, stage: str, item: Item) -> int:
        """How often a worker died with this item, at this retry, in flight."""
        return self._listed[stage].deaths.get((item.id, self.retry(stage, item)), 0)

    def ask_retry(self, stage: str, item: Item) -> None:
        """Mark the item to be run again."""
        self._listed[stage].retries[item.id] = self.ledger.ask_retry(stage, self.nodes[stage].fingerprint, item.id)
        for listed in self._listed.values():
            listed.current.clear()

    def note_death(self, stage: str, item: Item) -> int:
        """One more death; returns how many."""
        number, retry = self.deaths(stage, item) + 1, self.retry(stage, item)
        self._listed[stage].deaths[item.id, retry] = number
        self.ledger.note_death(stage, self.nodes[stage].fingerprint, item.id, retry, number)
        return number

    def inputs(self, stage: str, item: Item, *, retry: int | None = None) -> str | None:
        """Digest of what the item reads now; None while something upstream is not committed."""
        node = self.nodes[stage]
        contents: dict[str, list[str]] = {}
        for upstream in node.reads:
            current, found = self._listed[upstream].current, contents.setdefault(upstream, [])
            for unit in item.units:
                table = current.get(unit.id) or self.table(upstream, Item(unit.id, (unit,)))
                if table is None:
                    return None
                found.append(table.content)
        rows_digest = None if node.reads else "/".join(unit.rows_digest for unit in item.units)
        digest = inputs_digest(contents, rows_digest, self.retry(stage, item) if retry is None else retry)
        return f"{digest}-{self._given_digest(stage, item)}" if stage in self.given else digest

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

    def add(self, table: Table) -> None:
        """Enter a table that was just committed."""
        self._listed[table.stage].tables.setdefault(table.item, {})[table.inputs] = table

    def has_any(self, stage: str, item: Item) -> bool:
        """Whether this version of the stage has committed the item for whatever inputs."""
        return item.id in self._listed[stage].tables

    def current_tables(self, stage: str) -> list[tuple[Item, Table | None]]:
        """Each item with its current table, None where pending."""
        return [(item, self.table(stage, item)) for item in self.items(stage)]

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
        total = sum(len(item.units) for item in self.items(node.name))
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


def _items(node: Node, units: Sequence[Unit]) -> list[Item]:
    if node.scope == "unit":
        return [Item(unit.id, (unit,)) for unit in units]
    shards: dict[str, list[Unit]] = {}
    for unit in units:
        shards.setdefault(unit.shard_id, []).append(unit)
    return [Item(shard_id, tuple(members)) for shard_id, members in shards.items()]
