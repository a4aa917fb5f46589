"""Phrases, detections and regions: what the captions named and the detector found, from ground's and select's tables."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.report.blocks import Bars, Binned, Fact, Facts, Panel, Whole, mean, share
from pipeline.report.run_tables import child, children, column_values, explode

SCORE_EDGES = [step / 25 for step in range(26)]
AREA_EDGES = [0.0, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0001]
AREA_LABELS = ["0.1", "0.25", "0.5", "1", "2.5", "5", "10", "25", "50", "100"]
SMALL = 0.01


class GroundingPanel:
    """Counts per image and per box; a box's size is its share of the image."""

    wants: Mapping[str, Sequence[str]] = {
        "ground": ("phrases.mark", "detections.score", "detections.agreement", "rejects"),
        "select": ("width", "height", "regions.xyxy", "regions.start", "regions.phrase", "rejects", "min_score"),
    }

    def __init__(self) -> None:
        self._images: Counter[str] = Counter()
        self._marks: Counter[str] = Counter()
        self._rejects: Counter[str] = Counter()
        self._regions: Counter[int] = Counter()
        self._scores = np.zeros(len(SCORE_EDGES) - 1, np.int64)
        self._agreement = np.zeros(len(SCORE_EDGES) - 1, np.int64)
        self._unread: Counter[str] = Counter()
        self._areas = np.zeros(len(AREA_EDGES) - 1, np.int64)
        self._num: Counter[str] = Counter()
        self._min_score: float | None = None

    def add(self, stage: str, table: pa.Table) -> None:
        ok = sum(status == "ok" for status in column_values(table, "status"))
        self._images[stage] += ok
        (self._add_ground if stage == "ground" else self._add_select)(table)

    def _add_ground(self, table: pa.Table) -> None:
        marks = child(explode(table, "phrases"), "mark")
        if marks is not None:
            self._num["phrases"] += len(marks)
            self._marks.update(mark for mark in marks.to_pylist() if mark)
        for rejects in column_values(table, "rejects"):
            self._unread.update(dict(rejects or ()))
        detections = explode(table, "detections")
        for name, counts in (("score", self._scores), ("agreement", self._agreement)):
            values = child(detections, name)
            if values is not None:
                counts += np.histogram(values.drop_null().to_numpy().astype(np.float64), SCORE_EDGES)[0]
        self._num["detections"] += len(detections) if detections is not None else 0

    def _add_select(self, table: pa.Table) -> None:
        is_ok = [status == "ok" for status in column_values(table, "status")]
        lists = list(column_values(table, "regions"))
        self._regions.update(len(regions) for regions, ok in zip(lists, is_ok, strict=False) if ok)
        for regions in lists:
            self._num["grounded_phrases"] += len({(region["start"], region["phrase"]) for region in regions})
        for rejects in column_values(table, "rejects"):
            self._rejects.update(dict(rejects or ()))
        thresholds = [value for value in column_values(table, "min_score") if value is not None]
        self._min_score = thresholds[0] if thresholds else self._min_score
        self._add_areas(table)

    def _add_areas(self, table: pa.Table) -> None:
        regions: Any = children(pa.StructArray.from_arrays([table.column("regions").combine_chunks()], ["regions"]), "regions")
        boxes, owners = child(regions[0], "xyxy"), regions[1].to_numpy()
        if boxes is None or not len(boxes):
            return
        corners = pc.list_flatten(boxes).to_numpy().reshape(-1, 4)
        sides = [np.array([value or 0 for value in column_values(table, name)], np.float64)[owners] for name in ("width", "height")]
        frame = sides[0] * sides[1]
        covered = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
        shares = np.divide(covered, frame, out=np.zeros_like(covered), where=frame > 0)
        self._num["regions"] += len(shares)
        self._num["small"] += int((shares < SMALL).sum())
        self._areas += np.histogram(np.clip(shares, 0, 1), AREA_EDGES)[0]

    def panel(self) -> Panel:
        num = self._num
        return Panel(
            "grounding",
            "Grounding",
            "Phrases that the captions name, boxes that the detector found, and what select kept.",
            [
                Facts("", self._facts()),
                Whole("Boxes an image", self._regions, "boxes"),
                *self._histograms(),
                Bars("Detections dropped by select", dict(self._rejects.most_common()), num["detections"], "share of all detections"),
                Bars("Listed phrases that were refused", dict(self._unread.most_common()), num["phrases"], "beside the phrases kept"),
                Bars("Phrases not asked of the detector", dict(self._marks.most_common()), num["phrases"], "share of all phrases"),
            ],
        )

    def _facts(self) -> list[Fact]:
        num, asked = self._num, self._num["phrases"] - sum(self._marks.values())
        return [
            Fact("phrases an image", share(num["phrases"], self._images["ground"]), form="mean"),
            Fact("of them asked of the detector", share(asked, num["phrases"]), "the others are marked, below", "share"),
            Fact("asked phrases with a box", share(num["grounded_phrases"], asked), "after select's thresholds", "share"),
            Fact("boxes an image", mean(self._regions), form="mean"),
            Fact("images without a box", share(self._regions[0], sum(self._regions.values())), form="share"),
            Fact("boxes under 1 % of the image", share(num["small"], num["regions"]), form="share"),
        ]

    def _histograms(self) -> list[Binned]:
        areas, scores, agreement = (counts.tolist() for counts in (self._areas, self._scores, self._agreement))
        ends = [f"{edge:g}" for edge in SCORE_EDGES[1:]]
        threshold = "" if self._min_score is None else f"select's threshold {self._min_score:g}"
        sizes, floor = "of regions; labels are upper bounds in per cent", "those above the floor; the threshold moves without the detector"
        return [
            Binned("Box size, share of the image", AREA_EDGES, areas, AREA_LABELS, sizes),
            Binned("Scores of all detections", SCORE_EDGES, scores, ends, floor, self._min_score, threshold),
            Binned("Agreement of the second detector", SCORE_EDGES, agreement, ends, "IoU of its best box for the same phrase"),
        ]
