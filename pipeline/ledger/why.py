"""What a run would do and why: of each stage how much is done, how much is pending, and what set that apart from what is there."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.config.graph import Node
from pipeline.ledger.items import Item
from pipeline.ledger.state import State
from pipeline.ledger.tables import Ledger
from pipeline.masked import masked_content
from schemas.stage_json import StageJson

REASONS = ("new", "version_changed", "prompt_changed", "params_changed", "model_changed", "upstream_changed", "given_changed", "retry")
# What of stage.json differs -> the reason; the first that applies is named.
_DIFFERENCES: tuple[tuple[str, str], ...] = (
    ("given", "given_changed"),
    ("version", "version_changed"),
    ("prompts", "prompt_changed"),
    ("params", "params_changed"),
    ("engines", "model_changed"),
)


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


def plan_of(state: State) -> list[StagePlan]:
    """Per stage, in run order: units done and pending, and why."""
    return [_plan_stage(state, node) for node in state.graph]


def _plan_stage(state: State, node: Node) -> StagePlan:
    tables = state.current_tables(node.name)
    pending = [item for item, table in tables if table is None]
    why: Counter[str] = Counter()
    if pending:
        earlier = _Earlier(state.ledger, node)
        for item in pending:
            why[_why(state, node, item, earlier)] += len(item.units)
    num_pending = sum(len(item.units) for item in pending)
    total = sum(len(item.units) for item, _ in tables)
    return StagePlan(node.name, node.fingerprint, total - num_pending, num_pending, dict(sorted(why.items())))


def _why(state: State, node: Node, item: Item, earlier: "_Earlier") -> str:
    retry = state.retry(node.name, item)
    if retry and state.inputs(node.name, item) and state.table(node.name, item, retry=retry - 1) is not None:
        return "retry"
    known = state.known_inputs(node.name, item)
    if known:
        return "given_changed" if _differs_in_given_rows(state.inputs(node.name, item), known) else "upstream_changed"
    return earlier.why(item)


def _differs_in_given_rows(inputs: str | None, known: Mapping[str, object]) -> bool:
    """Whether some table differs in the given rows alone: their digest is the second half of the inputs' name."""
    read = (inputs or "").partition("-")
    return bool(read[2]) and any(other.partition("-")[0] == read[0] for other in known)


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
        differences = [difference for tables, difference in self._versions if item.id in tables]
        return max(differences, key=REASONS.index) if differences else "new"


def _difference(old: StageJson, new: StageJson) -> str:
    differing = (part for part, _ in _DIFFERENCES if masked_content(getattr(old, part)) != masked_content(getattr(new, part)))
    return next((dict(_DIFFERENCES)[part] for part in differing), "upstream_changed")
