"""What scores of options come to: right or wrong of each item, bounds by bootstrap over clusters. Knows no probe."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64, Real

from schemas.audit import ProbeFigures
from stages.audit.layout import Floats, Layout

_REPLICATES = 1000
_FEW = 30  # below so many clusters their number, and not that of the items, bounds what an interval may claim
_Z = 1.959964
_MANY = 20_000


def outcomes(
    scores: Real[np.ndarray, " {len(layout.options)}"], layout: Layout
) -> tuple[Float64[np.ndarray, " {layout.num_items}"], Float64[np.ndarray, " {layout.num_items}"]]:
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
    """Items drawn again by cluster: `draws` (replicates x clusters) says how many times each cluster came.

    Of more than 20,000 clusters none are drawn: the draws would take 4 KB a cluster, and their spread is then that of a normal
    distribution, whose width the clusters' own residuals give.
    """

    draws: Float32[np.ndarray, "replicates clusters"] | None
    cluster_of: Int64[np.ndarray, " items"]
    num_clusters: int

    @classmethod
    def of(cls, cluster_of: Int64[np.ndarray, " items"], seed: int) -> "Bootstrap":
        num = int(cluster_of.max()) + 1 if cluster_of.size else 0
        if num > _MANY:
            return cls(None, cluster_of, num)
        rng = np.random.default_rng(seed)
        drawn = rng.multinomial(num, np.full(num, 1 / num), size=_REPLICATES) if num else np.zeros((_REPLICATES, 0))
        return cls(drawn.astype(np.float32), cluster_of, num)

    def figures(
        self, hits: Float64[np.ndarray, " items"], pairwise: Float64[np.ndarray, " items"], items: Int64[np.ndarray, " items"]
    ) -> ProbeFigures:
        """Figures over some items: `hits` and `pairwise` are of these, `items` says which of the layout's they are.

        The interval is never narrower than Wilson's for as many independent items: drawing again from a few items, or from
        items that all came out alike, would claim to know more than that.
        """
        clusters, local = np.unique(self.cluster_of[items], return_inverse=True)
        own = np.bincount(local, weights=hits, minlength=len(clusters)).astype(np.float64)
        all_of = np.bincount(local, minlength=len(clusters)).astype(np.float64)
        low, high = _normal(own, all_of) if self.draws is None else _drawn(self.draws[:, clusters], own, all_of)
        rate = float(hits.mean())
        bound_low, bound_high = wilson(rate, len(clusters) if len(clusters) < _FEW else len(items))
        return ProbeFigures(
            top1=_rounded(rate),
            top1_low=_rounded(min(low, bound_low)),
            top1_high=_rounded(max(high, bound_high)),
            pairwise=_rounded(float(pairwise.mean())),
        )


def _drawn(draws: Float32[np.ndarray, "replicates clusters"], hits: Floats, items: Floats) -> tuple[float, float]:
    num_hits, num_items = draws @ hits.astype(np.float32), draws @ items.astype(np.float32)
    drawn = num_items > 0
    low, high = np.quantile(num_hits[drawn] / num_items[drawn], [0.025, 0.975])
    return float(low), float(high)


def _normal(hits: Floats, items: Floats) -> tuple[float, float]:
    """Of a ratio of sums over clusters, by the residuals of the clusters."""
    rate = hits.sum() / items.sum()
    half = _Z * float(np.sqrt(((hits - rate * items) ** 2).sum() * len(hits) / max(len(hits) - 1, 1))) / items.sum()
    return max(0.0, float(rate - half)), min(1.0, float(rate + half))


def wilson(rate: float, num: int, z: float = _Z) -> tuple[float, float]:
    """The score interval of a rate among `num` independent trials, of 95 % unless `z` standard errors are asked for.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
    """
    centre = (rate + z**2 / (2 * num)) / (1 + z**2 / num)
    half = z * float(np.sqrt(rate * (1 - rate) / num + z**2 / (4 * num**2))) / (1 + z**2 / num)
    return max(0.0, centre - half), min(1.0, centre + half)


def _rounded(value: float) -> float:
    return round(value, 6)
