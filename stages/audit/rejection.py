"""Brings candidates to chance: round by round, what a cross-fitted probe can tell is dropped, in both directions alike.

Dropping only what it knows for negatives would leave those that look truer than the positive, and that is a leak the other way
round. So candidates are dropped until, at each strength of its opinion, it is wrong as often as it is right; and of items whose
positive it names all but a near one, or all, until it does so hardly more often than chance. Knows no stage.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from schemas.audit import AuditItem
from stages.audit.folds import Folds, image_folds
from stages.audit.layout import Bools, Floats, Ints, Layout, lay_out_as_given, subset
from stages.audit.ngrams import Pairs, Words, fit, pairs_of, read_words, text_scores

PROBE_NEGATIVE, PROBE_POSITIVE, SURPLUS, SPARE = "probe_negative", "probe_positive", "surplus", "spare"
Candidate = tuple[int, int]  # item, index into its negatives
_STRENGTHS = 40
_DEALS, _FEW_PAIRS = 3, 200_000
_TOP1_MARGIN, _PAIRWISE_MARGIN = 0.02, 0.035  # the audit calls .05 above chance a leak, and other folds move top-1 by .01 to .02
_LEAK, _OTHER_FOLDS = 0.05, 0.04  # above chance: what the audit calls a leak, and what its folds may find that these do not
_LEFT_OF_ONE, _LEFT_OF_MORE = 3.0, 0.6  # how much of what may be left is left to items with one pair, which lose all for little, and others
_STILL_NAMED = 0.2  # above chance: how often an item that keeps its nearest pair is taken to be named again
# Opinions too weak to take in a spare pair on: the weakest quarter of all, or the share of 1,000 items if that is less.
_WEAK_SHARE, _WEAK_ITEMS = 0.25, 1000


@dataclass(frozen=True)
class Rejection:
    """Per item: `kept`, indices into its negatives, ascending, none where nothing could be kept; `rejects`, the others by reason.

    `rounds`: (top-1, chance, pairwise) of the cross-fitted probe on what was left before each round, and at the end; of the
    candidates that could be dropped.
    """

    kept: tuple[tuple[int, ...], ...]
    rejects: tuple[dict[str, int], ...]
    rounds: tuple[tuple[float, float, float], ...]


def reject_to_chance(
    items: Sequence[AuditItem],
    *,
    keep: int,
    seed: int = 0,
    max_rounds: int = 8,
    held: Sequence[Collection[int]] | None = None,
    twins: Sequence[tuple[Candidate, Candidate]] = (),
    spare: Sequence[Collection[int]] | None = None,
) -> Rejection:
    """Choose among each item's candidates (its negatives) at most `keep`, so that the n-gram probe is left at chance.

    Give three to four times as many as are wanted. `held`: per item those that are never dropped (reciprocal ones). The probe learns from
    them, but only the others are weighed: they are exact by themselves, and would have sound candidates dropped round after round.
    `twins`: candidates, (item, index), of two items that exchange values: where one is asked about, the other teaches nothing.

    `spare`: per item those that come in only where the probe names its positive and takes them for truer; of words that some positive has.

    Reasons: `probe_negative` (the probe knew it for a negative), `probe_positive` (it took it for truer than the positive),
    `surplus` (more than `keep`), `spare` (not needed). The same items in the same order and seed give the same choice.
    """
    pairs, rng = pairs_of(layout := lay_out_as_given(items)), np.random.default_rng(seed)
    is_held, twin, words = _mask(layout, pairs, held), _twin_pairs(layout, pairs, twins), read_words(layout.texts)
    reason = np.where(_mask(layout, pairs, spare), SPARE, "").astype("<U14")
    rounds: list[tuple[float, float, float]] = []
    for _ in range(max_rounds + 1):
        alive = reason == ""
        deals = _deals(layout, pairs, alive, rng)
        if not deals:
            break
        weight, own = _weights(pairs, alive, layout.num_items), alive & ~is_held
        margins = np.mean([_margins(words, layout, folds, pairs, twin, alive, weight) for folds in deals], axis=0)
        rounds.append(_measured(pairs, own, margins, weight, layout.num_items))
        if _is_at_chance(*rounds[-1]) or len(rounds) > max_rounds:
            break
        drop, admitted = _to_change(rounds[-1], pairs, margins, weight, own, reason == SPARE, rng)
        reason[admitted] = ""
        reason[drop] = np.where(margins[drop] > 0, PROBE_NEGATIVE, PROBE_POSITIVE)
    _trim(reason, pairs, is_held, keep, rng)
    return _rejection(items, pairs, reason, tuple(rounds))


def _deals(layout: Layout, pairs: Pairs, alive: Bools, rng: np.random.Generator) -> list[Folds]:
    """Folds of what is left, dealt anew each round: else it would fit these folds alone. Several where few pairs make one a draw."""
    wanted = layout.is_positive
    wanted[pairs.negative[alive]] = True
    left = np.unique(pairs.item[alive])
    if not left.size:
        return []
    dealt = [image_folds(subset(layout, wanted), rng) for _ in range(_DEALS if alive.sum() <= _FEW_PAIRS else 1)]
    return [
        Folds(tuple(_spread(split, left, layout.num_items) for split in folds.splits), folds.how)
        for folds in dealt
        if isinstance(folds, Folds)
    ]


def _spread(split: tuple[Bools, Bools], left: Ints, num_items: int) -> tuple[Bools, Bools]:
    """A split of the items that are left as one of all items."""
    teaching, asked = np.zeros(num_items, dtype=bool), np.zeros(num_items, dtype=bool)
    teaching[left], asked[left] = split
    return teaching, asked


def _weights(pairs: Pairs, alive: Bools, num_items: int) -> Floats:
    """An item's live pairs weigh one together; on average a live pair weighs one."""
    live = np.bincount(pairs.item[alive], minlength=num_items)
    weight = np.where(alive, 1 / np.maximum(live[pairs.item], 1), 0.0)
    return np.asarray(weight * (alive.sum() / max(float(weight.sum()), 1e-12)))


def _margins(words: Words, layout: Layout, folds: Folds, pairs: Pairs, twin: Ints, alive: Bools, weight: Floats) -> Floats:
    """By how much each pair's positive scores above its negative, by the model of the other folds' live pairs."""
    margins = np.zeros(len(pairs.item))
    for teaching, asked in folds.splits:
        tells = (twin >= 0) & asked[pairs.item[twin]]
        weights = fit(words, layout, pairs, alive & teaching[pairs.item] & ~tells, weight)
        scores = text_scores(words.counts, weights)[layout.options]
        is_asked = asked[pairs.item]
        margins[is_asked] = scores[pairs.positive[is_asked]] - scores[pairs.negative[is_asked]]
    return margins


def _measured(pairs: Pairs, own: Bools, margins: Floats, weight: Floats, num_items: int) -> tuple[float, float, float]:
    """Top-1, chance and pairwise over the `own` pairs."""
    live = np.bincount(pairs.item[own], minlength=num_items)
    beaten = np.bincount(pairs.item[own & (margins > 0)], minlength=num_items)
    some = live > 0
    if not some.any():
        return 0.0, 1.0, 0.5
    right = (weight * ((margins > 0) + (margins == 0) / 2))[own].sum() / weight[own].sum()
    return float((beaten == live)[some].mean()), float((1 / (1 + live[some])).mean()), float(right)


def _is_at_chance(top1: float, chance: float, pairwise: float) -> bool:
    return _is_named_by_chance(top1, chance) and _is_even(pairwise)


def _is_named_by_chance(top1: float, chance: float) -> bool:
    return top1 <= chance + _TOP1_MARGIN


def _is_even(pairwise: float) -> bool:
    return abs(pairwise - 0.5) <= _PAIRWISE_MARGIN


def _to_change(
    measured: tuple[float, float, float],
    pairs: Pairs,
    margins: Floats,
    weight: Floats,
    own: Bools,
    is_spare: Bools,
    rng: np.random.Generator,
) -> tuple[Ints, Ints]:
    """The pairs to drop, and the spare ones to take in: of both ways to chance the one that leaves more."""
    top1, chance, pairwise = measured
    none = np.zeros(0, dtype=np.int64)
    by_pair = _excess(margins, weight, own, rng)
    if _is_named_by_chance(top1, chance):
        return by_pair, none
    by_item, admitted = _named(pairs, margins, own, is_spare, rng)
    if _is_even(pairwise) or len(by_item) < len(by_pair):
        return by_item, admitted
    return by_pair, none


def _named(pairs: Pairs, margins: Floats, own: Bools, is_spare: Bools, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Of the items with equally many pairs, whose positive scores above all of these: as many as that is above chance and what may be
    left, at random.

    Where a spare one scores above the positive it is taken in, and the others stay; those items come first. Else the pair that comes
    nearest to the positive stays alone, if it comes near, or all go. Pairs that are each told by chance are not told independently: a
    white thing's text wins over all of its candidates or over none.
    """
    num_items = int(pairs.item[-1]) + 1
    live = np.bincount(pairs.item[own], minlength=num_items)
    beaten = np.bincount(pairs.item[own & (margins > 0)], minlength=num_items)
    weakest = float(np.quantile(np.abs(margins[own]), min(_WEAK_SHARE, _WEAK_ITEMS / np.count_nonzero(live))))
    left, keeps_one = _left(live[live > 0]), _keeps_one(pairs, margins, own, live)
    truer = rng.permutation(np.flatnonzero(is_spare & (margins < -weakest)))
    spare_of = np.full(num_items, -1, dtype=np.int64)
    spare_of[pairs.item[truer]] = truer
    is_cut, is_mended = np.zeros(num_items, dtype=bool), np.zeros(num_items, dtype=bool)
    for number in np.unique(live[live > 0]).tolist():
        items = np.flatnonzero(live == number)
        won = rng.permutation(items[beaten[items] == number])
        won = won[np.argsort(spare_of[won] < 0, kind="stable")]
        # One that goes takes its own chance with it; one that keeps a pair is still named somewhat more often than by chance.
        by_dropping = number / (number + 1) - np.where(keeps_one[won], _STILL_NAMED, 0.0)
        gained = np.cumsum(np.where(spare_of[won] < 0, by_dropping, 1.0))
        allowed = left * (_LEFT_OF_ONE if number == 1 else _LEFT_OF_MORE)
        chosen = won[gained <= len(won) - len(items) * (1 / (number + 1) + allowed)]
        is_mended[chosen[spare_of[chosen] >= 0]] = True
        is_cut[chosen[spare_of[chosen] < 0]] = True
    going = np.flatnonzero(own & is_cut[pairs.item])
    going = going[np.lexsort((margins[going], pairs.item[going]))]
    is_nearest = np.diff(pairs.item[going], prepend=-1) > 0
    return going[~(is_nearest & keeps_one[pairs.item[going]])], spare_of[is_mended]


def _keeps_one(pairs: Pairs, margins: Floats, own: Bools, live: Ints) -> Bools:
    """Items of which one pair of several comes near to the positive: nearer than half of all pairs are, on either side."""
    nearest = np.full(len(live), np.inf)
    np.minimum.at(nearest, pairs.item[own], margins[own])
    return np.asarray((live > 1) & (nearest <= np.median(np.abs(margins[own]))))


def _left(live: Ints) -> float:
    """How far above chance top-1 may stay: as far as the audit's upper bound of so many items lets it, less what other folds do."""
    chance = float((1 / (1 + live)).mean())
    return max(0.0, _LEAK - 2 * math.sqrt(chance * (1 - chance) / len(live)) - _OTHER_FOLDS)


def _excess(margins: Floats, weight: Floats, own: Bools, rng: np.random.Generator) -> Ints:
    """The pairs to drop: at each strength of opinion a random part of the heavier side, as much as it is heavier."""
    opinions = np.flatnonzero(own & (margins != 0))
    opinions = opinions[np.argsort(np.abs(margins[opinions]), kind="stable")]
    dropped = [np.zeros(0, dtype=np.int64)]
    for level in np.array_split(opinions, min(_STRENGTHS, max(1, len(opinions) // 20))):
        right, wrong = level[margins[level] > 0], level[margins[level] < 0]
        more = float(weight[right].sum() - weight[wrong].sum())
        heavier = rng.permutation(right if more > 0 else wrong)
        dropped.append(heavier[np.cumsum(weight[heavier]) <= abs(more)])
    return np.concatenate(dropped)


def _trim(reason: np.ndarray, pairs: Pairs, is_held: Bools, keep: int, rng: np.random.Generator) -> None:
    """Mark a random part of what an item has above `keep`; held ones stay."""
    live = np.flatnonzero(reason == "")
    order = live[np.lexsort((rng.random(len(live)), ~is_held[live], pairs.item[live]))]
    rank = np.arange(len(order)) - np.searchsorted(pairs.item[order], pairs.item[order])
    reason[order[(rank >= keep) & ~is_held[order]]] = SURPLUS


def _mask(layout: Layout, pairs: Pairs, chosen: Sequence[Collection[int]] | None) -> Bools:
    mask = np.zeros(len(pairs.item), dtype=bool)
    first = layout.starts[:-1] - np.arange(layout.num_items)  # of each item's pairs
    for item, indices in enumerate(chosen or ()):
        mask[first[item] + np.array(sorted(indices), dtype=np.int64)] = True
    return mask


def _twin_pairs(layout: Layout, pairs: Pairs, twins: Sequence[tuple[Candidate, Candidate]]) -> Ints:
    """Each pair's twin; -1: it has none."""
    twin_of = np.full(len(pairs.item), -1, dtype=np.int64)
    first = layout.starts[:-1] - np.arange(layout.num_items)  # of each item's pairs
    if twins:
        item, index = np.array(twins, dtype=np.int64).transpose(2, 1, 0)
        first_pair, second_pair = first[item] + index
        twin_of[first_pair], twin_of[second_pair] = second_pair, first_pair
    return twin_of


def _rejection(items: Sequence[AuditItem], pairs: Pairs, reason: np.ndarray, rounds: tuple[tuple[float, float, float], ...]) -> Rejection:
    kept: list[list[int]] = [[] for _ in items]
    rejects: list[dict[str, int]] = [{} for _ in items]
    starts = np.searchsorted(pairs.item, np.arange(len(items)))
    for pair, item in enumerate(pairs.item.tolist()):
        why = str(reason[pair])
        if why:
            rejects[item][why] = rejects[item].get(why, 0) + 1
        else:
            kept[item].append(pair - int(starts[item]))
    return Rejection(tuple(map(tuple, kept)), tuple(rejects), rounds)
