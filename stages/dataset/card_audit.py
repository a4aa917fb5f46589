"""The card's part on negatives: how many, from where, what was refused, and what can be told of them blind. Pure."""

from collections import Counter
from collections.abc import Sequence

from schemas.dataset import AuditSummary, ShardStats
from schemas.rows import BlindFigures
from stages.dataset.card_text import AUDIT, AUDIT_FAILED, AUDIT_INSUFFICIENT, NO_AUDIT, SMALL, UNBALANCED, UNVERIFIED
from stages.dataset.smallness import BALANCING, too_small


def negatives_part(shards: Sequence[ShardStats]) -> list[str]:
    """Tables of the negatives by type, source, level and verdict, and of what was not exported."""
    totals = {name: summed(shards, f"negatives_by_{name}") for name in ("type", "source", "level", "verdict")}
    if not totals["type"]:
        small = too_small(0, summed(shards, "negatives_rejected"), ())
        return ["There are no negatives.", *([SMALL.format(why=small)] if small else [])]
    tables = [counted(f"negatives by {name}", total) for name, total in totals.items()]
    proposed, rejected = sum(shard.negatives_proposed for shard in shards), summed(shards, "negatives_rejected")
    if rejected:
        left = f"{sum(totals['type'].values()):,} of {proposed:,} candidates were released; the others were refused:"
        tables += [left, counted("refused, by reason", rejected)]
    verdicts = {audit.verdict for shard in shards for audit in shard.audits}
    small = too_small(sum(totals["type"].values()), rejected, verdicts)
    tables += [SMALL.format(why=small)] if small else []
    tables += [UNBALANCED] if verdicts and not any(rejected[reason] for reason in BALANCING) else []
    return [*tables, *([UNVERIFIED] if totals["verdict"]["unverified"] else [])]


def audit_part(shards: Sequence[ShardStats]) -> list[str]:
    """The blind audit's figures over the set; or that there are none."""
    summaries = summarise(shards)
    if not summaries:
        return [NO_AUDIT] if any(shard.negatives for shard in shards) else []
    head = [
        "texts of",
        "items",
        "chance",
        "top-1, images unseen",
        "upper bound",
        "top-1, nouns unseen",
        "upper bound",
        "leaks",
        "blocks by verdict",
    ]
    rows = [
        [
            of,
            f"{summary.items:,}",
            *(
                "-" if value is None else f"{value:.3f}"
                for value in (
                    summary.chance,
                    summary.image_disjoint,
                    summary.image_disjoint_high,
                    summary.noun_disjoint,
                    summary.noun_disjoint_high,
                )
            ),
            ", ".join(summary.leaks) or "none",
            ", ".join(f"{verdict} {number}" for verdict, number in summary.verdicts.items()),
        ]
        for of, summary in summaries.items()
    ]
    verdicts = {verdict for summary in summaries.values() for verdict in summary.verdicts}
    warnings = [text for verdict, text in (("fail", AUDIT_FAILED), ("insufficient", AUDIT_INSUFFICIENT)) if verdict in verdicts]
    return [AUDIT, table(head, rows), *warnings]


def summarise(shards: Sequence[ShardStats]) -> dict[str, AuditSummary]:
    """What the audits of all blocks say together: means over items, the largest upper bounds, blocks by verdict."""
    distinct = dict.fromkeys(figures for shard in shards for figures in shard.audits)
    summaries = {}
    for of in ("regions", "captions"):
        blocks = [figures for figures in distinct if figures.of == of]
        if blocks:
            summaries[of] = AuditSummary(
                items=sum(block.items for block in blocks),
                chance=_mean(blocks, "chance"),
                image_disjoint=_mean(blocks, "image_disjoint"),
                image_disjoint_high=_largest(blocks, "image_disjoint_high"),
                noun_disjoint=_mean(blocks, "noun_disjoint"),
                noun_disjoint_high=_largest(blocks, "noun_disjoint_high"),
                leaks=sorted({leak for block in blocks for leak in block.leaks}),
                verdicts=dict(sorted(Counter(block.verdict for block in blocks).items())),
            )
    return summaries


def _mean(blocks: Sequence[BlindFigures], name: str) -> float | None:
    known = [(value, block.items) for block in blocks if (value := getattr(block, name)) is not None]
    return sum(value * items for value, items in known) / sum(items for _, items in known) if known else None


def _largest(blocks: Sequence[BlindFigures], name: str) -> float | None:
    return max((value for block in blocks if (value := getattr(block, name)) is not None), default=None)


def counted(noun: str, counts: Counter[str]) -> str:
    """A table of names and numbers."""
    return table([noun, "number"], [[name, f"{number:,}"] for name, number in sorted(counts.items())])


def summed(shards: Sequence[ShardStats], counts: str) -> Counter[str]:
    """A field of counts, over all shards."""
    total: Counter[str] = Counter()
    for shard in shards:
        total.update(getattr(shard, counts))
    return total


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; what a cell says stands on one line."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in line) + " |" for line in lines)
