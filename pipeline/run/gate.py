"""The gate before export: what a block's blind audit says, read off its tables. Runs no audit."""

from pipeline.ledger.state import Item, State
from schemas.rows import BalanceRow
from stages.balance import Balance
from stages.export import Export, ExportParams


class GateError(ValueError):
    """A gate refused: one line that says which, why, and what to do."""


class Gate:
    """Whether a shard may be exported: not where its block's audit failed, unless `stages.export.allow_leaks` says so."""

    def __init__(self, state: State, params: ExportParams | None) -> None:
        self._state, self._params = state, params
        self._known: dict[str, list[str]] = {}
        self.refused: dict[str, list[str]] = {}

    def passes(self, item: Item) -> bool:
        """Whether this shard may be exported; one that may not is remembered with its leaks."""
        if self._params is None or self._params.allow_leaks or Balance.name not in self._state.nodes:
            return True
        leaks = sorted({leak for table in self._state.tables_of(Balance.name, item.units) for leak in self._leaks(table.inputs, item)})
        if leaks:
            self.refused[item.id] = leaks
        return not leaks

    def check(self) -> None:
        """Raises: GateError where a shard was refused."""
        if self.refused:
            leaks = sorted({leak for found in self.refused.values() for leak in found})
            raise GateError(
                f"{len(self.refused)} shards are not exported: the blind audit of their negatives failed ({', '.join(leaks)}); "
                "give balance more candidates (max_negatives, over_generation) or more rounds, or set stages.export.allow_leaks: true"
            )

    def _leaks(self, inputs: str, item: Item) -> list[str]:
        """`regions/length` and the like, of the block whose tables have these inputs: each of its rows says the same."""
        if inputs not in self._known:
            tables = [table for table in self._state.tables_of(Balance.name, item.units) if table.inputs == inputs]
            rows = (row for table in tables for row in self._state.ledger.read(table, BalanceRow) if row.audits)
            failed = [one for one in next((row.audits for row in rows), []) if one.verdict == "fail"]
            self._known[inputs] = [f"{one.of}/{leak}" for one in failed for leak in one.leaks]
        return self._known[inputs]


def gate_of(state: State) -> Gate:
    """The gate of a run's configuration; open where it does not export."""
    node = state.nodes.get(Export.name)
    params = ExportParams.model_validate(node.description["params"]) if node is not None else None
    return Gate(state, params)
