"""What scores of options come to: right or wrong of each item, bounds by bootstrap over clusters. Knows no probe."""

from dataclasses import dataclass

import numpy as np

from schemas.audit import ProbeFigures
from stages.audit.layout import Floats, Ints, Layout

_REPLICATES = 1000
_FEW = 30  # below so many clusters their number, and not that of the items, bounds what an interval may claim
_Z = 1.959964


def outcomes(scores: Floats, layout: Layout) -> tuple[Floats, Floats]:
    """Per item 1 where the positive scores above every negative (a tie is 0), and the share of negatives it beats (a tie is half)."""
    if not layout.num_items:
        return np.zeros(0), np.zeros(0)
    first = layout.starts[:-1]
    own = scores[first][layout.item_of]
    negatives = layout.sizes - 1
    above = np.add.reduceat((own > scores).astype(np.float64), first)
    ties = np.add.reduceat((own == scores).astype(np.float64), first) - 1  # the positive equals itself
    return (above == negatives).astype(np.float64), (above + ties / 2) / negatives


@dataclass(frozen=True)
class Bootstrap:
    """Items drawn again by cluster: `draws` (replicates x clusters) says how many times each cluster came."""

    draws: Floats
    cluster_of: Ints

    @classmethod
    def of(cls, cluster_of: Ints, seed: int) -> "Bootstrap":
        num = int(cluster_of.max()) + 1 if cluster_of.size else 0
        rng = np.random.default_rng(seed)
        drawn = rng.multinomial(num, np.full(num, 1 / num), size=_REPLICATES) if num else np.zeros((_REPLICATES, 0))
        return cls(drawn.astype(np.float32), cluster_of)

    def figures(self, hits: Floats, pairwise: Floats, items: Ints) -> ProbeFigures:
        """Figures over some items: `hits` and `pairwise` are of these, `items` says which of the layout's they are.

        The interval is never narrower than Wilson's for as many independent items: drawing again from a few items, or from
        items that all came out alike, would claim to know more than that.
        """
        clusters, local = np.unique(self.cluster_of[items], return_inverse=True)
        draws = self.draws[:, clusters]
        num_hits = draws @ np.bincount(local, weights=hits, minlength=len(clusters)).astype(np.float32)
        num_items = draws @ np.bincount(local, minlength=len(clusters)).astype(np.float32)
        drawn = num_items > 0
        low, high = np.quantile(num_hits[drawn] / num_items[drawn], [0.025, 0.975])
        rate = float(hits.mean())
        bound_low, bound_high = wilson(rate, len(clusters) if len(clusters) < _FEW else len(items))
        return ProbeFigures(
            top1=_rounded(rate),
            top1_low=_rounded(min(float(low), bound_low)),
            top1_high=_rounded(max(float(high), bound_high)),
            pairwise=_rounded(float(pairwise.mean())),
        )


def wilson(rate: float, num: int) -> tuple[float, float]:
    """The 95 % score interval of a rate among `num` independent trials.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
    """
    centre = (rate + _Z**2 / (2 * num)) / (1 + _Z**2 / num)
    half = _Z * float(np.sqrt(rate * (1 - rate) / num + _Z**2 / (4 * num**2))) / (1 + _Z**2 / num)
    return max(0.0, centre - half), min(1.0, centre + half)


def _rounded(value: float) -> float:
    return round(value, 6)
