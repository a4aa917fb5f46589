"""Which images the sample browser shows: by digest, so the same each time, and from every way in which images ended."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.corpus.index import Unit
from pipeline.corpus.update import read_rows
from pipeline.report.funnel import Funnel, Stratum
from pipeline.report.run_tables import RunTables
from pipeline.report.samples.unit_rows import Step, outcome, trails
from schemas.rows import CorpusRow

OK_SHARE = 0.5


@dataclass(frozen=True)
class Chosen:
    """One image of the sample: its unit, its place in it, its index row and its steps."""

    unit: Unit
    position: int
    row: CorpusRow
    steps: tuple[Step, ...]

    @property
    def outcome(self) -> Stratum:
        return outcome(self.steps)

    @property
    def identity(self) -> tuple[str, str]:
        """Key and digest of the bytes: what the same image is known by in another run."""
        return self.row.key, self.row.sha256 or ""


class Chooser:
    """Draws images of one run, stratum by stratum."""

    def __init__(self, run: RunTables, funnel: Funnel) -> None:
        self.run, self.funnel = run, funnel
        self._units: dict[str, list[Chosen]] = {}

    def choose(self, num: int) -> list[Chosen]:
        """At most `num` images: up to half that are ok, the rest in turn from each way to be lost or pending."""
        strata = sorted(self.funnel.items, key=lambda s: (s.stage, s.status, s.reason))
        oks = [stratum for stratum in strata if stratum.status == "ok"]
        others = [self._images(stratum) for stratum in strata if stratum.status != "ok"]
        chosen = _take(others, num - int(num * OK_SHARE))
        chosen += _take([self._images(stratum) for stratum in oks], num - len(chosen))
        chosen += _take(others, num - len(chosen))
        return sorted(
            {(c.unit.id, c.position): c for c in chosen}.values(), key=lambda c: (c.unit.shard_number, c.unit.first_row, c.position)
        )

    def _images(self, stratum: Stratum) -> Iterator[Chosen]:
        items = self.run.items(stratum.stage)
        for name in self.funnel.items[stratum]:
            for unit in items[name].units:
                yield from (image for image in self.unit(unit) if image.outcome == stratum)

    def unit(self, unit: Unit) -> list[Chosen]:
        """The unit's images in order of digest."""
        if unit.id not in self._units:
            rows, steps = read_rows(self.run.workdir, unit), trails(self.run, unit)
            images = [Chosen(unit, i, row, tuple(step)) for i, (row, step) in enumerate(zip(rows, steps, strict=True))]
            self._units[unit.id] = sorted(images, key=lambda image: _digest(image.row.key))
        return self._units[unit.id]


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _take(strata: list[Iterator[Chosen]], num: int) -> list[Chosen]:
    """One of each in turn until there are `num` or none is left; goes on where it stopped when it is called again."""
    chosen: list[Chosen] = []
    waiting = list(strata)
    while waiting and len(chosen) < num:
        images = waiting.pop(0)
        image = next(images, None)
        if image is not None:
            chosen.append(image)
            waiting.append(images)
    return chosen
