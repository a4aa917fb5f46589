"""What the files and members of a corpus are: images, sidecars, or left out for a reason. Counts; lists nothing and reads nothing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.corpus.names import ending_of

# Reason -> how a list of counts says it. docs/formats.md explains them.
REASONS = {
    "no_decoder": "no decoder",
    "compressed": "compressed",
    "hidden": "hidden",
    "dangling_link": "links to nothing that can be read",
    "link_again": "links to a folder that is listed already",
    "no_file": "neither file nor folder",
    "gone": "gone before they were read",
    "no_image": "no image",
    "lone_sidecar": "with no image beside it",
    "other_field": "fields of a sample, none its image",
    "other_format": "of another format than the corpus",
    "metadata": "of img2dataset's own",
    "unfinished": "still being written",
}
_WITH_ENDING = frozenset(("no_decoder", "compressed", "no_image", "lone_sidecar", "other_format", "other_field"))
_MAX_LINES = 40  # of one corpus or shard; the rest is one line a reason


@dataclass(frozen=True)
class LeftOut:
    """So many files or members that end alike and are left out for one reason; `example` is one of their paths."""

    reason: str
    ending: str
    count: int
    example: str

    def __str__(self) -> str:
        return " ".join(word for word in (str(self.count), self.ending, REASONS[self.reason]) if word)


def left_out(places: Iterable[tuple[str, str]]) -> tuple[LeftOut, ...]:
    """Paths with their reasons, counted by reason and ending; the commonest first."""
    return added_up(LeftOut(reason, _ending(path, reason), 1, path) for path, reason in places)


def added_up(parts: Iterable[LeftOut]) -> tuple[LeftOut, ...]:
    """The same, each reason and ending once; beyond 40 the endings of a reason are counted as one."""
    sums: dict[tuple[str, str], LeftOut] = {}
    for part in parts:
        place = part.reason, part.ending
        if place not in sums and len(sums) >= _MAX_LINES:
            place = part.reason, "others" if part.reason in _WITH_ENDING else ""
        before = sums.get(place)
        count = part.count + (before.count if before else 0)
        sums[place] = LeftOut(*place, count, before.example if before else part.example)
    return tuple(sorted(sums.values(), key=lambda each: (-each.count, each.reason, each.ending)))


def _ending(path: str, reason: str) -> str:
    if reason not in _WITH_ENDING:
        return ""
    field = path.rpartition("/")[2].partition(".")[2].lower()
    return f".{field}" if reason == "other_field" and len(field) <= 32 else ending_of(path) or "without suffix"


@dataclass(frozen=True)
class Members:
    """What is in one shard beside its images: `members` counts all, the images too, and one for a rest that could not be read.

    Null: nobody counted them.
    """

    members: int | None
    sidecars: int = 0
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True)
class Account:
    """files - shards + members = images + sidecars + all that is left out. A folder's files are no shards.

    `uncounted` are shards that an earlier version indexed: of their members only the images are known.
    """

    files: int = 0
    shards: int = 0
    members: int = 0
    images: int = 0
    sidecars: int = 0
    left_out: Sequence[LeftOut] = ()
    uncounted: int = 0

    def counts(self) -> dict[str, int]:
        """Reason -> count of what is left out."""
        counts: dict[str, int] = {}
        for each in self.left_out:
            counts[each.reason] = counts.get(each.reason, 0) + each.count
        return counts

    def as_json(self) -> dict[str, Any]:
        """What machines read of it."""
        numbers = {name: getattr(self, name) for name in ("files", "shards", "members", "images", "sidecars", "uncounted")}
        return {**numbers, "left_out": self.counts(), "left_out_files": [vars(each) for each in self.left_out]}

    def lines(self) -> list[str]:
        """What a person reads of it: what there is, and what is left out."""
        inside = f" and {self.members} members of {self.shards} shards" if self.shards else ""
        lines = [f"corpus: {self.files} files{inside}: {self.images} images, {self.sidecars} sidecars"]
        if self.left_out:
            lines.append(f"left out: {', '.join(str(each) for each in self.left_out)}")
        if self.uncounted:
            lines.append(
                f"{self.uncounted} shards were indexed by an earlier version: of their members only the images are counted; "
                "a local file is read and counted once its time changes (touch), and nothing of it is computed again"
            )
        return lines
