"""`audit`: all probes over one set of items, and the verdict. Knows no file and no stage."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from schemas.audit import MARGIN, PROBES, AuditItem, AuditReport, AuditVerdict, ProbeFigures, ProbeName, Probes, TypeFigures
from stages.audit.folds import Folds, clusters, image_folds, noun_folds
from stages.audit.form.probes import order_scores, surface_scores
from stages.audit.layout import Bools, Floats, Ints, Layout, lay_out, subset
from stages.audit.marginals import consensus_scores, marginal_scores, vocabulary_scores
from stages.audit.ngrams import Words, cross_fit, read_words
from stages.audit.outcomes import Bootstrap, outcomes, wilson
from stages.audit.rules import rule_scores
from stages.audit.tokens import tokenisation

Scored = Mapping[ProbeName, Floats | str]  # per probe the options' scores, or why there are none
_MOST_TYPES, _Z_OF_PARTS = 100, 4.0


def audit(items: Sequence[AuditItem], *, seed: int = 0) -> AuditReport:
    """What a guesser that sees texts alone gets right of these items. The same items in any order give the same report."""
    return audit_layout(*lay_out(items), seed=seed)


def audit_layout(layout: Layout, dropped: Mapping[str, int], *, seed: int = 0) -> AuditReport:
    """The same of items that are laid out; `dropped`: what was left out on the way, by reason."""
    if layout.num_items == 0:
        return _empty(dropped)
    words = read_words(layout.texts)
    seed = _content_seed(layout, seed)
    by_image = image_folds(layout)
    order = _shuffled(layout, seed)
    scored = _scores(words, layout, by_image, order, seed)
    bootstrap = Bootstrap.of(clusters(layout), seed)
    figures = _figures(scored, layout, bootstrap, np.ones(len(layout.options), dtype=bool))
    chance = _chance(layout)
    leaks = _leaks(figures, chance)
    tokens, num_texts = tokenisation(layout.texts)
    by_type = _by_type(scored, layout, bootstrap)
    num_positives = len(np.unique(layout.positives))
    is_one_each = num_positives == layout.num_items
    return AuditReport(
        items=layout.num_items,
        positives=num_positives,
        images=bootstrap.num_clusters,
        chance=round(chance, 6),
        probes=Probes(**figures),
        over_positives=figures["ngram_image_disjoint"] if is_one_each else _over_positives(words, layout, seed),
        consensus=bootstrap.figures(*outcomes(consensus_scores(words, layout), layout), np.arange(layout.num_items)),
        by_type=by_type,
        leaks=leaks,
        leaks_by_type={kind: leaks_of_type for kind, figures_of in by_type.items() if (leaks_of_type := _leaks_of_part(figures_of))},
        leaks_by_options=_leaks_by_options(scored, layout, bootstrap),
        verdict=_verdict(figures, leaks, chance),
        folds=by_image.how if isinstance(by_image, Folds) else "none",
        tokens=tokens,
        texts_by_tokens=num_texts,
        dropped=dict(dropped),
    )


def _scores(words: Words, layout: Layout, by_image: Folds | str, order: Ints, seed: int) -> Scored:
    by_noun = noun_folds(layout)
    unseen_nouns = by_noun if isinstance(by_noun, str) else cross_fit(words, layout, by_noun)
    if isinstance(by_image, str):
        return {**dict.fromkeys(PROBES, by_image), "ngram_noun_disjoint": unseen_nouns}
    rules = rule_scores(layout, by_image)
    return {
        **rules,
        "vocabulary": vocabulary_scores(words, layout, by_image),
        "marginal": marginal_scores(words, layout, by_image),
        "surface": surface_scores(layout, seed),
        "order": order_scores(layout, seed),
        "ngram_image_disjoint": cross_fit(words, layout, by_image),
        "ngram_noun_disjoint": unseen_nouns,
        "ngram_shuffled": cross_fit(words, layout, by_image, order),
    }


def _figures(scored: Scored, layout: Layout, bootstrap: Bootstrap, wanted: Bools) -> dict[str, ProbeFigures]:
    """Figures of each probe over the wanted options. The control's labels are random: it is asked of whole items only."""
    every = _part(layout, wanted)
    figures = {}
    for name, scores in scored.items():
        if isinstance(scores, str):
            figures[str(name)] = ProbeFigures.unmeasured(scores)
        elif name == "ngram_shuffled" and not wanted.all():
            figures[str(name)] = ProbeFigures.unmeasured("the control is asked of all types together")
        else:
            is_asked = ~np.isnan(scores)
            chosen, kept, items = every if is_asked.all() else _part(layout, wanted & is_asked)
            measured = bootstrap.figures(*outcomes(scores[chosen], kept), items) if len(items) else None
            figures[str(name)] = measured or ProbeFigures.unmeasured("none of the items that are asked has such options")
    return figures


def _part(layout: Layout, wanted: Bools) -> tuple[Bools, Layout, Ints]:
    """Of the wanted options those of items that keep a choice, these as a layout, and which items they are."""
    first = layout.starts[:-1]
    whole = wanted[first] & (np.add.reduceat(wanted.astype(np.int64), first) >= 2)
    return wanted & whole[layout.item_of], subset(layout, wanted), np.flatnonzero(whole)


def _by_type(scored: Scored, layout: Layout, bootstrap: Bootstrap) -> dict[str, TypeFigures]:
    """Of the types that most negatives have."""
    common = Counter(layout.types[layout.types > 0].tolist()).most_common(_MOST_TYPES)
    return {
        layout.kinds[kind]: _part_figures(scored, layout, bootstrap, layout.is_positive | (layout.types == kind))
        for kind in sorted((kind for kind, _ in common), key=layout.kinds.__getitem__)
    }


def _part_figures(scored: Scored, layout: Layout, bootstrap: Bootstrap, wanted: Bools) -> TypeFigures:
    figures = _figures(scored, layout, bootstrap, wanted)
    kept = subset(layout, wanted)
    return TypeFigures(**figures, **figures["ngram_image_disjoint"].model_dump(), items=kept.num_items, chance=round(_chance(kept), 6))


def _leaks_by_options(scored: Scored, layout: Layout, bootstrap: Bootstrap) -> dict[str, list[ProbeName]]:
    """What leaks among items of one number of options, and of numbers between two powers of two."""
    leaks_of = {}
    sizes = layout.sizes
    groups = np.ceil(np.log2(sizes)).astype(np.int64)
    for group in np.unique(groups) if len(np.unique(groups)) > 1 else ():
        is_of_group = groups == group
        name = (
            str(sizes[is_of_group].min())
            if sizes[is_of_group].min() == sizes[is_of_group].max()
            else f"{sizes[is_of_group].min()} to {sizes[is_of_group].max()}"
        )
        leaks_of[name] = _leaks_of_part(_part_figures(scored, layout, bootstrap, is_of_group[layout.item_of]))
    return {name: leaks for name, leaks in leaks_of.items() if leaks}


def _leaks_of_part(figures: TypeFigures) -> list[ProbeName]:
    """Beyond the bounds of the whole set's probes, those of four standard errors: parts are many, and one of them would seem to leak."""
    limit = figures.chance + MARGIN
    measured = [(name, probe) for name in PROBES if (probe := getattr(figures, name)).top1 is not None]
    return [name for name, probe in measured if min(probe.top1_low, wilson(probe.top1, figures.items, z=_Z_OF_PARTS)[0]) > limit]


def _over_positives(words: Words, layout: Layout, seed: int) -> ProbeFigures:
    """The n-gram probe on one item a positive, the first."""
    is_first = np.zeros(layout.num_items, dtype=bool)
    is_first[np.unique(layout.positives, return_index=True)[1]] = True
    firsts = subset(layout, is_first[layout.item_of])
    folds = image_folds(firsts)
    if isinstance(folds, str):
        return ProbeFigures.unmeasured(folds)
    hits, pairwise = outcomes(cross_fit(words, firsts, folds), firsts)
    return Bootstrap.of(clusters(firsts), seed).figures(hits, pairwise, np.arange(firsts.num_items))


def _chance(layout: Layout) -> float:
    return float((1 / layout.sizes).mean())


def _leaks(figures: Mapping[str, ProbeFigures], chance: float) -> list[ProbeName]:
    return [name for name in PROBES if (low := figures[name].top1_low) is not None and low > chance + MARGIN]


def _verdict(figures: Mapping[str, ProbeFigures], leaks: Sequence[ProbeName], chance: float) -> AuditVerdict:
    if leaks:
        return "fail"
    highs = [figures[name].top1_high for name in ("ngram_image_disjoint", "ngram_noun_disjoint")]
    return "pass" if all(high is not None and high <= chance + MARGIN for high in highs) else "insufficient"


def _shuffled(layout: Layout, seed: int) -> Ints:
    """Rows of options where a random one of each item stands first, in the positive's place."""
    order = np.arange(len(layout.options))
    drawn = layout.starts[:-1] + (np.random.default_rng(seed).random(layout.num_items) * layout.sizes).astype(np.int64)
    order[layout.starts[:-1]], order[drawn] = drawn, layout.starts[:-1]
    return order


def _content_seed(layout: Layout, seed: int) -> int:
    digest = hashlib.sha256(f"{seed}\0".encode())
    for place, block in enumerate(layout.texts.blocks()):
        texts = "\0".join(block)
        digest.update((f"\0{texts}" if place else texts).encode(errors="surrogatepass"))
    digest.update(layout.options.tobytes() + layout.starts.tobytes())
    return int.from_bytes(digest.digest()[:8])


def _empty(dropped: Mapping[str, int]) -> AuditReport:
    nothing = ProbeFigures.unmeasured("there are no items")
    return AuditReport(
        items=0, positives=0, images=0, chance=None, chance_why="there are no items", probes=Probes(**dict.fromkeys(PROBES, nothing)),
        over_positives=nothing, consensus=nothing, leaks=[], verdict="insufficient", folds="none",
        tokens="words", texts_by_tokens={}, dropped=dict(dropped),
    )  # fmt: skip
