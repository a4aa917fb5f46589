"""Which values things of a noun have, and how often: what new values are drawn by, so that for most edits others undo them. Pure data."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import cached_property

from pydantic import BaseModel, ConfigDict, Field

from schemas.hashed import added
from stages.negatives.quotes import noun_spans
from stages.negatives.reciprocal import Expression
from stages.words.ambiguity import canonical_value
from stages.words.kinds import is_several, kind_of, siblings_among
from stages.words.nouns import singular

_OWN = 8  # a noun with fewer values of a type is only counted in its kind
_SMOOTHING = 8.0  # so many values of the kind are added to a noun's own
Counts = Mapping[str, Mapping[str, int]]


class Shares(BaseModel):
    """The block `shares`, or the file that it names: `fgdata shares` writes it from a finished sample."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    nouns: Mapping[str, int] = Field(default_factory=dict, description="Head noun -> regions of the sample that it names.")
    by_noun: Mapping[str, Counts] = Field(default_factory=dict, description="Attribute type -> head noun -> value -> regions.")
    by_kind: Mapping[str, Counts] = Field(
        default_factory=dict, description="Attribute type -> kind of noun, empty where unknown -> value -> regions."
    )
    plurals: Mapping[str, int] | None = added(
        None, before=None, description="Head noun -> regions, of those, that it names in the plural. null: both numbers are counted alike."
    )

    def chances(self, kind: str, noun: str, old: str) -> dict[str, float]:
        """New values in place of `old`, each with the chance that it is dealt; empty: the sample says nothing.

        One that things of the noun have as often as the old one, or more often, is dealt always (1 or above: how much more often), a rarer
        one by as much less: then as many edits lead from a value to another as lead back.

        Source: Metropolis and others, 1953, the acceptance of a move.
        """
        weights = self._weights(kind, noun, old)
        own = float(self._named(old).get(singular(old.lower()), 0)) if kind == "object" else self._of_value(weights, kind, old)
        return {value: weight / own if own else 1.0 for value, weight in weights.items() if value != old.lower()}

    def _of_value(self, weights: Mapping[str, float], kind: str, value: str) -> float:
        """The weight of a value as it stands, or of a synonym."""
        same = canonical_value(kind, value.lower())
        of_synonyms = (weight for synonym, weight in weights.items() if canonical_value(kind, synonym) == same)
        return weights.get(value.lower(), 0.0) or max(of_synonyms, default=0.0)

    def _weights(self, kind: str, noun: str, old: str) -> dict[str, float]:
        """How many things of this noun have each value, smoothed; of an object how many things each other noun names."""
        if kind == "object":
            named = self._named(old)
            formed = siblings_among(old, self._of_kinds.get(kind_of(old), ()))
            return {form: float(named[noun]) for noun, form in formed.items() if named.get(noun)}
        own, of_kind = self.by_noun.get(kind, {}).get(noun, {}), self._of_kind(kind, noun)
        total = sum(of_kind.values())
        smoothed = {value: _SMOOTHING * number / total for value, number in of_kind.items()}
        return {value: own.get(value, 0) + smoothed.get(value, 0.0) for value in sorted({*own, *smoothed})}

    def _of_kind(self, kind: str, noun: str) -> Mapping[str, int]:
        """Of a noun that no kind knows, what all things have."""
        of_kinds = self.by_kind.get(kind, {})
        return of_kinds.get(kind_of(noun) or "-", {}) or self._of_all.get(kind, {})

    def _named(self, form: str) -> Mapping[str, int]:
        """How many things each noun names, in the number of this form."""
        if self.plurals is None:
            return self.nouns
        return self.plurals if is_several(form) else self._singulars

    @cached_property
    def _singulars(self) -> dict[str, int]:
        plurals = self.plurals or {}
        return {noun: number - plurals.get(noun, 0) for noun, number in self.nouns.items() if number > plurals.get(noun, 0)}

    @cached_property
    def _of_kinds(self) -> dict[str, list[str]]:
        """The sample's nouns by kind."""
        by_kind: dict[str, list[str]] = defaultdict(list)
        for noun in self.nouns:
            by_kind[kind_of(noun)].append(noun)
        return by_kind

    @cached_property
    def _of_all(self) -> dict[str, Counter[str]]:
        totals: dict[str, Counter[str]] = {}
        for kind, of_kinds in self.by_kind.items():
            totals[kind] = Counter()
            for values in of_kinds.values():
                totals[kind].update(values)
        return totals


def shares_of(regions: Iterable[tuple[str, str, Expression | None]]) -> Shares:
    """What a sample's regions say: the head noun of each, its short text, and its expression; None where it has no slot."""
    nouns, plurals = Counter[str](), Counter[str]()
    by_noun: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    by_kind: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for noun, text, expression in regions:
        nouns[noun] += 1
        plurals[noun] += any(is_several(text[start:end]) for start, end in noun_spans(text, noun)[:1])
        for slot in expression.slots if expression else ():
            by_noun[slot.type][noun][slot.value] += 1
            by_kind[slot.type][kind_of(noun)][slot.value] += 1
    return Shares(
        nouns=_sorted(nouns),
        plurals=_sorted(+plurals),
        by_noun={kind: {noun: _sorted(c) for noun, c in sorted(of.items()) if c.total() >= _OWN} for kind, of in sorted(by_noun.items())},
        by_kind={kind: {noun: _sorted(c) for noun, c in sorted(of.items())} for kind, of in sorted(by_kind.items())},
    )


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
