"""Negatives from proposal to release: by type, source, level and verdict, and what each rule refused."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.report.blocks import Bars, Block, Fact, Facts, Grid, Panel, Whole, mean, share
from pipeline.report.run_tables import child, children, column_values, explode
from stages.dataset.smallness import too_small
from stages.negatives.candidates import HOLDING, PROPOSING, holders

STAGES = {"hard_negative": "written, computed", "mine": "mined", "exchange": "exchanged", "verify": "judged", "balance": "released"}
assert set(STAGES) == set(HOLDING), "every stage that holds candidates has its words here"
VERDICTS = ("false", "true", "unsure", "unverified")
Key = tuple[str, str, str, str]  # type, source, level, verdict


@dataclass
class _Counted:
    """What one stage's rows hold."""

    kinds: Counter[Key] = field(default_factory=Counter)
    rejects: Counter[str] = field(default_factory=Counter)
    positives: Counter[str] = field(default_factory=Counter)
    per_text: Counter[int] = field(default_factory=Counter)
    num_texts: int = 0
    num_caption_texts: int = 0
    num_proposed: int = 0

    @property
    def num(self) -> int:
        return sum(self.kinds.values())

    def by(self, part: int) -> Counter[str]:
        """Counts by one part of the key: 0 type, 1 source, 2 level, 3 verdict."""
        counts: Counter[str] = Counter()
        for key, count in self.kinds.items():
            counts[key[part]] += count
        return counts


_ALSO_WANTED: Mapping[str, Sequence[str]] = {
    "verify": ("facts.type", "facts.verdict"),
    "mine": ("rejects",),
    "exchange": ("rejects",),
    "balance": ("audits.verdict",),
}


class NegativesPanel:
    """Counts each stage's candidates apart, so that what one stage hands on and the next refuses can be compared."""

    wants: Mapping[str, Sequence[str]] = {
        stage: (
            "regions.region",
            "regions.positive_verdict",
            "regions.negatives.type",
            "regions.negatives.level",
            "regions.negatives.source",
            "regions.negatives.verdict",
            "regions.num_proposed",
            "regions.rejects",
            *_ALSO_WANTED.get(stage, ()),
        )
        for stage in STAGES
    }

    def __init__(self) -> None:
        self._stages: dict[str, _Counted] = {}
        self._facts: Counter[tuple[str, str]] = Counter()
        self._num_facts = 0
        self._verdicts: set[str] = set()
        self._ungrouped: dict[str, Counter[str]] = {}

    def add(self, stage: str, table: pa.Table) -> None:
        counted = self._stages.setdefault(stage, _Counted())
        texts = explode(table, "regions")
        if texts is None:
            return
        counted.num_texts += len(texts)
        counted.num_proposed += pc.sum(child(texts, "num_proposed")).as_py() or 0 if child(texts, "num_proposed") is not None else 0
        places, verdicts, rejects = (child(texts, name) for name in ("region", "positive_verdict", "rejects"))
        counted.num_caption_texts += sum(place < 0 for place in places.to_pylist()) if places is not None else 0
        counted.positives.update(verdicts.to_pylist() if verdicts is not None else ())
        for refused in rejects.to_pylist() if rejects is not None else ():
            counted.rejects.update(dict(refused or ()))
        self._add_negatives(counted, texts)
        self._add_facts(table)
        audits = explode(table, "audits")
        verdict_column = child(audits, "verdict")
        self._verdicts |= set(verdict_column.to_pylist() if verdict_column is not None else ())
        for rejects in column_values(table, "rejects"):
            self._ungrouped.setdefault(stage, Counter()).update(dict(rejects or ()))

    def _add_negatives(self, counted: _Counted, texts: pa.StructArray) -> None:
        lists = child(texts, "negatives")
        negatives = children(texts, "negatives")
        if negatives is None or lists is None:
            return
        counted.per_text.update(pc.list_value_length(lists).to_pylist())
        parts = [child(negatives[0], name) for name in ("type", "source", "level", "verdict")]
        columns = [[str(value) for value in part.to_pylist()] if part is not None else ["unknown"] * len(negatives[0]) for part in parts]
        counted.kinds.update(zip(*columns, strict=True))

    def _add_facts(self, table: pa.Table) -> None:
        facts = explode(table, "facts")
        types, verdicts = child(facts, "type"), child(facts, "verdict")
        if types is not None and verdicts is not None:
            self._num_facts += len(types)
            self._facts.update(zip(types.to_pylist(), verdicts.to_pylist(), strict=True))

    def panel(self) -> Panel:
        lead = "From proposal to release. At every stage: proposed = handed on + refused by rule."
        blocks: list[Block] = [Facts("", self._summary()), self._line(), *self._by_type()]
        blocks += [self._by(part, title) for part, title in ((1, "By source"), (2, "By level (slots changed)"))]
        for stage, counted in self._stages.items():
            own = counted.rejects - self._rejects_above(stage)
            note = "share of all proposed"
            blocks.append(Bars(f"Refused by {stage.replace('_', ' ')}", dict(own.most_common()), counted.num_proposed, note, link="reject"))
        for stage, alone in self._ungrouped.items():
            total = alone.total() + self._stages[stage].num_texts
            title = f"Regions in no group of {stage}"
            blocks.append(Bars(title, dict(alone.most_common()), total, "share of these and of the texts in a group"))
        last = self._last()
        if last is not None:
            blocks.append(Whole(f"Negatives a text, {STAGES[last]}", self._stages[last].per_text, "negatives"))
        if self._num_facts:
            blocks.append(self._judged())
        return Panel("negatives", "Hard negatives", lead, blocks)

    def _last(self) -> str | None:
        return next((stage for stage in reversed(STAGES) if stage in self._stages), None)

    def _summary(self) -> list[Fact]:
        last = self._last()
        if last is None:
            return [Fact("negatives", None, "no stage has committed any")]
        final = self._stages[last]
        proposed = sum(self._stages[stage].num_proposed for stage in PROPOSING if stage in self._stages)
        lines = [
            Fact("proposed", proposed, f"by {', '.join(stage for stage in PROPOSING if stage in self._stages)}"),
            Fact(STAGES[last], final.num),
            Fact("released of proposed", share(final.num, proposed), form="share") if last == "balance" else None,
            Fact("negatives a text", mean(final.per_text), form="mean"),
            Fact("texts with negatives", final.num_texts - final.per_text[0], f"{final.num_caption_texts} of the texts are long captions"),
        ]
        facts = [fact for fact in lines if fact is not None]
        if last == "balance" and (small := too_small(final.num, final.rejects, self._verdicts)):
            facts.append(Fact("too small to balance", None, small))
        if "verify" in self._stages:
            checked = self._stages["verify"]
            facts.append(Fact("judged false, clearly", share(checked.by(3)["false"], checked.num), "of all candidates", "share"))
            facts.append(Fact("positives found true", share(checked.positives["true"], checked.num_texts), form="share"))
        return facts

    def _rejects_above(self, stage: str) -> Counter[str]:
        """What the stages that it reads had refused already; its rows count that once more, so that each row adds up."""
        rejects: Counter[str] = Counter()
        for above in holders(self._stages, before=stage):
            rejects += self._stages[above].rejects
        return rejects

    def _line(self) -> Grid:
        rows = {
            stage: {
                "proposed": counted.num_proposed,
                "refused further up": (above := self._rejects_above(stage)).total(),
                "refused here": (counted.rejects - above).total(),
                "handed on": counted.num,
                "sum": "holds" if counted.num_proposed == counted.num + sum(counted.rejects.values()) else "BROKEN",
            }
            for stage, counted in self._stages.items()
        }
        columns = ("proposed", "refused further up", "refused here", "handed on", "sum")
        return Grid("Candidates to released", columns, rows, "sum: proposed = refused + handed on", corner="stage")

    def _by_type(self) -> list[Grid]:
        types = sorted({key[0] for counted in self._stages.values() for key in counted.kinds})
        columns = [STAGES[stage] for stage in self._stages]
        verdicts = self._stages.get("verify")
        rows: dict[str, dict[str, int | float | str | None]] = {}
        for name in types:
            row: dict[str, int | float | str | None] = {STAGES[stage]: counted.by(0)[name] for stage, counted in self._stages.items()}
            if verdicts is not None:
                row |= {
                    f"judged {verdict}": sum(n for key, n in verdicts.kinds.items() if key[0] == name and key[3] == verdict)
                    for verdict in VERDICTS
                }
            rows[name] = row
        if verdicts is not None:
            columns += [f"judged {verdict}" for verdict in VERDICTS]
        return [Grid("By type", columns, rows, corner="type", link="type")] if rows else []

    def _by(self, part: int, title: str) -> Grid:
        names = sorted({key[part] for counted in self._stages.values() for key in counted.kinds})
        rows = {name: {STAGES[stage]: counted.by(part)[name] for stage, counted in self._stages.items()} for name in names}
        return Grid(title, [STAGES[stage] for stage in self._stages], rows, corner=title.split()[1])

    def _judged(self) -> Grid:
        types = sorted({name for name, _ in self._facts})
        rows = {name: {verdict: self._facts[name, verdict] for verdict in VERDICTS[:3]} for name in types}
        note = f"{self._num_facts} values of regions, each asked once in both orders"
        return Grid("The judge's answers, by value", VERDICTS[:3], rows, note, corner="type")
