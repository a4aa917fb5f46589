"""balance: which of a block's candidates are released, so that nobody tells them from the positives without looking. No engine."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field

from schemas.rows import BalanceRow, BlindFigures, HardNegativeRow, MineRow, Negative, RegionCaptionRow, RegionNegatives, VerifyRow
from stages.base import BlockStage, Image, StageParams
from stages.negatives.choice import Candidate, Limits, Place, Text, choose, figures
from stages.negatives.release import positive_refusal, refusal
from stages.negatives.surviving_groups import Carrier, Survivor, survivors
from stages.negatives.symmetry import edits_of


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


@dataclass
class _Block:
    """What is kept of a block's candidates while it is looked at: those that verdicts allow."""

    texts: dict[Place, Text] = field(default_factory=dict)
    candidates: list[Candidate] = field(default_factory=list)
    groups: dict[str, list[Carrier[Place]]] = field(default_factory=lambda: defaultdict(list))


@dataclass(frozen=True)
class _Choice:
    """Why a candidate is not released, by place, group and words; what is left of each region's group; the figures of it all."""

    reasons: dict[tuple[Place, str | None], dict[str, str | None]]
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
        """verify holds the candidates of hard_negative and mine; without it they are read themselves."""
        source = ("verify",) if "verify" in stages else tuple(name for name in ("hard_negative", "mine") if name in stages)
        return (*cls.reads, *source)

    def run(self, block: Iterable[Sequence[Image]]) -> Iterator[list[BalanceRow]]:
        seen = _Block()
        for number, unit in enumerate(block):
            for i, image in enumerate(unit):
                for entry in candidates_of(image):
                    self._look_at(seen, Place(number, i, entry.region), image, entry)
        choice = self._choose(seen)
        for number, unit in enumerate(block):
            yield [self._row(image, number, i, choice) for i, image in enumerate(unit)]

    def _look_at(self, seen: _Block, place: Place, image: Image, entry: RegionNegatives) -> None:
        eligible = [negative for negative in entry.negatives if self._refusal(image, entry)(negative) is None]
        if not eligible:
            return
        nouns = {region.region: region.head for region in image.row(RegionCaptionRow).regions}
        name = image.sha256 or image.key
        seen.texts[place] = Text(name, nouns.get(entry.region, ""), entry.positive)
        if entry.group is not None and self.params.method == "full":
            texts = frozenset(negative.text for negative in eligible)
            seen.groups[entry.group].append(Carrier(place, f"{name}/{entry.region}", entry.positive, texts))
            return
        for negative in eligible:
            order = int.from_bytes(hashlib.sha256(f"{name}/{entry.region}/{negative.text}".encode()).digest()[:7])
            seen.candidates.append(Candidate(place, entry.group, negative.text, edits_of(negative.edits), order))

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
        by_text: dict[tuple[Place, str | None], dict[str, str | None]] = defaultdict(dict)
        for one, why in reasons.items():
            by_text[one.place, one.group][one.negative] = why
        return _Choice(by_text, groups, audits)

    def _row(self, image: Image, number: int, position: int, choice: _Choice) -> BalanceRow:
        regions = [self._released(image, Place(number, position, entry.region), entry, choice) for entry in candidates_of(image)]
        return BalanceRow(key=image.key, regions=regions, audits=choice.audits)

    def _released(self, image: Image, place: Place, entry: RegionNegatives, choice: _Choice) -> RegionNegatives:
        """The entry with what is released of it; every other candidate counted by reason."""
        refused, left = self._refusal(image, entry), choice.groups.get(place)
        in_group = entry.group is not None and self.params.method == "full"
        rejects, negatives = Counter(entry.rejects), []
        for negative in entry.negatives:
            reason = refused(negative)
            if reason is None and in_group:
                reason = None if left is not None and negative.text in left.texts else "group"
            elif reason is None:
                reason = choice.reasons[place, entry.group][negative.text]
            if reason is None:
                negatives.append(negative)
            else:
                rejects[reason] += 1
        group = left.name if in_group and left is not None else None
        return entry.model_copy(update={"negatives": negatives, "rejects": dict(sorted(rejects.items())), "group": group})

    def _refusal(self, image: Image, entry: RegionNegatives) -> Callable[[Negative], str | None]:
        """Why the verdicts do not allow a candidate of this text. Without a judge all are unverified: then export decides."""
        allows = self.params.allow_unverified or image.optional(VerifyRow) is None
        whole = positive_refusal(entry, allows_unverified=allows)
        return lambda negative: whole or refusal(negative, allows_unverified=allows)


def candidates_of(image: Image) -> list[RegionNegatives]:
    """The candidates of an image, with their verdicts where there is a judge."""
    verified = image.optional(VerifyRow)
    if verified is not None:
        return verified.regions
    written, mined = image.optional(HardNegativeRow), image.optional(MineRow)
    return [*(written.regions if written else []), *(mined.regions if mined else [])]
