"""The gate before a stage: what the rows of the stage that it is gated by say against running an item. Looks at nothing else."""

from collections.abc import Mapping

from pipeline.config.graph import Node
from pipeline.ledger.items import Item
from pipeline.ledger.state import State
from stages.params import StageParams


class GateError(ValueError):
    """A gate refused: one line that says which, why, and what to do."""


class Gate:
    """Whether an item may be run: not where a stage's `objections` find something in the rows of its `gated_by`."""

    def __init__(self, state: State, params: Mapping[str, StageParams]) -> None:
        self._state, self._params = state, params
        self._known: dict[tuple[str, str], list[str]] = {}
        self._refused: dict[str, dict[str, list[str]]] = {}

    def passes(self, node: Node, item: Item) -> bool:
        """Whether this item may be run; one that may not is remembered with the objections."""
        guard = node.stage.gated_by
        if guard is None or guard not in self._state.nodes:
            return True
        tables = self._state.tables_of(guard, item.units)
        objections = sorted(
            {objection for inputs in {table.inputs for table in tables} for objection in self._objections(node, guard, inputs, item)}
        )
        if objections:
            self._refused.setdefault(node.name, {})[item.id] = objections
        return not objections

    def check(self) -> None:
        """Raises: GateError where an item was refused."""
        for stage, refused in self._refused.items():
            objections = sorted({objection for of_item in refused.values() for objection in of_item})
            raise GateError(self._state.nodes[stage].stage.refusal(len(refused), objections))

    def _objections(self, node: Node, guard: str, inputs: str, item: Item) -> list[str]:
        """What is said against the block whose tables have these inputs: each of its rows says the same."""
        if (node.name, inputs) not in self._known:
            row_type = self._state.nodes[guard].row_type
            tables = [table for table in self._state.tables_of(guard, item.units) if table.inputs == inputs]
            rows = (row for table in tables for row in self._state.ledger.read(table, row_type))
            by_row = (node.stage.objections(self._params[node.name], row) for row in rows)
            self._known[node.name, inputs] = next((of_row for of_row in by_row if of_row is not None), [])
        return self._known[node.name, inputs]
