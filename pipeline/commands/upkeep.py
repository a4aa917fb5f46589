"""What a user does to a ledger between runs: ask for failed rows again, remove what is superseded."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline.config.graph import Node
from pipeline.config.model import ConfigError
from pipeline.ledger.presence import Driver, drivers, forgotten
from pipeline.ledger.state import State
from pipeline.ledger.tables import Table
from pipeline.storage import Entry, Storage

Retried = Literal["failed", "quarantined"]
_BATCH = 200
# A temporary file that is being written is renamed within minutes.
_TEMPORARY_S = 3600.0


def ask_retries(state: State, stage: str | None, reason: str | None, only: Retried = "failed") -> dict[str, int]:
    """Ask for another run of every item that holds such a row (of this stage, with this reason); stage -> units asked for.

    `failed` means images that failed, and images that lost a child for a reason that passes.
    """
    asked = {}
    for node in state.graph:
        if node.scope == "shard" or stage not in (None, node.name):
            continue
        tables = [(part, table) for part, table in state.current_tables(node.name) if table is not None]
        matching = [part for part, table in tables if _holds(state, node, table, only, reason)]
        chosen = {item.id: item for item in (state.item_of(node.name, part.units[0]) for part in matching)}
        for item in chosen.values():
            state.ledger.ask_retry(node.name, node.fingerprint, item.id)
        asked[node.name] = sum(len(item.units) for item in chosen.values())
    return asked


def _holds(state: State, node: Node, table: Table, only: Retried, reason: str | None) -> bool:
    summary = state.ledger.summary(table)
    if summary.statuses.get(only) and reason is None:
        return True
    may_match = summary.statuses.get(only) and reason in summary.reasons
    if may_match and any(row.status == only and row.reason == reason for row in state.ledger.read(table, node.row_type)):
        return True
    if only != "failed" or not node.row_type.has_children:
        return False
    lost = summary.lost
    if lost is None:  # written by a version that did not count them
        lost = sum((row.lost for row in state.ledger.read(table, node.row_type) if row.status == "ok"), Counter[str]())
    return bool(lost) if reason is None else reason in lost


@dataclass
class Removal:
    """What `gc` may remove, below which root, and the drivers for whose sake it leaves something."""

    workdir: Storage
    stale: list[tuple[Storage, Entry]] = field(default_factory=list)
    spared: list[Driver] = field(default_factory=list)
    removed: list[Entry] = field(default_factory=list)

    def question(self) -> str:
        """What a user is asked before it is carried out."""
        return f"remove {len(self.stale)} superseded files, {_size(entry for _, entry in self.stale):,} bytes, below {self.workdir.root}?"

    def as_json(self) -> dict[str, Any]:
        spared = [f"{driver.host} {driver.process}" for driver in self.spared]
        return {"removed": [entry.path for entry in self.removed], "bytes": _size(self.removed), "spared": spared}

    def line(self) -> str:
        """What was removed, and who kept something from being removed."""
        at_work = ", ".join(f"process {driver.process} on {driver.host}" for driver in self.spared)
        kept = f"; what a run reads is kept ({at_work})" if self.spared else ""
        return f"removed {len(self.removed)} files, {_size(self.removed):,} bytes{kept}"

    def carry_out(self) -> None:
        """Remove what is stale. A driver that begins meanwhile is heeded from the next batch on."""
        for start in range(0, len(self.stale), _BATCH):
            read = _read_by(drivers(self.workdir))
            for root, entry in self.stale[start : start + _BATCH]:
                if not read & {*entry.path.split("/")} and not (read and entry.path.startswith("given/")):
                    root.delete(entry.path)
                    self.removed.append(entry)


def superseded(state: State, export_to: str | None) -> Removal:
    """What no current table of this configuration needs: other versions, other inputs; and old temporary files.

    Of an item that is pending, for a retry too, here or in a stage before, all tables of this version stay: the next run may
    read them. So does whatever a driver that is at work reads.

    Raises: ConfigError where the corpus holds no image: nothing would be needed then.
    """
    workdir = state.ledger.workdir
    if not state.num_images:
        raise ConfigError("the corpus holds no image now, so that every table would be superseded; nothing is removed")
    removal = Removal(workdir, spared=drivers(workdir))
    read = _read_by(removal.spared)
    stale = [
        entry
        for node in state.graph
        for fingerprint in workdir.folders(node.name)
        if fingerprint not in read
        for entry in _stale_tables(state, node, fingerprint)
    ]
    if not removal.spared:
        given = {path for matched in state.given.values() for path in matched.keeps}
        stale += [entry for entry in workdir.walk("given") if entry.path not in given]
    lost = {*forgotten(workdir)}
    stale += [entry for entry in workdir.files("runs") if entry.path in lost]
    removal.stale = [(workdir, entry) for entry in stale]
    for root in (workdir, *([Storage(export_to)] if export_to else [])):
        removal.stale += [(root, entry) for entry in root.temporaries(_TEMPORARY_S)]
    return removal


def _size(entries: Iterable[Entry]) -> int:
    return sum(entry.size_bytes for entry in entries)


def _stale_tables(state: State, node: Node, fingerprint: str) -> Iterator[Entry]:
    entries = state.ledger.workdir.files(f"{node.name}/{fingerprint}")
    if fingerprint != node.fingerprint:
        yield from entries
        return
    current = {item.id: table for item, table in state.current_tables(node.name)}
    for entry in entries:
        name = entry.path.rsplit("/", 1)[-1]
        item = name.split(".")[0]
        if name.endswith(".parquet") and (item not in current or _is_older(current[item], entry)):
            yield entry


def _is_older(current: Table | None, entry: Entry) -> bool:
    return current is not None and entry.path != current.path


def _read_by(working: Sequence[Driver]) -> set[str]:
    return {fingerprint for driver in working for fingerprint in driver.fingerprints}
