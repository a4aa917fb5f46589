"""balance: which of a block's candidates are released, so that nobody tells them from the positives without looking. No engine."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from pydantic import Field

from schemas.rows import BalanceRow, BlindFigures, Negative, RegionCaptionRow, RegionNegatives, VerifyRow
from stages.base import BlockStage, Image
from stages.negatives.candidates import PROPOSING, entries_of, holders, refusal
from stages.negatives.choice import Candidate, Limits, Place, Text, choose, figures
from stages.negatives.surviving_groups import Carrier, Survivor, survivors
from stages.negatives.symmetry import edits_of
from stages.params import StageParams, Surroundings


class BalanceParams(StageParams):
    method: Literal["full", "none"] = Field(
        "full",
        description="full: reciprocal groups are kept whole, the others brought to chance. none: whatever the verdicts allow is "
        "released, to see what balancing buys.",
    )
    released_per_region: int = Field(
        10, ge=1, description="Written and computed negatives released a text at most. Reciprocal ones come on top of them."
    )
    over_generation: float = Field(
        4.0, ge=1, description="Candidates a text that are chosen from, as a multiple of `released_per_region`; more are surplus."
    )
    max_rounds: int = Field(8, ge=0, description="Rounds of rejection against a probe at most; 0: value marginals alone.")
    allow_unverified: bool = Field(False, description="Also release what verify left `unverified`. Without a stage verify all is.")
    seed: int = Field(0, description="Of the folds and draws of rejection and audit.")


class _Entry(NamedTuple):
    """One text of the block with its candidates: its unit, the image among the unit's, the entry among the image's."""

    unit: int
    image: int
    entry: int


@dataclass
class _Block:
    """What is kept of a block's candidates while it is looked at: those that verdicts allow."""

    texts: dict[Place, Text] = field(default_factory=dict)
    candidates: list[Candidate] = field(default_factory=list)
    groups: dict[str, list[Carrier[Place]]] = field(default_factory=lambda: defaultdict(list))


@dataclass(frozen=True)
class _Choice:
    """Why candidates are not released, by entry and their place in it; what is left of each region's group; the figures of it all."""

    reasons: Mapping[_Entry, Mapping[int, str | None]]
    groups: dict[Place, Survivor]
    audits: list[BlindFigures]


class Balance(BlockStage[BalanceParams, BalanceRow]):
    """Release candidates that are known to be false of what is known to be true, at chance for whoever sees texts alone.

    Reciprocal groups lose the texts that verification refused, and stay exact. Of the others as many are kept one way as the
    other (symmetry), then a probe's opinions are rejected in both directions, round by round.
    """

    name = "balance"
    version = 2
    reads = ("region_caption",)
    may_read = ("hard_negative", "mine", "verify")

    @classmethod
    def reads_among(cls, stages: Collection[str]) -> tuple[str, ...]:
        return (*cls.reads, *holders(stages, before=cls.name))

    @classmethod
    def problems(cls, params: BalanceParams, around: Surroundings) -> Iterator[str]:
        yield from super().problems(params, around)
        if not any(name in around.stages for name in (*PROPOSING, "verify")):
            yield "stages.balance has nothing to choose from: add hard_negative, mine or both"

    def run(self, block: Iterable[Sequence[Image]]) -> Iterator[list[BalanceRow]]:
        seen = _Block()
        for number, unit in enumerate(block):
            for i, image in enumerate(unit):
                for n, entry in enumerate(_entries(image)):
                    self._look_at(seen, _Entry(number, i, n), image, entry)
        choice = self._choose(seen)
        for number, unit in enumerate(block):
            yield [self._row(image, number, i, choice) for i, image in enumerate(unit)]

    def _look_at(self, seen: _Block, where: _Entry, image: Image, entry: RegionNegatives) -> None:
        eligible = [(at, one) for at, one in enumerate(entry.negatives) if self._refusal(image, entry, one) is None]
        if not eligible:
            return
        nouns = {region.region: region.head for region in image.row(RegionCaptionRow).regions}
        name = image.sha256 or image.key
        place = Place(where.unit, where.image, entry.region)
        seen.texts[place] = Text(name, nouns.get(entry.region, ""), entry.positive)
        if entry.group is not None and self.params.method == "full":
            texts = frozenset(negative.text for _, negative in eligible)
            seen.groups[entry.group].append(Carrier(place, f"{name}/{entry.region}", entry.positive, texts))
            return
        for at, negative in eligible:
            order = int.from_bytes(hashlib.sha256(f"{name}/{entry.region}/{negative.text}".encode()).digest()[:7])
            seen.candidates.append(Candidate(place, where.entry, at, negative.text, edits_of(negative.edits), order))

    def _choose(self, seen: _Block) -> _Choice:
        groups = {carrier.ref: left for _, carriers in sorted(seen.groups.items()) for carrier, left in survivors(carriers)}
        held = {place: sorted(left.texts - {seen.texts[place].positive}) for place, left in groups.items()}
        params = self.params
        if params.method == "full":
            limits = Limits(
                params.released_per_region, round(params.over_generation * params.released_per_region), params.max_rounds, params.seed
            )
            reasons = choose(seen.texts, seen.candidates, held, limits)
        else:
            reasons = dict.fromkeys(seen.candidates)
        released = [candidate for candidate, why in reasons.items() if why is None]
        audits = figures(seen.texts, released, held, params.seed)
        by_entry: dict[_Entry, dict[int, str | None]] = defaultdict(dict)
        for one, why in reasons.items():
            by_entry[_Entry(one.place.unit, one.place.image, one.entry)][one.at] = why
        return _Choice(by_entry, groups, audits)

    def _row(self, image: Image, number: int, position: int, choice: _Choice) -> BalanceRow:
        regions = [self._released(image, _Entry(number, position, n), entry, choice) for n, entry in enumerate(_entries(image))]
        return BalanceRow(key=image.key, regions=regions, audits=choice.audits)

    def _released(self, image: Image, where: _Entry, entry: RegionNegatives, choice: _Choice) -> RegionNegatives:
        """The entry with what is released of it; every other candidate counted by reason."""
        left = choice.groups.get(Place(where.unit, where.image, entry.region))
        in_group = entry.group is not None and self.params.method == "full"
        rejects, negatives = Counter(entry.rejects), []
        for at, negative in enumerate(entry.negatives):
            reason = self._refusal(image, entry, negative)
            if reason is None and in_group:
                reason = None if left is not None and negative.text in left.texts else "group"
            elif reason is None:
                reason = choice.reasons[where][at]
            if reason is None:
                negatives.append(negative)
            else:
                rejects[reason] += 1
        group = left.name if in_group and left is not None else None
        return entry.model_copy(update={"negatives": negatives, "rejects": dict(sorted(rejects.items())), "group": group})

    def _refusal(self, image: Image, entry: RegionNegatives, negative: Negative) -> str | None:
        """Why the verdicts do not allow a candidate of this text. Without a judge all are unverified: then they were asked for."""
        allows = self.params.allow_unverified or image.optional(VerifyRow) is None
        return refusal(entry, negative, allows_unverified=allows)


def _entries(image: Image) -> list[RegionNegatives]:
    return entries_of(image.upstream.values())
