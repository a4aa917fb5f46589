"""What a shard's statistics count, image by image. Pure; the files are counted where they are written."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from schemas.dataset import ExportRecord, FileDigest, ShardStats, TableRecord
from schemas.rows import BlindFigures, ExportRow, RegionCaption, RegionCaptionRow
from stages.negatives.candidates import Released


@dataclass
class Tally:
    """The rows of a shard so far, and counts of what its exported records hold."""

    rows: list[ExportRow] = field(default_factory=list)
    negatives: Counter[tuple[str, str, str, int]] = field(default_factory=Counter)  # by type, verdict, source and level
    rejects: Counter[str] = field(default_factory=Counter)
    num_proposed: int = 0
    num_caption: int = 0
    num_flagged: int = 0
    audits: dict[BlindFigures, None] = field(default_factory=dict)
    captions: Counter[str] = field(default_factory=Counter)
    words: Counter[str] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)
    suffixes: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)
    made_by: Counter[tuple[str | None, ...]] = field(default_factory=Counter)

    def add(self, row: ExportRow, record: ExportRecord | None = None, regions: RegionCaptionRow | None = None) -> None:
        """One image: its row, and its record and region captions where it was exported."""
        self.rows.append(row)
        if record is None:
            return
        for name, text in (("alt", record.alt), ("long", record.long), ("short", record.short)):
            if text is not None:
                self.captions[name] += 1
                self.words[name] += len(text.split())
        if regions and regions.regions:
            self._add_checks(regions.regions)

    def _add_checks(self, regions: Sequence[RegionCaption]) -> None:
        captioned = unique = probed = leaked = 0
        for region in regions:
            captioned += region.short is not None
            unique += region.is_unique is True
            probed += region.leaked is not None
            leaked += region.leaked is True
        for name, count in (("captioned", captioned), ("unique", unique), ("probed", probed), ("leaked", leaked)):
            self.checks[name] += count

    def add_source(self, row: TableRecord, suffix: str | None) -> None:
        """Whence an exported image and its texts came; the suffix of its member, null without pixels."""
        if suffix is not None:
            self.suffixes[suffix] += 1
        self.licences[row.licence or "unnamed"] += 1
        for maker in row.made_by:
            self.made_by[maker.of, maker.kind, maker.model, maker.revision] += 1

    def add_negatives(self, denied: Released) -> None:
        """What became of an exported image's candidates."""
        for negatives in denied.negatives.values():
            for negative in negatives:
                self.negatives[negative.type, negative.verdict, negative.source, negative.level] += 1
        for reason, count in denied.rejects.items():
            self.rejects[reason] += count
        self.num_proposed += denied.num_proposed
        self.num_caption += len(denied.of_caption)
        self.audits |= dict.fromkeys(denied.audits)

    def stats(self, name: str, tar: FileDigest, parquet: FileDigest, finehard: FileDigest | None, finehard_records: int) -> ShardStats:
        """The shard's statistics, with what was written of it."""
        exported = [row for row in self.rows if row.status == "ok"]
        return ShardStats(
            name=name,
            statuses=_sorted(Counter(row.status for row in self.rows)),
            reasons=_sorted(Counter(row.reason for row in self.rows if row.reason)),
            images=len(exported),
            regions=sum(row.num_regions for row in exported),
            negatives=sum(row.num_negatives for row in exported),
            negatives_by_type=self._negatives_by(0),
            negatives_by_verdict=self._negatives_by(1),
            negatives_by_source=self._negatives_by(2),
            negatives_by_level=self._negatives_by(3),
            caption_negatives=self.num_caption,
            negatives_proposed=self.num_proposed,
            negatives_rejected=_sorted(self.rejects),
            audits=list(self.audits),
            captions=_sorted(self.captions),
            caption_words=_sorted(self.words),
            region_checks=_sorted(self.checks),
            suffixes=_sorted(self.suffixes),
            licences=_sorted(self.licences),
            made_by=_added((f"{of}: {' '.join(filter(None, parts))}", count) for (of, *parts), count in self.made_by.items()),
            tar=tar,
            parquet=parquet,
            finehard=finehard,
            finehard_records=finehard_records,
            finehard_flagged=self.num_flagged,
        )

    def _negatives_by(self, place: int) -> dict[str, int]:
        return _added((str(parts[place]), count) for parts, count in self.negatives.items())


def _added(counts: Iterable[tuple[str, int]]) -> dict[str, int]:
    added: Counter[str] = Counter()
    for name, count in counts:
        added[name] += count
    return _sorted(added)


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items()))
