"""The choice among a block's candidates and the figures of what is released: marginals first, then a probe's opinions.

Texts and places only; knows no row, no verdict and no engine.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from schemas.audit import AuditItem, ProbeFigures
from schemas.rows import CAPTION, BlindFigures
from stages.audit.audit import audit
from stages.audit.readings import caption_items
from stages.audit.rejection import reject_to_chance
from stages.negatives.groups.trading import Settled, Share, settle
from stages.negatives.symmetry import Change, allowance, rings, symmetric
from stages.words.kinds import kind_of


class Place(NamedTuple):
    """A text of the block: unit, image among the unit's, region (-1: the long caption)."""

    unit: int
    image: int
    region: int


class Entry(NamedTuple):
    """One text of the block with its candidates: its unit, the image among the unit's, the entry among the image's."""

    unit: int
    image: int
    entry: int


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
    """How many a text may have, how many it is chosen from, how long a probe is asked; which part of all may be of one type."""

    released: int
    considered: int
    max_rounds: int
    seed: int
    type_share: float | None = None


_UNEVEN = 0.125  # how much oftener a value may be replaced than put in, or the other way: an eighth, and one more
Traded = Share[Entry, Candidate]
Held = Mapping[Place, Sequence[str]]  # reciprocal negatives, which are released whatever a probe says


def choose(
    texts: Mapping[Place, Text], candidates: Sequence[Candidate], shares: Sequence[Traded], held: Held, limits: Limits
) -> tuple[dict[Candidate, str | None], Mapping[Entry, str]]:
    """Why each candidate is not released, None: it is; and what is left of each exchange by name.

    `marginal`: too few undo its edit, alone or in a ring. `probe`: a probe could tell it, or took it for the truth. `group`: others of
    its exchange were dropped. `surplus`: more than the limits. `duplicate`: held already, or exchanged.
    """
    traded = [ref for share in shares for ref in share.taken.values()]
    reasons: dict[Candidate, str | None] = {
        candidate: "duplicate" if candidate.negative in held.get(candidate.place, ()) else None for candidate in traded
    }
    settled = _settle(shares, reasons)
    taken = {(candidate.place, candidate.negative) for candidate in settled.refs}
    reasons |= {
        candidate: "duplicate"
        if candidate.negative in held.get(candidate.place, ()) or (candidate.place, candidate.negative) in taken
        else "marginal"
        for candidate in candidates
    }
    _pair(texts, reasons, candidates)
    _take_uneven(texts, reasons, candidates)
    _trim(reasons, candidates, limits.considered)
    if limits.type_share is not None:
        _cap(shares, reasons, candidates, limits.type_share)
        settled = _settle(shares, reasons)
    if limits.max_rounds:
        for is_caption in (False, True):
            of_kind = {candidate: why for candidate, why in reasons.items() if (candidate.place.region == CAPTION) == is_caption}
            live = [candidate for candidate, why in of_kind.items() if why is None]
            spare = _spare(live, (candidate for candidate, why in of_kind.items() if why == "marginal"))
            reasons |= _reject(texts, live, spare, settled.twins if not is_caption else (), held, limits)
    _settle(shares, reasons)
    _revive(texts, shares, reasons, candidates, held)
    _trim_shares(shares, reasons, limits.released)
    settled = _settle(shares, reasons)
    _trim(reasons, candidates, limits.released)
    return reasons, settled.names


def _pair(texts: Mapping[Place, Text], reasons: dict[Candidate, str | None], candidates: Iterable[Candidate]) -> None:
    """Of those that are unpaired so far (`marginal`) take those that others undo: of their noun, of its kind, of anything."""
    candidates = list(candidates)
    for pool in (_noun, _kind, _anything):  # what is left over of a noun is counted with that of its kind, then with all
        unpaired = [candidate for candidate in candidates if reasons[candidate] == "marginal"]
        for candidate in symmetric([Change(candidate, pool(texts, candidate), candidate.edits, candidate.order) for candidate in unpaired]):
            reasons[candidate] = None


def _take_uneven(texts: Mapping[Place, Text], reasons: dict[Candidate, str | None], candidates: Sequence[Candidate]) -> None:
    """Of those that nothing undoes take some all the same. The probe sees them as it sees all."""
    live = (candidate for candidate, why in reasons.items() if why is None)
    unpaired = (candidate for candidate in candidates if reasons[candidate] == "marginal")
    standing, changes = (
        [Change(candidate, _anything(texts, candidate), candidate.edits, candidate.order) for candidate in some]
        for some in (live, unpaired)
    )
    reasons |= dict.fromkeys(symmetric(changes, allowance(standing, _UNEVEN)))


def _revive(
    texts: Mapping[Place, Text],
    shares: Sequence[Traded],
    reasons: dict[Candidate, str | None],
    candidates: Sequence[Candidate],
    held: Held,
) -> None:
    """Written texts that an exchange had too, and lost with its group and not to the probe, are paired like other written ones."""
    lost = {
        (candidate.place, candidate.negative) for share in shares for candidate in share.taken.values() if reasons[candidate] == "group"
    }
    standing = {
        (candidate.place, candidate.negative) for share in shares for candidate in share.taken.values() if reasons[candidate] != "group"
    }
    revived = [
        candidate
        for candidate in candidates
        if reasons[candidate] == "duplicate"
        and (candidate.place, candidate.negative) in lost - standing
        and candidate.negative not in held.get(candidate.place, ())
    ]
    reasons |= dict.fromkeys(revived, "marginal")
    _pair(texts, reasons, revived)


def _cap(shares: Sequence[Traded], reasons: dict[Candidate, str | None], candidates: Sequence[Candidate], share: float) -> None:
    """Mark what a type has above its share of all as surplus, whole groups and rings; first those of texts that
    have nothing but this type."""
    live = [candidate for candidate, why in reasons.items() if why is None]
    types: dict[Place, set[str]] = defaultdict(set)
    for candidate in live:
        types[candidate.place].add(candidate.edits[0][0])
    counts = Counter(candidate.edits[0][0] for candidate in live)
    for kind, number in counts.items():
        allowed = share / (1 - share) * (len(live) - number)
        if number <= allowed:
            continue
        units = [*_groups_of(kind, shares, reasons), *_rings_of(kind, candidates, reasons, types)]
        units.sort(key=lambda unit: (-sum(len(types[candidate.place]) > 1 for candidate in unit) / len(unit), unit[0].order))
        for unit in units:
            allowed -= len(unit)
            if allowed < 0:
                reasons |= dict.fromkeys(unit, "surplus")


def _groups_of(kind: str, shares: Sequence[Traded], reasons: Mapping[Candidate, str | None]) -> list[list[Candidate]]:
    groups: dict[str, list[Candidate]] = defaultdict(list)
    for share in shares:
        groups[share.group] += [
            candidate for candidate in share.taken.values() if reasons[candidate] is None and candidate.edits[0][0] == kind
        ]
    return [group for _, group in sorted(groups.items()) if group]


def _rings_of(
    kind: str, candidates: Sequence[Candidate], reasons: Mapping[Candidate, str | None], types: Mapping[Place, set[str]]
) -> Iterator[list[Candidate]]:
    own = [candidate for candidate in candidates if reasons[candidate] is None and candidate.edits[0][0] == kind]
    own.sort(key=lambda candidate: (-len(types[candidate.place]), candidate.order))
    yield from rings(Change(candidate, "", candidate.edits, candidate.order) for candidate in own if len(candidate.edits) == 1)
    yield from ([candidate] for candidate in own if len(candidate.edits) > 1)


def figures(texts: Mapping[Place, Text], released: Iterable[Candidate], held: Held, seed: int) -> list[BlindFigures]:
    """What a guesser that sees texts alone gets right of what is released: of the regions' texts, and of the long captions."""
    negatives: dict[Place, list[str]] = {place: list(others) for place, others in held.items()}
    for candidate in released:
        negatives.setdefault(candidate.place, []).append(candidate.negative)
    shares = []
    for of, is_caption in (("regions", False), ("captions", True)):
        items = [
            item
            for place, others in negatives.items()
            if (place.region == CAPTION) == is_caption
            for item in _items(texts[place], others, is_caption)
        ]
        if items:
            shares.append(_figures(of, items, seed))
    return shares


def _items(text: Text, others: Sequence[str], is_caption: bool) -> list[AuditItem]:
    """A region's text is one item; a long caption is one for each noun that is edited, since it has no head of its own."""
    if is_caption:
        return caption_items(text.positive, [(other, None) for other in others], text.image)
    return [AuditItem(positive=text.positive, negatives=tuple(others), image=text.image, noun=text.noun or None)]


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


def _settle(shares: Sequence[Traded], reasons: dict[Candidate, str | None]) -> Settled[Entry, Candidate]:
    """What is left of the exchanges; of candidates that are live and not left the reason is `group`."""
    traded = [ref for share in shares for ref in share.taken.values()]
    settled = settle(shares, {candidate for candidate in traded if reasons[candidate] is None})
    left = settled.refs
    reasons |= {candidate: "group" for candidate in traded if reasons[candidate] is None and candidate not in left}
    return settled


def _trim_shares(shares: Sequence[Traded], reasons: dict[Candidate, str | None], limit: int) -> None:
    """Mark whole entries of a text that take it above the limit, those of several slots first."""
    by_place: dict[Place, list[list[Candidate]]] = defaultdict(list)
    for share in shares:
        live = [candidate for candidate in share.taken.values() if reasons[candidate] is None]
        if live:
            by_place[live[0].place].append(live)
    for entries in by_place.values():
        left = limit
        for live in sorted(entries, key=lambda live: (len(live[0].edits), live[0].order)):
            if len(live) > left:
                reasons |= dict.fromkeys(live, "surplus")
            else:
                left -= len(live)


def _spare(live: Iterable[Candidate], unpaired: Iterable[Candidate]) -> list[Candidate]:
    """Unpaired ones whose new values some positive has: of others a probe knows nothing, and they give themselves away."""
    stated = {(kind, old) for candidate in live for kind, old, _ in candidate.edits}
    return [candidate for candidate in unpaired if all((kind, new) in stated for kind, _, new in candidate.edits)]


def _reject(
    texts: Mapping[Place, Text],
    live: Sequence[Candidate],
    spare: Sequence[Candidate],
    twins: Sequence[tuple[Candidate, Candidate]],
    held: Held,
    limits: Limits,
) -> dict[Candidate, str | None]:
    """Why live candidates are dropped, None: they stay; and which spare ones come in."""
    by_place, spare_by_place = _by_place(live), _by_place(spare)
    # In an order that is the same wherever the units lie in the block.
    places = sorted(by_place, key=lambda place: (texts[place].image, place.region, texts[place].positive, place))
    items, kept_anyway, spares = [], [], []
    for place in places:
        own = by_place[place] = [*by_place[place], *spare_by_place.get(place, ())]
        negatives = (*(candidate.negative for candidate in own), *held.get(place, ()))
        items.append(
            AuditItem(positive=texts[place].positive, negatives=negatives, image=texts[place].image, noun=texts[place].noun or None)
        )
        kept_anyway.append(range(len(own), len(negatives)))
        spares.append(range(len(own) - len(spare_by_place.get(place, ())), len(own)))
    if not items:
        return {}
    where = {candidate: (item, n) for item, place in enumerate(places) for n, candidate in enumerate(by_place[place])}
    rejection = reject_to_chance(
        items,
        keep=max(len(item.negatives) for item in items),
        seed=limits.seed,
        max_rounds=limits.max_rounds,
        held=kept_anyway,
        twins=[(where[candidate], where[other]) for candidate, other in twins],
        spare=spares,
    )
    reasons: dict[Candidate, str | None] = {}
    for place, kept, are_spare in zip(places, rejection.kept, spares, strict=True):
        for n, candidate in enumerate(by_place[place]):
            reasons[candidate] = None if n in kept else "marginal" if n in are_spare else "probe"
    return reasons


def _by_place(candidates: Iterable[Candidate]) -> dict[Place, list[Candidate]]:
    by_place: dict[Place, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        by_place[candidate.place].append(candidate)
    return {place: sorted(there, key=lambda candidate: candidate.order) for place, there in by_place.items()}


def _trim(reasons: dict[Candidate, str | None], candidates: Sequence[Candidate], limit: int) -> None:
    """Mark those of the candidates that a text has above the limit beside its exchanged ones, the last in order."""
    num_live = Counter(candidate.place for candidate, why in reasons.items() if why is None)
    live: dict[Place, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        if reasons[candidate] is None:
            live[candidate.place].append(candidate)
    for place, there in live.items():
        left = limit - (num_live[place] - len(there))
        for candidate in sorted(there, key=lambda candidate: candidate.order)[max(0, left) :]:
            reasons[candidate] = "surplus"


def _noun(texts: Mapping[Place, Text], candidate: Candidate) -> str:
    return "caption" if candidate.place.region == CAPTION else texts[candidate.place].noun


def _kind(texts: Mapping[Place, Text], candidate: Candidate) -> str:
    return "caption" if candidate.place.region == CAPTION else f"kind {kind_of(texts[candidate.place].noun)}"


def _anything(_: Mapping[Place, Text], candidate: Candidate) -> str:
    return "caption" if candidate.place.region == CAPTION else "any"
