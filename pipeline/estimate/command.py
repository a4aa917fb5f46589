"""What `fgdata estimate` does: draws a sample, runs it, extrapolates, and says what dominates and what would save."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.api import failures, refuse
from pipeline.config.graph import build_graph
from pipeline.config.model import Config, ConfigError
from pipeline.config.read import load_config
from pipeline.estimate.figures import Corpus, Figure, Measured, StageEstimate, estimated, rated, shares, total
from pipeline.estimate.growth import Growth, growths
from pipeline.estimate.measure import Taken, files_of, run_sample, scratch_of, taken_by
from pipeline.estimate.sample import draw
from pipeline.run.preflight import check_config
from pipeline.run.watch.flow import duration
from pipeline.run.watch.progress import Watcher

_COLUMNS = ("stage", "images/s", "questions", "tokens", "GPU-hours", "CPU-hours", "bytes", "objects", "cost")


def estimate(
    path: Path, num: int, price: float | None, watch: Callable[[Sequence[str]], Watcher], say: Callable[[str], None]
) -> tuple[dict[str, Any], str]:
    """The content for machines and the text for people. What the sample wrote is removed.

    Raises: ConfigError where the configuration is wrong or the sample cannot be run; CorpusError where there is no corpus.
    """
    config = load_config(path)
    if not config.stages:
        raise ConfigError(f"{path}: no stage is to be run")
    refuse(failures(check_config(config, build_graph(config))))
    say(f"drawing {num} images of {config.corpus.path}")
    sample = draw(config, num)
    began = time.monotonic()
    with scratch_of(config) as scratch:
        job, state, stopwatch = run_sample(config, sample, scratch, watch)
        say("looking at what grows with a block")
        growing = growths(job, state)
        taken = {node.name: taken_by(node, state, stopwatch) for node in job.graph}
        files = files_of(job, [row.size for row in sample.rows])
    corpus = Corpus.of(sample, config.corpus.unit_size, config.corpus.block_images)
    stages = [
        estimated(
            Measured(node.name, node.scope, taken[node.name], growing.get(node.name, Growth()), config.resources(node.name)),
            corpus,
            files,
            price,
        )
        for node in job.graph
    ]
    whole = rated(total(stages, config.placement.schedule == "streaming", stopwatch.setup_s), corpus.images)
    savings = _savings(config, stages, taken, whole)
    content = _content(stages, whole, corpus, savings) | {"sample_images": len(sample.rows), "seconds": round(time.monotonic() - began, 1)}
    return content, _text(config, stages, whole, corpus, savings, len(sample.rows))


def _content(stages: Sequence[StageEstimate], whole: StageEstimate, corpus: Corpus, savings: Mapping[str, Any]) -> dict[str, Any]:
    elapsed = whole.elapsed_s
    return {
        "images": round(corpus.images.value),
        "images_low": round(corpus.images.low),
        "images_high": round(corpus.images.high),
        "stages": [stage.as_json() for stage in stages],
        "total": {key: value for key, value in whole.as_json().items() if key != "name"},
        "elapsed_s": round(elapsed.value, 1),
        "elapsed_s_low": round(elapsed.low, 1),
        "elapsed_s_high": round(elapsed.high, 1),
        "savings": dict(savings),
    }


def _measure_of_cost(stages: Sequence[StageEstimate]) -> str:
    """GPU-hours where any are taken, else CPU-hours."""
    return "gpu_hours" if any(stage.figures.get("gpu_hours", Figure(0, 0, 0)).value for stage in stages) else "cpu_hours"


def _savings(
    config: Config, stages: Sequence[StageEstimate], taken: Mapping[str, Taken], whole: StageEstimate
) -> dict[str, dict[str, float]]:
    """What half the questions of each judging stage, and images of half the pixels, would save at most of the hours."""
    name = _measure_of_cost(stages)
    savings: dict[str, dict[str, float]] = {}
    for stage in stages:
        hours = stage.figures.get(name)
        if hours is None or not any(taken[stage.name].questions):
            continue
        if "judge" in config.specs(stage.name):
            savings["half the judge's questions"] = {name: round(hours.value / 2, 4), "share": _share(hours, whole.figures[name], 0.5)}
        prompt_share = taken[stage.name].prompt_share
        if not prompt_share:
            continue
        saved = savings.setdefault("images of half the pixels, at most", {name: 0.0, "share": 0.0})
        saved[name] = round(saved[name] + hours.value * prompt_share / 2, 4)
        saved["share"] = round(saved["share"] + _share(hours, whole.figures[name], prompt_share / 2), 4)
    return savings


def _share(part: Figure, whole: Figure, factor: float) -> float:
    return round(part.value * factor / whole.value, 4) if whole.value else 0.0


def _text(
    config: Config, stages: Sequence[StageEstimate], whole: StageEstimate, corpus: Corpus, savings: Mapping[str, Any], num: int
) -> str:
    rows = [_COLUMNS, *(_cells(stage) for stage in stages), _cells(whole)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    table = [
        "  ".join(cell.rjust(width) if i else cell.ljust(width) for i, (cell, width) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]
    images = corpus.images
    bounds = "" if images.low == images.high else f" ({images.low:,.0f} to {images.high:,.0f})"
    name = _measure_of_cost(stages)
    parts = [f"{stage} {share:.0%}" for stage, share in list(shares(stages, name).items())[:3]]
    order = "side by side" if config.placement.schedule == "streaming" else "one after another"
    elapsed = whole.elapsed_s
    return "\n".join(
        [
            f"{images.value:,.0f} images{bounds}, from a sample of {num}; in brackets 95 % bounds",
            *table,
            f"from start to end, stages {order}: {duration(elapsed.value)} ({duration(elapsed.low)} to {duration(elapsed.high)})",
            f"most {'GPU' if name == 'gpu_hours' else 'CPU'}-hours: {', '.join(parts) or 'none measured'}",
            *(f"{change} would save {saved['share']:.0%} of them" for change, saved in savings.items()),
        ]
    )


def _cells(stage: StageEstimate) -> tuple[str, ...]:
    names = ("images_s", "questions_per_image", "tokens_per_image", "gpu_hours", "cpu_hours", "bytes", "objects", "cost_usd")
    return (stage.name, *(_cell(stage.figures.get(name)) for name in names))


def _cell(figure: Figure | None) -> str:
    if figure is None:
        return "-"
    if not figure.value:
        return "0"
    is_exact = figure.low == figure.high
    return _short(figure.value) + ("" if is_exact else f" ({_short(figure.low)} to {_short(figure.high)})")


def _short(value: float) -> str:
    """Three digits, with k, M, G or T."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size * 0.9995:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"
