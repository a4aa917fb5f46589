"""The choice among a block's candidates and the figures of what is released: marginals first, then a probe's opinions.

Texts and places only; knows no row, no verdict and no engine.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from schemas.audit import AuditItem, ProbeFigures
from schemas.rows import CAPTION, BlindFigures
from stages.audit.audit import audit
from stages.audit.rejection import reject_to_chance
from stages.negatives.symmetry import Change, symmetric


class Place(NamedTuple):
    """A text of the block: unit, image among the unit's, region (-1: the long caption)."""

    unit: int
    image: int
    region: int


@dataclass(frozen=True, slots=True)
class Text:
    """What candidates are false of. `image` names the image wherever it stands in the block."""

    image: str
    noun: str
    positive: str


class Candidate(NamedTuple):
    """One candidate of a text. `entry` and `at`: where it stands among the image's. `order`: its rank among others, wherever it stands."""

    place: Place
    entry: int
    at: int
    negative: str
    edits: tuple[tuple[str, str, str], ...]
    order: int


@dataclass(frozen=True)
class Limits:
    """How many a text may have, how many it is chosen from, and how long a probe is asked."""

    released: int
    considered: int
    max_rounds: int
    seed: int


Held = Mapping[Place, Sequence[str]]  # reciprocal negatives, which are released whatever a probe says


def choose(texts: Mapping[Place, Text], candidates: Sequence[Candidate], held: Held, limits: Limits) -> dict[Candidate, str | None]:
    """Why each candidate is not released; None: it is.

    `marginal`: too few undo its edit. `probe`: a probe could tell it, or took it for the truth.
    `surplus`: more than the limits. `duplicate`: held already.
    """
    reasons: dict[Candidate, str | None] = {
        one: "duplicate" if one.negative in held.get(one.place, ()) else "marginal" for one in candidates
    }
    changes = [Change(one, _noun(texts, one), one.edits, one.order) for one, why in reasons.items() if why == "marginal"]
    for one in symmetric(changes):
        reasons[one] = None
    _trim(reasons, limits.considered)
    if limits.max_rounds:
        for is_caption in (False, True):
            live = [one for one, why in reasons.items() if why is None and (one.place.region == CAPTION) == is_caption]
            reasons |= _reject(texts, live, held, limits)
    _trim(reasons, limits.released)
    return reasons


def figures(texts: Mapping[Place, Text], released: Iterable[Candidate], held: Held, seed: int) -> list[BlindFigures]:
    """What a guesser that sees texts alone gets right of what is released: of the regions' texts, and of the long captions."""
    negatives: dict[Place, list[str]] = {place: list(others) for place, others in held.items()}
    for one in released:
        negatives.setdefault(one.place, []).append(one.negative)
    found = []
    for of, is_caption in (("regions", False), ("captions", True)):
        items = [
            AuditItem(positive=texts[place].positive, negatives=tuple(others), image=texts[place].image, noun=texts[place].noun or None)
            for place, others in negatives.items()
            if (place.region == CAPTION) == is_caption
        ]
        if items:
            found.append(_figures(of, items, seed))
    return found


def _figures(of: str, items: Sequence[AuditItem], seed: int) -> BlindFigures:
    report = audit(items, seed=seed)
    known, unknown = report.probes.ngram_image_disjoint, report.probes.ngram_noun_disjoint
    return BlindFigures(
        of=of,
        items=report.items,
        chance=report.chance,
        leaks=tuple(report.leaks),
        verdict=report.verdict,
        **{f"image_disjoint{end}": value for end, value in _bounds(known).items()},
        **{f"noun_disjoint{end}": value for end, value in _bounds(unknown).items()},
    )


def _bounds(probe: ProbeFigures) -> dict[str, float | None]:
    return {"": probe.top1, "_low": probe.top1_low, "_high": probe.top1_high}


def _reject(texts: Mapping[Place, Text], live: Sequence[Candidate], held: Held, limits: Limits) -> dict[Candidate, str | None]:
    by_place: dict[Place, list[Candidate]] = defaultdict(list)
    for one in live:
        by_place[one.place].append(one)
    # In an order that is the same wherever the units lie in the block.
    places = sorted(by_place, key=lambda place: (texts[place].image, place.region, texts[place].positive, place))
    items, kept_anyway = [], []
    for place in places:
        own = sorted(by_place[place], key=lambda one: one.order)
        by_place[place] = own
        reciprocal = held.get(place, ())
        negatives = (*(one.negative for one in own), *reciprocal)
        items.append(
            AuditItem(positive=texts[place].positive, negatives=negatives, image=texts[place].image, noun=texts[place].noun or None)
        )
        kept_anyway.append(range(len(own), len(negatives)))
    if not items:
        return {}
    keep = max(len(item.negatives) for item in items)
    found = reject_to_chance(items, keep=keep, seed=limits.seed, max_rounds=limits.max_rounds, held=kept_anyway)
    reasons: dict[Candidate, str | None] = {}
    for place, kept in zip(places, found.kept, strict=True):
        for n, one in enumerate(by_place[place]):
            reasons[one] = None if n in kept else "probe"
    return reasons


def _trim(reasons: dict[Candidate, str | None], limit: int) -> None:
    """Mark what a text has above the limit, the last in order."""
    live: dict[Place, list[Candidate]] = defaultdict(list)
    for one, why in reasons.items():
        if why is None:
            live[one.place].append(one)
    for there in live.values():
        for one in sorted(there, key=lambda one: one.order)[limit:]:
            reasons[one] = "surplus"


def _noun(texts: Mapping[Place, Text], candidate: Candidate) -> str:
    return "caption" if candidate.place.region == CAPTION else texts[candidate.place].noun
