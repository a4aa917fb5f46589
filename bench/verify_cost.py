"""What one question a type costs and errs beside one a value: `python -m bench.verify_cost --out DIR [--scenes N] [--worlds NAME ...]`.

The demo's judge is asked both ways, with the box outlined and without, about the same true regions and the same candidates of each, on
scenes of the demo's world and on scenes of which a fifth of the toys have two values of a type; each verdict is held against the truth.
"""

import argparse
import asyncio
import io
import json
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from bench.measure import spread, write_report
from pipeline.config.registry import DEMO_PROMPTS, with_model_path
from pipeline.demo.corpus import encode
from pipeline.demo.training.captioner.data import jittered
from pipeline.demo.training.vocabulary import edit_answer
from pipeline.demo.world import Scene, Toy, scene, two_valued_scene
from prompts.loader import load_prompt
from schemas.rows import (
    CorpusRow,
    Edit,
    HardNegativeRow,
    Negative,
    Region,
    RegionCaption,
    RegionCaptionRow,
    RegionNegatives,
    SelectRow,
    VerifyRow,
)
from stages.base import Image, StageContext
from stages.engines.base import Generator
from stages.engines.specs import Resources
from stages.engines.transformers_local import TransformersSpec
from stages.verify import Verify, VerifyParams

_WAYS = ("each", "choose")
_SEED = 1011
_SCENES_AT_ONCE = 20
_RESAMPLES = 2000
_WORLDS: dict[str, Callable[[int, int], Scene]] = {"single": scene, "two_valued": two_valued_scene}


@dataclass
class Asked:
    """What one way said of some scenes: per scene the values, those decided wrongly, and those left undecided."""

    values: list[int] = field(default_factory=list)
    wrong: list[int] = field(default_factory=list)
    undecided: list[int] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    regions: int = 0
    questions: int = 0
    tokens: int = 0

    def add(self, row: VerifyRow, truth: Scene) -> None:
        """Count one scene's row."""
        judged = [(fact.type, fact.value in truth.toys[fact.region].values(fact.type), fact.verdict) for fact in row.facts]
        wrong = [fact for fact in judged if fact[2] == ("false" if fact[1] else "true")]
        self.values.append(len(judged))
        self.wrong.append(len(wrong))
        self.undecided.append(sum(verdict == "unsure" for _, _, verdict in judged))
        self.kinds.update(f"{kind}: {'true' if is_true else 'false'} called {verdict}" for kind, is_true, verdict in wrong)
        self.regions += len(truth.toys)
        self.questions += row.usage.attempts
        self.tokens += row.usage.prompt_tokens + row.usage.completion_tokens

    def figures(self) -> dict[str, Any]:
        """Costs a region, and rates of the values that were asked about."""
        values = max(1, sum(self.values))
        return {
            "regions": self.regions,
            "values": sum(self.values),
            "questions_per_region": round(self.questions / max(1, self.regions), 3),
            "tokens_per_region": round(self.tokens / max(1, self.regions), 1),
            "wrong": sum(self.wrong),
            "undecided": sum(self.undecided),
            "wrong_rate": round(sum(self.wrong) / values, 6),
            "undecided_rate": round(sum(self.undecided) / values, 6),
            "wrong_kinds": dict(self.kinds.most_common()),
        }


def image_of(truth: Scene) -> Image:
    """The scene as the stage verify meets it: a JPEG, boxes as good as a detector's, true expressions, fourteen edits of each."""
    rng = random.Random(f"verify_cost/{truth.seed}/{truth.index}")
    regions, captions, candidates = [], [], []
    for i, toy in enumerate(truth.toys):
        box = jittered(rng, toy.xyxy, 0.05)
        regions.append(Region(xyxy=box, score=0.9, phrase=toy.expression, start=None, end=None, head=toy.noun))
        captions.append(RegionCaption(region=i, xyxy=box, head=toy.noun, short=toy.expression))
        negatives = _negatives(toy)
        candidates.append(RegionNegatives(region=i, positive=toy.expression, negatives=negatives, num_proposed=len(negatives)))
    key = f"{truth.seed}-{truth.index}"
    rows = (
        SelectRow(key=key, regions=regions),
        RegionCaptionRow(key=key, regions=captions),
        HardNegativeRow(key=key, regions=candidates),
    )
    pixels = PillowImage.open(io.BytesIO(encode(truth))).convert("RGB")
    return Image(CorpusRow(key=key, path="scene", offset=0, size=0), pixels, {type(row): row for row in rows})


def _negatives(toy: Toy) -> list[Negative]:
    positive, negatives = toy.expression, []
    for proposed in json.loads(edit_answer(positive))["edits"]:
        start = positive.index(proposed["old"])
        edit = Edit(type=proposed["type"], start=start, end=start + len(proposed["old"]), old=proposed["old"], new=proposed["new"])
        negatives.append(Negative(text=proposed["text"], edits=[edit], type=edit.type))
    return negatives


async def ask(judge: Generator, scenes: Sequence[Scene], way: str, outline: bool) -> Asked:
    """All scenes' verdicts, asked this way."""
    params = VerifyParams.model_validate({"prompt": "choose", "ask": way, "outline": outline, "crop_scale": 1.3, "crop_min_side_px": 24})
    prompts = {"verify": load_prompt("verify", params.prompt, after=DEMO_PROMPTS)}
    stage = Verify(params, StageContext("verify_cost", prompts, {"judge": judge}))
    asked = Asked()
    for first in range(0, len(scenes), _SCENES_AT_ONCE):
        some = scenes[first : first + _SCENES_AT_ONCE]
        for truth, row in zip(some, await stage.process([image_of(shown) for shown in some]), strict=True):
            assert isinstance(row, VerifyRow)
            asked.add(row, truth)
    return asked


def difference(over: Asked, under: Asked, name: str) -> dict[str, float]:
    """A rate of one way less that of the other, with 95 % bounds: scenes are drawn anew, the same for both."""
    counts = np.array(
        [(a, b, n, m) for a, b, n, m in zip(getattr(over, name), getattr(under, name), over.values, under.values, strict=True)]
    )
    draws = np.random.default_rng(0).integers(0, len(counts), (_RESAMPLES, len(counts)))
    sums = counts[draws].sum(1)
    rates = sums[:, 0] / np.maximum(1, sums[:, 2]) - sums[:, 1] / np.maximum(1, sums[:, 3])
    totals = counts.sum(0)
    low, high = np.quantile(rates, (0.025, 0.975))
    value = totals[0] / max(1, totals[2]) - totals[1] / max(1, totals[3])
    return {name: round(float(value), 6), f"{name}_low": round(float(low), 6), f"{name}_high": round(float(high), 6)}


async def measure(num_scenes: int, model: str, worlds: Sequence[str]) -> dict[str, Any]:
    """Both ways on each world with the box outlined, and `each` without the line."""
    spec = TransformersSpec(kind="transformers", model=model, dtype="float32", batch_size=128, threads=1)
    judge = with_model_path(spec).build(Resources())
    by_world: dict[str, dict[str, Asked]] = {}
    for world in worlds:
        scenes = [_WORLDS[world](_SEED, index) for index in range(num_scenes)]
        by_world[world] = {}
        for name, way, outline in (*((way, way, True) for way in _WAYS), ("each_without_line", "each", False)):
            by_world[world][name] = await ask(judge, scenes, way, outline)
            print(world, name, by_world[world][name].figures(), flush=True)
    await judge.close()
    return _report(by_world)


def _report(by_world: Mapping[str, Mapping[str, Asked]]) -> dict[str, Any]:
    """Of each world every way's figures and what choosing and the line change; the ratio of questions by world."""
    worlds = {
        world: {
            **{name: asked.figures() for name, asked in ways.items()},
            "choose_less_each": _both(ways["choose"], ways["each"]),
            "line_less_no_line": _both(ways["each"], ways["each_without_line"]),
        }
        for world, ways in by_world.items()
    }
    questions = {world: ways["choose"].questions / max(1, ways["each"].questions) for world, ways in by_world.items()}
    return {**worlds, "ratios": {f"questions_choose_over_each_{world}": spread([ratio]) for world, ratio in questions.items()}}


def _both(over: Asked, under: Asked) -> dict[str, float]:
    return {name: part for rate in ("wrong", "undecided") for name, part in difference(over, under, rate).items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=300, help="Of each world.")
    parser.add_argument("--worlds", nargs="+", choices=tuple(_WORLDS), default=tuple(_WORLDS))
    parser.add_argument("--judge", default="builtin:judge", help="Another checkpoint of the demo's judge.")
    arguments = parser.parse_args()
    with asyncio.Runner() as runner:
        content = runner.run(measure(arguments.scenes, arguments.judge, arguments.worlds))
    print(write_report(arguments.out, "verify_cost", 1, ("torch", "transformers"), scenes=arguments.scenes, **content))


if __name__ == "__main__":
    main()
