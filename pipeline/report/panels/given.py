"""What came from the user's own data instead of an engine, and what of it was refused."""

from collections import Counter
from collections.abc import Mapping, Sequence

import pyarrow as pa

from pipeline.report.blocks import Bars, Block, Grid, Panel
from pipeline.report.run_tables import RunTables, column_values
from schemas.rows import GivableRow


class GivenPanel:
    """Counts rows by origin; empty where nothing was given."""

    def __init__(self, run: RunTables) -> None:
        self.wants: Mapping[str, Sequence[str]] = {
            node.name: ("origin", "given_rejects") for node in run.state.graph if issubclass(node.row_type, GivableRow)
        }
        self._origins: dict[str, Counter[str]] = {}
        self._rejects: dict[str, Counter[str]] = {}

    def add(self, stage: str, table: pa.Table) -> None:
        origins = self._origins.setdefault(stage, Counter())
        for status, origin in zip(column_values(table, "status"), column_values(table, "origin"), strict=False):
            origins[origin] += status == "ok"
        refused = self._rejects.setdefault(stage, Counter())
        for rejects in column_values(table, "given_rejects"):
            refused.update(dict(rejects or ()))

    def panel(self) -> Panel:
        rows = {stage: {name: counts[name] for name in ("given", "computed")} for stage, counts in self._origins.items() if counts["given"]}
        blocks: list[Block] = [Grid("Rows that are ok, by origin", ("given", "computed"), rows, corner="stage")] if rows else []
        for stage, refused in self._rejects.items():
            note = "boxes, expressions and negatives, by reason; shares of all refused"
            blocks.append(
                Bars(f"Refused of what was given for {stage.replace('_', ' ')}", dict(refused.most_common()), refused.total(), note)
            )
        return Panel("given", "Given data", "Taken from your own tables, and what of it broke a rule.", blocks if rows else [])
