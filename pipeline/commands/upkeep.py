"""What a user does to a ledger between runs: ask for failed rows again, remove what is superseded."""

from pipeline.config.graph import Node
from pipeline.ledger.items import Item
from pipeline.ledger.state import State
from pipeline.ledger.tables import Table


def ask_retries(state: State, stage: str | None, reason: str | None) -> dict[str, int]:
    """Ask for another run of every item that holds a failed row (of this stage, with this reason); stage -> units asked for."""
    asked = {}
    for node in state.graph:
        if node.scope == "shard" or stage not in (None, node.name):
            continue
        tables = [(part, table) for part, table in state.current_tables(node.name) if table is not None]
        failed = [part for part, table in tables if _has_failed(state, node, table, reason)]
        chosen = {item.id: item for item in (state.item_of(node.name, part.units[0]) for part in failed)}
        for item in chosen.values():
            state.ledger.ask_retry(node.name, node.fingerprint, item.id)
        asked[node.name] = sum(len(item.units) for item in chosen.values())
    return asked


def _needed(state: State, stage: str, item: Item) -> list[Table]:
    """The item's current table; while a retry is pending, the one before it, whose good rows will be copied."""
    retry = state.retry(stage, item)
    tables = [state.table(stage, item)] + ([state.table(stage, item, retry=retry - 1)] if retry else [])
    return [table for table in tables if table is not None][:1]


def _has_failed(state: State, node: Node, table: Table, reason: str | None) -> bool:
    summary = state.ledger.summary(table)
    if not summary.statuses.get("failed"):
        return False
    if reason is None:
        return True
    return any(row.status == "failed" and row.reason == reason for row in state.ledger.read(table, node.row_type))


def superseded(state: State) -> list[str]:
    """Paths below the workdir that no current table of this configuration needs: other versions and other inputs."""
    keep = {table.path for node in state.graph for item, _ in state.current_tables(node.name) for table in _needed(state, node.name, item)}
    stale = []
    for node in state.graph:
        for fingerprint in state.ledger.workdir.folders(node.name):
            tables = [table.path for table in state.ledger.all_tables(node.name, fingerprint)]
            stale += [path for path in tables if path not in keep]
            if fingerprint != node.fingerprint:
                stale.append(f"{node.name}/{fingerprint}/stage.json")
    given = {path for matched in state.given.values() for path in matched.keeps}
    stale += [entry.path for entry in state.ledger.workdir.walk("given") if entry.path not in given]
    return [path for path in stale if state.ledger.workdir.exists(path)]
