"""Throughput and tokens: what runs/<id>.json say of the current fingerprints, and what the tables say each answer cost."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from pipeline.report.blocks import Bars, Block, Fact, Facts, Grid, Panel, share
from pipeline.report.run_tables import RunTables, column_values

SHOWN_RUNS = 12


class SpeedPanel:
    """Reads the run records once and counts usage as tables come by."""

    def __init__(self, run: RunTables) -> None:
        self.wants: Mapping[str, Sequence[str]] = {
            node.name: ("usage",) for node in run.state.graph if "usage" in node.row_type.model_fields
        }
        self._fingerprints = {node.name: node.fingerprint for node in run.state.graph}
        self._records = _records(run)
        self._usage: dict[str, Counter[str]] = {}
        self._rungs: dict[str, Counter[str]] = {}

    def add(self, stage: str, table: pa.Table) -> None:
        usage = self._usage.setdefault(stage, Counter())
        rungs = self._rungs.setdefault(stage, Counter())
        for used in column_values(table, "usage"):
            usage["images"] += 1
            for name in ("attempts", "prompt_tokens", "completion_tokens"):
                usage[name] += (used or {}).get(name) or 0
            rungs.update((used or {}).get("rungs") or ())

    def panel(self) -> Panel:
        total: Counter[str] = Counter()
        for record in self._records:
            for figures in record["stages"].values():
                total.update({name: figures.get(name, 0) for name in ("images", "tokens", "deaths")})
        seconds = sum(record.get("seconds", 0) for record in self._records)
        facts = [
            Fact("runs", len(self._records), "that worked on these fingerprints"),
            Fact("seconds in all", round(seconds), "from start to end of each run, starts of engines included"),
            Fact("tokens written", total["tokens"]),
            Fact("tokens a second", share(total["tokens"], seconds), form="mean"),
            Fact("workers that died", total["deaths"]),
        ]
        blocks: list[Block] = [Facts("", facts), self._by_stage(), self._costs(), self._by_run()]
        for stage, rungs in self._rungs.items():
            if set(rungs) - {"parsed"}:
                blocks.append(Bars(f"How {stage} got its answers", dict(rungs.most_common()), sum(rungs.values()), "share of questions"))
        return Panel("speed", "Throughput and tokens", "What it took. A run that is going on is not among these until it ends.", blocks)

    def _by_stage(self) -> Grid:
        rows: dict[str, dict[str, int | float | str | None]] = {}
        for stage, fingerprint in self._fingerprints.items():
            figures = [
                record["stages"][stage]
                for record in self._records
                if record.get("fingerprints", {}).get(stage) == fingerprint and stage in record["stages"]
            ]
            figures = [figure for figure in figures if figure.get("images")]
            if figures:
                wall = sum(figure["wall_s"] for figure in figures)
                images, tokens = sum(figure["images"] for figure in figures), sum(figure["tokens"] for figure in figures)
                rows[stage] = {
                    "images": images,
                    "wall s": round(wall, 1),
                    "images a second": _rate(images, wall),
                    "tokens": tokens,
                    "tokens a second": _rate(tokens, wall),
                }
        columns = ("images", "wall s", "images a second", "tokens", "tokens a second")
        return Grid("By stage", columns, rows, "wall time of its pool, in which other stages may have worked too", corner="stage")

    def _costs(self) -> Grid:
        rows = {
            stage: {
                "questions": usage["attempts"],
                "a image": _rate(usage["attempts"], usage["images"]),
                "prompt tokens an image": _rate(usage["prompt_tokens"], usage["images"]),
                "answer tokens an image": _rate(usage["completion_tokens"], usage["images"]),
                "asked again": self._rungs[stage]["asked_again"],
            }
            for stage, usage in self._usage.items()
            if usage["attempts"]
        }
        columns = ("questions", "a image", "prompt tokens an image", "answer tokens an image", "asked again")
        return Grid("What answers cost, from the tables", columns, rows, corner="stage")

    def _by_run(self) -> Grid:
        rows = {
            record["run"]: {
                "seconds": record.get("seconds"),
                "images": max((figures.get("images", 0) for figures in record["stages"].values()), default=0),
                "tokens": sum(figures.get("tokens", 0) for figures in record["stages"].values()),
                "deaths": sum(figures.get("deaths", 0) for figures in record["stages"].values()),
            }
            for record in self._records[-SHOWN_RUNS:]
        }
        return Grid("By run", ("seconds", "images", "tokens", "deaths"), rows, "the latest runs, oldest first", corner="run")


def _rate(amount: float, whole: float) -> float | None:
    return round(amount / whole, 2) if whole else None


def _records(run: RunTables) -> list[dict[str, Any]]:
    """The records of runs that share a fingerprint with this configuration, oldest first."""
    current = {(node.name, node.fingerprint) for node in run.state.graph}
    paths = [entry.path for entry in run.workdir.files("runs") if entry.path.endswith(".json")]
    records = [json.loads(content) for content in run.workdir.read_many(paths) if content]
    return [record for record in records if current & set(record.get("fingerprints", {}).items()) and record.get("stages")]
