"""What is released of candidates for the phrases of real captions, by source and type, and what can be told of it blind.

All captions are one block, each phrase is a region, no image is looked at: what verify would leave `unverified` is let through. Phrases and
written candidates lie beside the report (`cache`), by the digest of all that they come of, so that a trial costs what it changes.
"""

import asyncio
import json
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.real_captions.captions import Captions
from bench.real_captions.phrases import readers
from prompts.loader import load_prompt
from schemas.rows import (
    ATTRIBUTE_TYPES,
    BalanceRow,
    CorpusRow,
    ExchangeRow,
    HardNegativeRow,
    Negative,
    RegionCaption,
    RegionCaptionRow,
    RegionNegatives,
    Row,
)
from stages.balance import Balance, BalanceParams
from stages.base import Image, StageContext
from stages.engines.rehearsal import RehearsalGenerator, RehearsalSpec
from stages.exchange import Exchange, ExchangeParams
from stages.hard_negative import HardNegativeParams, HardNegatives
from stages.mine import Mine, MineParams
from stages.negatives.candidates import CandidateRow, entries_of, released
from stages.negatives.edits_schema import slots_of
from stages.negatives.reciprocal import expression_of
from stages.negatives.shares import shares_of
from stages.words.ambiguity import canonical_value

_CONTEXT = StageContext("real captions")
_COUNTS = (1, 4, 8)
# What phrases and written candidates come of: where it changed they are made anew.
_READING = ("stages/words",)
_WRITING = (
    *_READING,
    *(f"stages/negatives/{name}.py" for name in ("edits", "edits_schema", "compose", "shares", "reciprocal")),
    "stages/hard_negative.py",
    "stages/engines/rehearsal_answers.py",
    "prompts/hard_negative",
)
_UNIT = 64
_MOST_OF_A_TYPE = 0.63  # of what is chosen among: the probe takes more of nouns than of others, and released are .54
_VOIDED = 6  # of so many verdicts one is voided at random in the second audit


def released_figures(captions: Captions) -> dict[str, Any]:
    """`released_share`, `by_source`, `by_type`, `audit` of all captions as one block; `stages`: what is left from stage to stage."""
    proposed = _proposed(captions, _images(captions))
    whole = _Released.of(proposed)
    figures = {**whole.figures(), "audit": whole.audit}
    print(json.dumps(figures), file=sys.stderr, flush=True)
    paired = _Released.of(proposed, max_rounds=0)
    return {**figures, "stages": {"proposed": _shares_proposed(proposed), "paired": paired.shares(), "released": figures["released_share"]}}


def voided_figures(captions: Captions) -> dict[str, Any]:
    """`audit_voided`: what is released and the audit where one verdict in six is voided at random."""
    return {"audit_voided": _Released.of(_voided(_proposed(captions, _images(captions)))).curve()}


def block_figures(captions: Captions) -> dict[str, Any]:
    """`blocks`: shares by the block's size, for blocks smaller than all captions."""
    images = _images(captions)
    return {"blocks": [_curve(captions, _sampled(images, size)) for size in captions.block_sizes if size < len(images)]}


def changed_figures(captions: Captions) -> dict[str, Any]:
    """`changed_rows`: which part of a block's rows of exchange another text for one region changes."""
    return {"changed_rows": _changed_rows(_images(captions)[:2000])}


def _curve(captions: Captions, images: Sequence[Image]) -> dict[str, Any]:
    point = _Released.of(_proposed(captions, images)).curve()
    print(json.dumps(point), file=sys.stderr, flush=True)
    return point


@dataclass(frozen=True)
class _Released:
    """A block with all of its candidates, and what the stage balance lets through."""

    block: Sequence[Image]
    rows: Sequence[BalanceRow]

    @classmethod
    def of(cls, block: Sequence[Image], max_rounds: int = 8) -> "_Released":
        params = BalanceParams(allow_unverified=True, max_rounds=max_rounds, max_type_share=_MOST_OF_A_TYPE)
        rows = [row for unit in Balance(params, _CONTEXT).process(_units(block)) for row in unit]
        return cls(block, [row for row in rows if isinstance(row, BalanceRow)])

    def figures(self) -> dict[str, Any]:
        """Counts by source and type from proposed to released, and shares of regions with a slot that keep so many."""
        proposed, verified, kept = Counter[str](), Counter[str](), Counter[str]()
        rejects: dict[str, Counter[str]] = defaultdict(Counter)
        for image, row in zip(self.block, self.rows, strict=True):
            for before, after in zip(entries_of(image.upstream.values()), row.regions, strict=True):
                source = before.negatives[0].source if before.negatives else "written"
                proposed[source] += before.num_proposed
                verified.update(negative.source for negative in before.negatives)
                rejects[source].update(after.rejects)
        negatives = [negative for _, _, of_region in self._by_region() for negative in of_region]
        kept.update(negative.source for negative in negatives)
        types = Counter(negative.type for negative in negatives)
        return {
            "regions": sum(len(image.row(RegionCaptionRow).regions) for image in self.block),
            "regions_with_slot": len(_with_slot(self.block)),
            "released_share": self.shares(),
            "by_source": {
                name: {"proposed": proposed[name], "verified": verified[name], "released": kept[name]} for name in sorted(proposed)
            },
            "by_type": {name: {"released": number, "share": _share(number, len(negatives))} for name, number in types.most_common()},
            "several_slots": _share(sum(negative.level > 1 for negative in negatives), len(negatives)),
            "rejects": {name: dict(counts.most_common()) for name, counts in sorted(rejects.items())},
        }

    @property
    def audit(self) -> dict[str, Any]:
        """The block's blind audit, as balance writes it into its rows."""
        return self.rows[0].audits[0].model_dump(mode="json")

    def curve(self) -> dict[str, Any]:
        """One point of the curve by block size."""
        return {"images": len(self.block), "released_share": self.shares(), **self.audit}

    def shares(self) -> dict[str, float | None]:
        """Of the regions with an attribute slot those with so many released: synonyms once, of several slots a quarter at most."""
        return _coverage(self.block, {(i, region.region): negatives for i, region, negatives in self._by_region()})

    def _by_region(self) -> Iterator[tuple[int, RegionCaption, list[Negative]]]:
        for i, (image, row) in enumerate(zip(self.block, self.rows, strict=True)):
            by_region = released([row], allows_unverified=True).negatives
            for region in image.row(RegionCaptionRow).regions:
                yield i, region, by_region.get(region.region, [])


def _with_slot(block: Sequence[Image]) -> set[tuple[int, int]]:
    return {
        (i, region.region)
        for i, image in enumerate(block)
        for region in image.row(RegionCaptionRow).regions
        if any(slot.type in ATTRIBUTE_TYPES for slot in slots_of(region.short or "", region.head))
    }


def _coverage(block: Sequence[Image], negatives: Mapping[tuple[int, int], Sequence[Negative]]) -> dict[str, float | None]:
    with_slot = _with_slot(block)
    nums = [_num_distinct(negatives.get(place, ())) for place in with_slot]
    return {str(least): _share(sum(num >= least for num in nums), len(with_slot)) for least in _COUNTS}


def _shares_proposed(block: Sequence[Image]) -> dict[str, float | None]:
    """The same of all candidates of all sources."""
    candidates: dict[tuple[int, int], list[Negative]] = defaultdict(list)
    for i, image in enumerate(block):
        for entry in entries_of(image.upstream.values()):
            candidates[i, entry.region] += entry.negatives
    return _coverage(block, candidates)


def _num_distinct(negatives: Iterable[Negative]) -> int:
    """Different ones, where synonyms of one new value are one and at most a quarter changes several slots."""
    keys = {
        frozenset((edit.type, edit.start, canonical_value(edit.type, edit.new.lower())) for edit in negative.edits): negative
        for negative in negatives
    }
    single = sum(negative.level == 1 for negative in keys.values())
    return single + min(len(keys) - single, single // 3)


def _images(captions: Captions) -> list[Image]:
    """Each caption with its phrases as regions."""
    kept = captions.kept("phrases", _READING, [captions.model], lambda: _read(captions), RegionCaptionRow)
    return [Image(CorpusRow(key=row.key, path="", offset=-1, size=0), upstream={RegionCaptionRow: row}) for row in kept]


def _read(captions: Captions) -> Iterator[RegionCaptionRow]:
    read = readers(captions)["spacy"]
    for number, caption in enumerate(captions.long):
        phrases = [phrase for phrase in read(caption["text"]) if phrase.mark is None]
        regions = [RegionCaption(region=i, head=phrase.head, short=phrase.text, long=phrase.text) for i, phrase in enumerate(phrases)]
        yield RegionCaptionRow(key=f"{number:06d}", regions=regions)


def _proposed(captions: Captions, images: Sequence[Image]) -> list[Image]:
    """The images with the candidates of all sources; new values are dealt by the shares of this very sample."""
    written = captions.kept("written", _WRITING, [image.key for image in images], lambda: _written(images), HardNegativeRow)
    others = (Mine(MineParams(), _CONTEXT), Exchange(ExchangeParams(), _CONTEXT))
    other_rows = [[row for unit in stage.process(_units(images)) for row in unit] for stage in others]
    return [_with(image, rows) for image, *rows in zip(images, written, *other_rows, strict=True)]


def _written(images: Sequence[Image]) -> list[HardNegativeRow]:
    regions = [
        (region.head, region.short or "", expression_of(region)) for image in images for region in image.row(RegionCaptionRow).regions
    ]
    params = HardNegativeParams(new_values="drawn", shares=shares_of(regions), max_composed=4)
    context = StageContext("real captions", {"hard_negative": load_prompt("hard_negative", "v1")}, {"writer": RehearsalGenerator(_WRITER)})
    stage = HardNegatives(params, context)

    async def rows() -> list[Row]:
        return [row for unit in _units(images) for row in await stage.process(unit)]

    return [row for row in asyncio.run(rows()) if isinstance(row, HardNegativeRow)]


_WRITER = RehearsalSpec(kind="rehearsal")


def _voided(block: Sequence[Image]) -> list[Image]:
    """The block with one verdict in six gone: those candidates are `unsure`, and so are those positives."""
    draw = random.Random(0)
    return [_with(image, [_doubted(row, draw) for row in image.upstream.values() if isinstance(row, CandidateRow)]) for image in block]


def _doubted(row: CandidateRow, draw: random.Random) -> Row:
    regions = []
    for entry in row.regions:
        negatives = [
            negative.model_copy(update={"verdict": "unsure"}) if draw.randrange(_VOIDED) == 0 else negative for negative in entry.negatives
        ]
        positive = "unsure" if draw.randrange(_VOIDED) == 0 else entry.positive_verdict
        regions.append(entry.model_copy(update={"negatives": negatives, "positive_verdict": positive}))
    return row.model_copy(update={"regions": regions})


def _changed_rows(images: Sequence[Image], tries: int = 5) -> dict[str, Any]:
    """Share of the block's rows of exchange that another text for one region changes: the mean and the most of some tries."""
    draw, shares = random.Random(0), []
    before = _exchanged(images)
    places = [(i, region) for i, image in enumerate(images) for region in image.row(RegionCaptionRow).regions if expression_of(region)]
    for i, region in draw.sample(places, min(tries, len(places))):
        _, other = draw.choice(places)
        row = images[i].row(RegionCaptionRow)
        regions = [other.model_copy(update={"region": caption.region}) if caption is region else caption for caption in row.regions]
        changed = [*images[:i], _with(images[i], [row.model_copy(update={"regions": regions})]), *images[i + 1 :]]
        shares.append(sum(a != b for a, b in zip(before, _exchanged(changed), strict=True)) / len(images))
    return {"images": len(images), "tries": len(shares), "mean": round(sum(shares) / len(shares), 4), "most": round(max(shares), 4)}


def _exchanged(images: Sequence[Image]) -> list[list[RegionNegatives]]:
    rows = [row for unit in Exchange(ExchangeParams(), _CONTEXT).process(_units(images)) for row in unit]
    return [row.regions for row in rows if isinstance(row, ExchangeRow)]


def _with(image: Image, rows: Iterable[Row]) -> Image:
    upstream: Mapping[type[Row], Row] = {**image.upstream, **{type(row): row for row in rows}}
    return Image(image.corpus, upstream=upstream)


def _units(images: Sequence[Image]) -> list[list[Image]]:
    return [list(images[start : start + _UNIT]) for start in range(0, len(images), _UNIT)]


def _sampled(images: Sequence[Image], num: int) -> list[Image]:
    return random.Random(0).sample(list(images), num)


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
