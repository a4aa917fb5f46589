"""The detector's engine, as the stage ground calls it, beside its own forward passes over pixels that are there already."""

import asyncio
import io
import time
from pathlib import Path
from typing import Any

from PIL import Image

from bench.throughput.inputs import jpeg
from stages.engines.base import DetectRequest
from stages.engines.dino.grounding_dino import GroundingDinoDetector, GroundingDinoSpec
from stages.engines.specs import Resources

_PHRASES = (
    "a small red car", "the large striped mug", "a blue fish", "the green star",
    "a red mug", "small blue car", "the striped fish", "a large star",
)  # fmt: skip
_WORDS = "[UNK] a the red blue green small large striped car mug fish star".split()


def save_detector(folder: Path, size: str) -> Path:
    """Grounding DINO of published dimensions (`tiny`: Swin-T, `base`: Swin-B), random weights."""
    if (folder / "config.json").exists():
        return folder
    import torch
    from transformers import BertConfig, BertTokenizer, GroundingDinoConfig, GroundingDinoForObjectDetection, SwinConfig
    from transformers.models.grounding_dino.image_processing_pil_grounding_dino import GroundingDinoImageProcessorPil
    from transformers.models.grounding_dino.processing_grounding_dino import GroundingDinoProcessor

    fixed = {0: "[PAD]", 101: "[CLS]", 102: "[SEP]", 1012: ".", 1029: "?"}
    rest = iter([*_WORDS, *(f"[unused{number}]" for number in range(1100))])
    tokenizer = BertTokenizer(vocab={fixed.get(number) or next(rest): number for number in range(1030)}, do_lower_case=True)
    dimensions: dict[str, Any] = {
        "tiny": {"embed_dim": 96, "depths": [2, 2, 6, 2], "num_heads": [3, 6, 12, 24], "window_size": 7, "image_size": 224},
        "base": {"embed_dim": 128, "depths": [2, 2, 18, 2], "num_heads": [4, 8, 16, 32], "window_size": 12, "image_size": 384},
    }
    torch.manual_seed(0)
    config = GroundingDinoConfig(backbone_config=SwinConfig(**dimensions[size], out_indices=[2, 3, 4]), text_config=BertConfig())
    GroundingDinoForObjectDetection(config).save_pretrained(folder)
    GroundingDinoProcessor(GroundingDinoImageProcessorPil(), tokenizer).save_pretrained(folder)
    return folder


async def detector_rates(folder: Path, num_images: int, repeats: int, dtype: str = "auto", batch_size: int = 4) -> list[dict[str, float]]:
    """Of each repeat the images a second of the engine and of its forward passes, in turn; the first repeat warms up and is left out."""
    spec = GroundingDinoSpec.model_validate({"kind": "grounding-dino", "model": str(folder), "dtype": dtype, "batch_size": batch_size})
    engine = GroundingDinoDetector(spec, Resources())
    images = [Image.open(io.BytesIO(jpeg(number))).convert("RGB") for number in range(num_images)]
    requests = [DetectRequest(image, _PHRASES) for image in images]
    forward = forward_only(engine, requests)
    turns = []
    for repeat in range(repeats + 1):
        turn = {}
        for way in ("engine", "forward")[:: 1 if repeat % 2 else -1]:
            began = time.perf_counter()
            await (engine.detect(requests, 0.25) if way == "engine" else asyncio.to_thread(forward))
            turn[way] = num_images / (time.perf_counter() - began)
        if repeat:
            turns.append(turn)
    await engine.close()
    return turns


def forward_only(engine: GroundingDinoDetector, requests: list[DetectRequest]) -> Any:
    """A function that runs the model over prepared batches and waits for what comes out."""
    import torch

    checkpoint = engine._checkpoint  # noqa: SLF001
    work = checkpoint.begun(requests, 0.25)
    prepared = []
    for batch in work.batches:
        pixels = checkpoint._pictures(requests, batch)  # noqa: SLF001
        prepared.append(({name: value.to(checkpoint._device) for name, value in pixels.items()}, batch))  # noqa: SLF001

    def run() -> None:
        with torch.inference_mode():
            for pixels, batch in prepared:
                checkpoint._head.forward(pixels, batch)  # noqa: SLF001
            if checkpoint._device.type == "cuda":  # noqa: SLF001
                torch.cuda.synchronize()

    return run
