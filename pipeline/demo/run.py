"""`fgdata demo`: corpus, configuration, run, score. The configuration it writes is one that `fgdata run` continues."""

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

from pipeline import api
from pipeline.config.model import ConfigError
from pipeline.corpus.update import read_rows
from pipeline.demo.blind import blind_figures
from pipeline.demo.corpus import write_corpus
from pipeline.demo.score import SceneRows, score
from pipeline.ledger.items import Item
from pipeline.ledger.state import State
from pipeline.run.watch.progress import Watcher
from schemas.rows import BalanceRow, CaptionRow, HardNegativeRow, MineRow, RegionCaptionRow, Row, SelectRow, VerifyRow

ENGINES = ("transformers", "vllm")
# (figure, its bar): at least, or where the bar is negative at most. A figure by type is held to it in every type.
_BARS: tuple[tuple[str, float | None], ...] = (
    ("caption_attribute_precision", 0.95),
    ("caption_attribute_recall", 0.95),
    ("box_recall_iou50", 0.95),
    ("box_precision_iou50", 0.95),
    ("box_recall_iou50_small", 0.90),
    ("box_phrase_accuracy", None),
    ("region_attribute_accuracy", 0.98),
    ("region_leakage_rate", -0.01),
    ("judge_error_rate", None),
    ("negatives_false_rate_by_type", 0.995),
    ("negatives_per_region", 8.0),
    ("released_negatives_per_region", None),
    ("blind_top1_noun_disjoint", None),
    ("blind_gain_high", -0.05),
)

_CONFIG = """\
# Written by `fgdata demo`; `fgdata run` continues it.
workdir: work
prompts_dir: "builtin:demo"
corpus: {{path: corpus, format: webdataset, unit_size: 24}}
engines:
  captioner: {{kind: {kind}, model: "builtin:captioner", dtype: float32{captioner}}}
  detector: {{kind: grounding-dino, model: "builtin:detector", dtype: float32, batch_size: 16, default_min_score: {min_score}}}
  writer: {{kind: {kind}, model: "builtin:writer", dtype: float32{writer}}}
  judge: {{kind: {kind}, model: "builtin:judge", dtype: float32{judge}}}
stages:
  caption: {{prompt: demo}}
  ground: {{phrases: chunker, min_stored_score: 0.05}}
  select: {{}}
  region_caption: {{prompt: demo, probe_share: 0.15}}
  hard_negative: {{prompt: demo}}
  mine: {{}}
  verify: {{prompt: choose, ask: choose, outline: true, crop_scale: 1.3, crop_min_side_px: 24}}
  balance: {{}}
  export: {{finehard: true, txt: short}}
placement:
  schedule: auto
  stages:
    caption: {{cpus: {cpus}}}
    ground: {{cpus: {cpus}}}
    region_caption: {{cpus: {cpus}}}
    hard_negative: {{cpus: {cpus}}}
    verify: {{cpus: {cpus}}}
export_to: dataset
"""
_ENGINE_FIELDS = {
    "transformers": {"captioner": ", batch_size: 24", "writer": ", batch_size: 64", "judge": ", batch_size: 128"},
    "vllm": {
        "captioner": ", enforce_eager: true, max_num_seqs: 32",
        "writer": ", enforce_eager: true, max_num_seqs: 32",
        "judge": ", enforce_eager: true, max_num_seqs: 128",
    },
}
# Chosen on scenes that no training saw; see docs/decisions/demo-checkpoints.md.
DETECTOR_MIN_SCORE = 0.25


def config_text(engine: str) -> str:
    """The configuration of a demo with these engines."""
    return _CONFIG.format(kind=engine, min_score=DETECTOR_MIN_SCORE, cpus=min(2, os.cpu_count() or 1), **_ENGINE_FIELDS[engine])


def run_demo(
    out: Path, num_images: int, seed: int, engine: str, watch: Callable[[Sequence[str]], Watcher] | None
) -> tuple[api.Outcome, dict[str, Any]]:
    """Write the corpus and the configuration into `out`, run, score, and write score.json.

    Raises: ConfigError where the engine is unknown or `out` holds something else.
    """
    if engine not in ENGINES:
        raise ConfigError(f"--engine {engine}: must be one of {', '.join(ENGINES)}")
    started = time.monotonic()
    _check_folder(out)
    write_corpus(out / "corpus", num_images, seed)
    config = out / "config.yaml"
    config.write_text(config_text(engine))
    job = api.open_job(config)
    outcome = api.run(job, watch)
    state = job.state()
    rows = list(_scene_rows(state))
    figures = score(rows, _statuses(state), engine, time.monotonic() - started) | blind_figures(out / "dataset", rows)
    earlier = out / "score.json"
    if outcome.run_id is None and earlier.is_file():
        figures["seconds"] = json.loads(earlier.read_text())["seconds"]  # of the run, not of looking at it again
    earlier.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n")
    return outcome, figures


def _check_folder(out: Path) -> None:
    """Raises: ConfigError where `out` holds files by a demo's names that no demo wrote."""
    others = [name for name in ("config.yaml", "score.json", "work", "dataset") if (out / name).exists()]
    if others and not (out / "corpus" / "demo.json").is_file():
        raise ConfigError(f"{out} holds {others[0]}, and no corpus of a demo: nothing of it is replaced; choose another --out")


def score_table(figures: dict[str, Any], out: Path) -> str:
    """The figures beside their bars, and where to look."""
    table = RichTable(
        title=f"{figures['images_in']} held-out scenes, {figures['regions']} regions, {figures['engine']} engine, {figures['seconds']} s"
    )
    for column in ("figure", "measured", "bar"):
        table.add_column(column, justify="left" if column == "figure" else "right")
    for name, bar in _BARS:
        value = figures.get(name)
        parts = (
            {f"{name.removesuffix('_by_type')}, {kind}": rate for kind, rate in value.items()} if isinstance(value, dict) else {name: value}
        )
        for label, rate in parts.items():
            met = "" if bar is None or rate is None or (rate <= -bar if bar < 0 else rate >= bar) else "  missed"
            bound = "" if bar is None else f"<= {-bar:g}" if bar < 0 else f">= {bar:g}"
            table.add_row(label, "-" if rate is None else f"{rate:.3f}", bound + met)
    text = _render(table)
    places = {"data set": "dataset", "tables": "work", "figures": "score.json", "configuration": "config.yaml"}
    return text + "\n".join(f"{label:<14} {out / name}" for label, name in places.items())


def _render(table: RichTable) -> str:
    console = Console(width=100, no_color=True)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


# Field of SceneRows -> stage and row type.
_SCENE_ROWS: dict[str, tuple[str, type[Row]]] = {
    "caption": ("caption", CaptionRow),
    "select": ("select", SelectRow),
    "regions": ("region_caption", RegionCaptionRow),
    "negatives": ("hard_negative", HardNegativeRow),
    "mined": ("mine", MineRow),
    "verified": ("verify", VerifyRow),
    "released": ("balance", BalanceRow),
}


def _scene_rows(state: State) -> Iterator[SceneRows]:
    for item in state.items("caption"):
        by_name = {name: _ok_rows(state, stage, item, kind) for name, (stage, kind) in _SCENE_ROWS.items() if stage in state.nodes}
        for corpus_row in read_rows(state.ledger.workdir, item.units[0]):
            rows: dict[str, Any] = {name: of_stage.get(corpus_row.key) for name, of_stage in by_name.items()}
            yield SceneRows(corpus_row.key, **rows)


def _ok_rows(state: State, stage: str, item: Item, row_type: type[Row]) -> dict[str, Row]:
    table = state.table(stage, item)
    assert table is not None, "the run is complete"
    return {row.key: row for row in state.ledger.read(table, row_type) if row.status == "ok"}


def _statuses(state: State) -> dict[str, int]:
    """Images by status of the last stage before the export."""
    counts: Counter[str] = Counter()
    last = [node.name for node in state.graph if node.name != "export"][-1]
    for _, table in state.current_tables(last):
        assert table is not None, "the run is complete"
        counts.update(state.ledger.summary(table).statuses)
    return dict(sorted(counts.items()))
