"""Region captions: expressions, attributes, nouns and refusals, from region_caption's tables."""

from collections import Counter
from collections.abc import Mapping, Sequence

import pyarrow as pa

from pipeline.report.blocks import Bars, Fact, Facts, Panel, Whole, quantile, share
from pipeline.report.run_tables import child, children, explode

SHOWN_HEADS, MAX_HEADS = 12, 50_000


class RegionsPanel:
    """Counts regions with and without expressions."""

    wants: Mapping[str, Sequence[str]] = {
        "region_caption": (
            "regions.head",
            "regions.short",
            "regions.long",
            "regions.attributes.type",
            "regions.reason",
            "regions.refused",
            "regions.is_unique",
            "regions.leaked",
        ),
    }

    def __init__(self) -> None:
        self._num = self._captioned = self._attributes = 0
        self._reasons: Counter[str] = Counter()
        self._types: Counter[str] = Counter()
        self._heads: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._checks: dict[str, Counter[bool]] = {"is_unique": Counter(), "leaked": Counter()}
        self._words: dict[str, Counter[int]] = {"short": Counter(), "long": Counter()}

    def add(self, stage: str, table: pa.Table) -> None:
        regions = explode(table, "regions")
        if regions is None:
            return
        self._num += len(regions)
        for name, counts in self._words.items():
            texts = child(regions, name)
            counts.update(len(text.split()) for text in (texts.to_pylist() if texts is not None else ()) if text)
        shorts = child(regions, "short")
        self._captioned += len(shorts) - shorts.null_count if shorts is not None else 0
        reasons = child(regions, "reason")
        self._reasons.update(reason for reason in (reasons.to_pylist() if reasons is not None else ()) if reason)
        self._add_heads(regions)
        self._add_checks(regions)
        attributes = children(regions, "attributes")
        types = child(attributes[0], "type") if attributes else None
        if types is not None:
            self._attributes += len(types)
            self._types.update(types.to_pylist())

    def _add_checks(self, regions: pa.StructArray) -> None:
        refused = child(regions, "refused")
        for checks in refused.to_pylist() if refused is not None else ():
            self._refused.update(f"{text}: {check}" for text, check in dict(checks or ()).items())
        for name, counts in self._checks.items():
            column = child(regions, name)
            counts.update(value for value in (column.to_pylist() if column is not None else ()) if value is not None)

    def _add_heads(self, regions: pa.StructArray) -> None:
        heads = child(regions, "head")
        for head in heads.to_pylist() if heads is not None else ():
            if head in self._heads or len(self._heads) < MAX_HEADS:
                self._heads[head] += 1

    def _probed(self) -> list[Fact]:
        unique, leaked = self._checks["is_unique"], self._checks["leaked"]
        facts = []
        if unique:
            facts.append(
                Fact("expressions of one region only", share(unique[True], unique.total()), "no other of the noun has it", "share")
            )
        if leaked:
            facts.append(
                Fact("leakage", share(leaked[True], leaked.total()), f"of {leaked.total()} regions probed with another crop", "share")
            )
        return facts

    def panel(self) -> Panel:
        facts = [
            Fact("regions", self._num),
            Fact("with expressions", share(self._captioned, self._num), form="share"),
            Fact("median words, short expression", quantile(self._words["short"], 0.5)),
            Fact("median words, long expression", quantile(self._words["long"], 0.5)),
            Fact("attributes a region", share(self._attributes, self._captioned), form="mean"),
            Fact("different head nouns", len(self._heads)),
            *self._probed(),
        ]
        return Panel(
            "regions",
            "Region captions",
            "What was said of each box, from its own crop.",
            [
                Facts("", facts),
                Bars("Attributes by type", dict(self._types.most_common()), self._attributes, "share of all attributes"),
                Bars("Regions without an expression", dict(self._reasons.most_common()), self._num, "share of all regions"),
                Bars("Expressions refused by a check", dict(self._refused.most_common()), self._num, "share of all regions"),
                Whole("Words in the long expression", self._words["long"], "words"),
                Bars("Most frequent head nouns", dict(self._heads.most_common(SHOWN_HEADS)), self._num, "share of all regions"),
            ],
        )
