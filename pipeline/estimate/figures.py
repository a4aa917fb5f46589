"""From what a sample took to what the whole takes: each figure with 95 % bounds. Runs nothing, reads nothing."""

import math
import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.estimate.growth import Growth
from pipeline.estimate.measure import Files, Taken
from pipeline.estimate.sample import Sample
from stages.base import Scope
from stages.engines.specs import Resources

_RESAMPLES = 400
_SEED = 11
_ONE_UNIT_DIFFERS = 0.5  # a rule of thumb: one unit, or one block, says nothing of how units differ
_HOUR_S = 3600
_NAMES = ("images_s", "questions_per_image", "tokens_per_image", "gpu_hours", "cpu_hours", "bytes", "objects", "cost_usd")


@dataclass(frozen=True)
class Figure:
    """A value with its bounds."""

    value: float
    low: float
    high: float

    def times(self, factor: float, low: float | None = None, high: float | None = None) -> "Figure":
        """Multiplied, by a factor that may have bounds of its own."""
        return Figure(self.value * factor, self.low * (factor if low is None else low), self.high * (factor if high is None else high))

    def plus(self, other: "Figure") -> "Figure":
        """The sum; the bounds as if both erred alike, since they share one sample."""
        return Figure(self.value + other.value, self.low + other.low, self.high + other.high)


ZERO = Figure(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Corpus:
    """The whole: images with bounds, shards, and how units and blocks are cut."""

    images: Figure
    num_shards: int
    unit_size: int
    block_images: int

    @classmethod
    def of(cls, sample: Sample, unit_size: int, block_images: int) -> "Corpus":
        """What a sample says of it."""
        images = Figure(sample.num_images, sample.num_images_low, sample.num_images_high)
        return cls(images, sample.num_shards, unit_size, block_images)

    @property
    def num_units(self) -> float:
        """Of each shard the last unit is not full."""
        return self.num_shards * math.ceil(max(1.0, self.images.value / self.num_shards) / self.unit_size)

    @property
    def block_size(self) -> float:
        """Images in a full block, or in the only one."""
        return min(self.images.value, float(self.block_images))


@dataclass
class StageEstimate:
    """One stage. `elapsed_s`: of all its workers at once, their start among it."""

    name: str
    figures: dict[str, Figure] = field(default_factory=dict)
    whys: dict[str, str] = field(default_factory=dict)
    elapsed_s: Figure = ZERO

    def as_json(self) -> dict[str, Any]:
        content: dict[str, Any] = {"name": self.name}
        for name in _NAMES:
            figure = self.figures.get(name)
            bounds = (None,) * 3 if figure is None else (figure.value, figure.low, figure.high)
            for suffix, value in zip(("", "_low", "_high"), bounds, strict=True):
                content[f"{name}{suffix}"] = None if value is None else round(value, 6)
            if figure is None:
                content[f"{name}_why"] = self.whys.get(name, "nothing of it was measured")
        return content


@dataclass(frozen=True)
class Measured:
    """All that is known of one stage."""

    name: str
    scope: Scope
    taken: Taken
    growth: Growth
    resources: Resources


def estimated(stage: Measured, corpus: Corpus, files: Files, price: float | None) -> StageEstimate:
    """What the stage takes of the whole corpus."""
    taken, estimate = stage.taken, StageEstimate(stage.name)
    factors = stage.growth.factor(corpus.block_size)
    questions, tokens = mean_of(taken.questions).times(*factors), mean_of(taken.tokens).times(*factors)
    estimate.figures |= {"questions_per_image": questions, "tokens_per_image": tokens}
    if stage.scope == "shard":
        _add_files(estimate, corpus, files)
    else:
        spread = relative(mean_of(taken.weights))
        rows = spread.times(taken.bytes_an_image).times(*factors)
        estimate.figures["bytes"] = over(corpus.images, rows).plus(_exact(taken.bytes_a_file * corpus.num_units))
        estimate.figures["objects"] = _exact(corpus.num_units)
    if taken.seconds:
        _add_times(estimate, stage, corpus, factors)
    _add_cost(estimate, price)
    return estimate


def _add_files(estimate: StageEstimate, corpus: Corpus, files: Files) -> None:
    if not files.num_shards:
        estimate.whys |= dict.fromkeys(("bytes", "objects"), files.refused or "nothing was exported")
        return
    estimate.figures["objects"] = _exact(corpus.num_shards * files.num_of_shards / files.num_shards + files.num_of_whole)
    an_image = relative(mean_of(files.sizes)).times(files.bytes_of_shards / max(1, len(files.sizes)))
    estimate.figures["bytes"] = over(corpus.images, an_image).plus(_exact(files.bytes_of_whole))


def _add_times(estimate: StageEstimate, stage: Measured, corpus: Corpus, factors: tuple[float, float, float]) -> None:
    """A unit stage goes on at the sample's pace; a block stage takes longer an image the larger its block is."""
    taken, resources = stage.taken, stage.resources
    num = max(1, len(taken.weights))
    per_image = pace_of(taken).times(*factors) if stage.scope == "unit" else pace_of(taken)
    if stage.scope == "block":
        grows = max(1.0, corpus.block_size / num)
        per_image = per_image.times(*(grows ** (power - 1) for power in stage.growth.exponent))
    work_s = over(corpus.images, per_image)
    worker_s = work_s.plus(_exact(taken.starting_s * resources.actors))
    estimate.elapsed_s = work_s.times(1 / resources.actors).plus(_exact(taken.starting_s))
    rate = per_image.times(1 / resources.actors)
    estimate.figures["images_s"] = Figure(1 / rate.value, 1 / rate.high, 1 / rate.low)
    estimate.figures["gpu_hours"] = worker_s.times(resources.gpus * resources.tensor_parallel / _HOUR_S)
    estimate.figures["cpu_hours"] = worker_s.times(resources.cpus / _HOUR_S)


def _add_cost(estimate: StageEstimate, price: float | None) -> None:
    hours = estimate.figures.get("gpu_hours")
    if price is not None and hours is not None:
        estimate.figures["cost_usd"] = hours.times(price)
    else:
        estimate.whys["cost_usd"] = "no --price of a GPU-hour was given" if price is None else "its time was not measured"


def total(stages: Sequence[StageEstimate], side_by_side: bool, setup_s: float = 0.0) -> StageEstimate:
    """All stages: sums, and the time from start to end when they run one after another, or side by side, after a setup."""
    whole = StageEstimate("total")
    for name in _NAMES[1:]:
        figures = [stage.figures[name] for stage in stages if name in stage.figures]
        for figure in figures:
            whole.figures[name] = whole.figures.get(name, ZERO).plus(figure)
        whys = [stage.whys[name] for stage in stages if name in stage.whys]
        if whys and not figures:
            whole.whys[name] = whys[0]
    timed = [stage.elapsed_s for stage in stages if stage.elapsed_s.value]
    for elapsed in timed:
        whole.elapsed_s = whole.elapsed_s.plus(elapsed)
    if side_by_side and timed:
        whole.elapsed_s = max(timed, key=lambda elapsed: elapsed.value)
    whole.elapsed_s = whole.elapsed_s.plus(_exact(setup_s))
    return whole


def rated(whole: StageEstimate, images: Figure) -> StageEstimate:
    """With images a second from start to end."""
    if whole.elapsed_s.value:
        seconds = whole.elapsed_s
        whole.figures["images_s"] = Figure(images.value / seconds.value, images.value / seconds.high, images.value / seconds.low)
    return whole


def pace_of(taken: Taken) -> Figure:
    """Seconds an image; the bounds by the images' tokens, or what they hold, and by how units differ."""
    num = max(1, len(taken.weights))
    value = taken.seconds / num
    spread = relative(mean_of(taken.tokens if any(taken.tokens) else taken.weights))
    wide = max(spread.high - 1, 1 - spread.low)
    differs = _ONE_UNIT_DIFFERS
    if len(taken.unit_s) > 1:
        differs = 2 * statistics.stdev(taken.unit_s) / statistics.mean(taken.unit_s) / math.sqrt(len(taken.unit_s))
    wide = math.hypot(wide, differs)
    return Figure(value, value / (1 + wide), value * (1 + wide))


def mean_of(values: Sequence[float]) -> Figure:
    """The mean over images, with bootstrap bounds."""
    if not values:
        return ZERO
    rng, num = random.Random(_SEED), len(values)
    means = sorted(sum(rng.choices(values, k=num)) / num for _ in range(_RESAMPLES))
    return Figure(sum(values) / num, means[_RESAMPLES // 40], means[-1 - _RESAMPLES // 40])


def relative(figure: Figure) -> Figure:
    """The same in shares of its value."""
    return Figure(1.0, figure.low / figure.value, figure.high / figure.value) if figure.value else Figure(1.0, 1.0, 1.0)


def over(images: Figure, per_image: Figure) -> Figure:
    """Of all images; the wider of both bounds at each side."""
    return Figure(images.value * per_image.value, images.low * per_image.low, images.high * per_image.high)


def _exact(value: float) -> Figure:
    return Figure(value, value, value)


def shares(stages: Sequence[StageEstimate], name: str) -> Mapping[str, float]:
    """Stage -> its share of a figure, largest first."""
    values = {stage.name: stage.figures[name].value for stage in stages if name in stage.figures}
    whole = sum(values.values())
    return {stage: value / whole for stage, value in sorted(values.items(), key=lambda each: -each[1])} if whole else {}
