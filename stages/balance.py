"""balance: which of a block's candidates are released, so that nobody tells them from the positives without looking. No engine."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field

from schemas.hashed import added
from schemas.rows import BalanceRow, BlindFigures, Negative, RegionCaptionRow, RegionNegatives, VerifyRow
from stages.base import BlockStage, Image
from stages.negatives.candidates import PROPOSING, entries_of, holders, is_exchanged, refusal
from stages.negatives.choice import Candidate, Entry, Limits, Place, Text, Traded, choose, figures
from stages.negatives.groups.surviving_groups import Carrier, Survivor, survivors
from stages.negatives.groups.trading import values_of
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
    max_type_share: float | None = added(
        None,
        before=None,
        gt=0,
        lt=1,
        description="No more than this part of what is chosen among is of one type, such as object: what a type has above it is surplus, "
        "first of texts that have nothing else. null: no bound. Not counted: reciprocal ones.",
    )
    seed: int = Field(0, description="Of the folds and draws of rejection and audit.")


@dataclass
class _Block:
    """What is kept of a block's candidates while it is looked at: those that verdicts allow."""

    texts: dict[Place, Text] = field(default_factory=dict)
    candidates: list[Candidate] = field(default_factory=list)
    shares: list[Traded] = field(default_factory=list)
    groups: dict[str, list[Carrier[Place]]] = field(default_factory=lambda: defaultdict(list))


@dataclass(frozen=True)
class _Choice:
    """Why candidates are not released, by entry and their place in it; what is left of each region's reciprocal group; the names of
    what is left of exchanges; the figures of it all."""

    reasons: Mapping[Entry, Mapping[int, str | None]]
    names: Mapping[Entry, str]
    groups: dict[Place, Survivor]
    audits: list[BlindFigures]


class Balance(BlockStage[BalanceParams, BalanceRow]):
    """Release candidates that are known to be false of what is known to be true, at chance for whoever sees texts alone.

    Groups of reciprocal texts and of exchanged values lose those that verification refused, and stay exact. Of the others those
    are kept that undo each other, in pairs or in rings, and more as long as each value stays nearly even. Then a probe's opinions are
    rejected in both directions, round by round, of all but reciprocal ones; exchanges shrink until they are exact again.
    """

    name = "balance"
    version = 4
    reads = ("region_caption",)
    may_read = ("hard_negative", "mine", "exchange", "verify")

    @classmethod
    def reads_among(cls, stages: Collection[str]) -> tuple[str, ...]:
        return (*cls.reads, *holders(stages, before=cls.name))

    @classmethod
    def problems(cls, params: BalanceParams, around: Surroundings) -> Iterator[str]:
        yield from super().problems(params, around)
        if not any(name in around.stages for name in (*PROPOSING, "verify")):
            yield f"stages.balance has nothing to choose from: add {', '.join(PROPOSING[:-1])} or {PROPOSING[-1]}"

    def run(self, block: Iterable[Sequence[Image]]) -> Iterator[list[BalanceRow]]:
        seen = _Block()
        for number, unit in enumerate(block):
            for i, image in enumerate(unit):
                for n, entry in enumerate(_entries(image)):
                    self._look_at(seen, Entry(number, i, n), image, entry)
        choice = self._choose(seen)
        for number, unit in enumerate(block):
            yield [self._row(image, number, i, choice) for i, image in enumerate(unit)]

    def _look_at(self, seen: _Block, where: Entry, image: Image, entry: RegionNegatives) -> None:
        eligible = [(at, negative) for at, negative in enumerate(entry.negatives) if self._refusal(image, entry, negative) is None]
        if not eligible:
            return
        nouns = {region.region: region.head for region in image.row(RegionCaptionRow).regions}
        name = image.sha256 or image.key
        place = Place(where.unit, where.image, entry.region)
        seen.texts[place] = Text(name, nouns.get(entry.region, ""), entry.positive)
        if self._is_reciprocal(entry):
            texts = frozenset(negative.text for _, negative in eligible)
            seen.groups[entry.group or ""].append(Carrier(place, f"{name}/{entry.region}", entry.positive, texts))
            return
        candidates = {}
        for at, negative in eligible:
            order = int.from_bytes(hashlib.sha256(f"{name}/{entry.region}/{negative.text}".encode()).digest()[:7])
            candidates[at] = Candidate(place, where.entry, at, negative.text, edits_of(negative.edits), order)
        if self.params.method == "full" and is_exchanged(entry):
            own, taken = values_of(entry.negatives)
            seen.shares.append(
                Traded(
                    where, entry.group or "", f"{name}/{entry.region}", own, {taken[at]: candidate for at, candidate in candidates.items()}
                )
            )
        else:
            seen.candidates += candidates.values()

    def _choose(self, seen: _Block) -> _Choice:
        groups = {carrier.ref: left for _, carriers in sorted(seen.groups.items()) for carrier, left in survivors(carriers)}
        held = {place: sorted(left.texts - {seen.texts[place].positive}) for place, left in groups.items()}
        params = self.params
        names: Mapping[Entry, str] = {}
        if params.method == "full":
            limits = Limits(
                params.released_per_region,
                round(params.over_generation * params.released_per_region),
                params.max_rounds,
                params.seed,
                params.max_type_share,
            )
            reasons, names = choose(seen.texts, seen.candidates, seen.shares, held, limits)
        else:
            reasons = dict.fromkeys(seen.candidates)
        released = [candidate for candidate, why in reasons.items() if why is None]
        audits = figures(seen.texts, released, held, params.seed)
        by_entry: dict[Entry, dict[int, str | None]] = defaultdict(dict)
        for judged, why in reasons.items():
            by_entry[Entry(judged.place.unit, judged.place.image, judged.entry)][judged.at] = why
        return _Choice(by_entry, names, groups, audits)

    def _row(self, image: Image, number: int, position: int, choice: _Choice) -> BalanceRow:
        regions = [self._released(image, Entry(number, position, n), entry, choice) for n, entry in enumerate(_entries(image))]
        return BalanceRow(key=image.key, regions=regions, audits=choice.audits)

    def _released(self, image: Image, where: Entry, entry: RegionNegatives, choice: _Choice) -> RegionNegatives:
        """The entry with what is released of it; every other candidate counted by reason."""
        left = choice.groups.get(Place(where.unit, where.image, entry.region))
        in_group = self._is_reciprocal(entry)
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
        group = left.name if in_group and left is not None else choice.names.get(where)
        return entry.model_copy(update={"negatives": negatives, "rejects": dict(sorted(rejects.items())), "group": group})

    def _is_reciprocal(self, entry: RegionNegatives) -> bool:
        return self.params.method == "full" and entry.group is not None and not is_exchanged(entry)

    def _refusal(self, image: Image, entry: RegionNegatives, negative: Negative) -> str | None:
        """Why the verdicts do not allow a candidate of this text. Without a judge all are unverified: then they were asked for."""
        allows = self.params.allow_unverified or image.optional(VerifyRow) is None
        return refusal(entry, negative, allows_unverified=allows)


def _entries(image: Image) -> list[RegionNegatives]:
    return entries_of(image.upstream.values())
