"""Images a second of our reader beside webdataset with Pillow, side by side, with the same pixels.

    python -m bench.loader --out OUT [--images 1024] [--repeats 5] [--workers 0 1 2]

Ours reads, validates, decodes, draws texts, boxes and negatives, tokenises and packs; webdataset reads the same tars, decodes with Pillow
to the same pixels (compared by digest, image by image) and tokenises the two captions with the same tokenizer, padded as a CLIP trainer
does. Both streams go on for ever; the first batches, while workers start, are not timed. At 0 workers `cpu` compares processor time, which
a busy machine changes less. JPEGs of photographs' size (--side), the regions and negatives of `--density`. Writes OUT/loader.json.
"""

import argparse
import hashlib
import io
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from bench.measure import spread, write_report
from schemas.rows import Edit, Negative
from stages.train.config import Stage2
from stages.train.data.samples import SampleMaker
from stages.train.data.shards import ExportedDataset
from stages.train.data.stream import Source, batches
from stages.train.data.texts import TextPacker
from tests.support.training_data import record, region, write_dataset

_SIDE, _POSITIONS, _BATCH = 224, 77, 32
_WORDS = (
    "a the of on with near small large red green blue white black brown wooden metal striped shiny old young man woman child dog cat "
    "horse car bus train chair table lamp window door street grass sky water beach mountain shirt hat bag bottle cup plate holding"
).split()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--side", type=int, default=640, help="Pixels of the JPEGs' longer side.")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    root, tokenizer = make_dataset(arguments.out / "data", arguments.images, arguments.side), make_tokenizer()
    check_pixels(root)
    ratios, rates = {}, {}
    for workers in arguments.workers:
        pairs = []
        for repeat in range(arguments.repeats + 1):
            ways = [("ours", ours), ("webdataset", webdataset_with_pillow)]
            timings = {
                name: timed(way(root, tokenizer, workers), arguments.images // _BATCH, workers)
                for name, way in ways[:: 1 if repeat % 2 else -1]
            }
            if repeat:  # the first warms up
                pairs.append(timings)
        ratios[f"loader_over_webdataset_{workers}"] = spread([pair["webdataset"][0] / pair["ours"][0] for pair in pairs])
        if workers == 0:
            ratios["loader_over_webdataset_0_cpu"] = spread([pair["webdataset"][1] / pair["ours"][1] for pair in pairs])
        rates[f"{workers}"] = {
            name: spread([arguments.images // _BATCH * _BATCH / pair[name][0] for pair in pairs]) for name in ("ours", "webdataset")
        }
    settings = {name: getattr(arguments, name) for name in ("images", "side", "workers")}
    path = write_report(
        arguments.out, "loader", arguments.repeats, ("torch", "webdataset", "pillow"), settings=settings, images_s=rates, ratios=ratios
    )
    print(path.read_text(encoding="utf-8"))


def ours(root: Path, tokenizer: Any, workers: int) -> Iterator[int]:
    """Numbers of images of our batches, endless."""
    params = Stage2.model_validate({"batch_size": _BATCH, "workers": workers, "shuffle_buffer": 256})
    dataset = ExportedDataset(str(root))
    source = Source(dataset, SampleMaker(params, _SIDE), TextPacker(tokenizer, _POSITIONS, 248))
    for batch in batches(source):
        yield len(batch.keys)


def webdataset_with_pillow(root: Path, tokenizer: Any, workers: int) -> Iterator[int]:
    """The same by webdataset: shuffled shards and samples, Pillow, two captions tokenised and padded."""
    import webdataset

    tars = sorted(str(path) for path in root.glob("*.tar"))
    dataset = (
        webdataset.WebDataset(tars, shardshuffle=len(tars), seed=0, empty_check=False)
        .repeat()
        .shuffle(256)
        .map(lambda sample: (pixels_of(sample["jpg"]), json.loads(sample["json"])))
        .batched(_BATCH, collation_fn=lambda samples: collated(samples, tokenizer))
    )
    for images, *_ in torch.utils.data.DataLoader(dataset, batch_size=None, num_workers=workers):
        yield len(images)


def collated(samples: list[tuple[torch.Tensor, dict[str, Any]]], tokenizer: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    settings = {"padding": "max_length", "truncation": True, "return_tensors": "pt"}
    long = tokenizer([record["long"] for _, record in samples], max_length=248, **settings)["input_ids"]
    short = tokenizer([record["short"] for _, record in samples], max_length=_POSITIONS, **settings)["input_ids"]
    return torch.stack([pixels for pixels, _ in samples]), long, short


def pixels_of(content: bytes) -> torch.Tensor:
    """What Pillow makes of a JPEG: decoded, RGB, resized to the square."""
    with Image.open(io.BytesIO(content)) as image:
        square = image.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(square)).permute(2, 0, 1).contiguous()


def timed(numbers: Iterator[int], num_batches: int, workers: int) -> tuple[float, float]:
    """Seconds and processor seconds of this process for that many batches."""
    for _ in range(3 * workers + 1):
        next(numbers)
    started, used = time.perf_counter(), time.process_time()
    for _ in range(num_batches):
        next(numbers)
    return time.perf_counter() - started, time.process_time() - used


def check_pixels(root: Path) -> None:
    """Both readers have the same pixels of each image."""
    maker = SampleMaker(Stage2(), _SIDE)
    for content, published in ExportedDataset(str(root)).read_all():
        pixels = maker.pixels(content)
        if pixels is None or digest(pixels) != digest(pixels_of(content)):
            raise SystemExit(f"{published.key}: the two readers see other pixels")


def digest(pixels: torch.Tensor) -> str:
    return hashlib.sha256(pixels.numpy().tobytes()).hexdigest()


def make_dataset(folder: Path, num_images: int, side: int) -> Path:
    """Exported shards of JPEGs with long and short captions, four boxes an image, ten negatives of each fourth."""
    if (folder / "manifest.json").is_file():
        return folder
    rng, noise = random.Random(0), np.random.default_rng(0)
    records, pictures = [], {}
    for shard in range(4):
        records.append([])
        for number in range(num_images // 4):
            written = record(number, shard, long=f"{words(rng, 150)}.", short=words(rng, 12), regions=[box(rng, turn) for turn in range(4)])
            coarse = noise.integers(0, 256, (side // 16, side * 3 // 64, 3), dtype=np.uint8)
            image = Image.fromarray(coarse).resize((side, side * 3 // 4), Image.Resampling.BICUBIC)
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=90)
            pictures[written.key] = buffer.getvalue()
            records[-1].append(written)
    return write_dataset(folder, records, pictures, suffix="jpg")


def box(rng: random.Random, turn: int) -> Any:
    short = words(rng, 5)
    first = short.split()[0]
    edits = [
        Negative(
            text=f"{other}{short[len(first) :]}",
            edits=[Edit(type="colour", start=0, end=len(first), old=first, new=other)],
            type="colour",
            verdict="false",
        )
        for other in rng.sample([word for word in _WORDS if word != first], 10)
    ]
    return region("red", "car", short=short, long=f"{short} {words(rng, 5)}", negatives=edits if turn == 0 else [])


def words(rng: random.Random, count: int) -> str:
    return " ".join(rng.choice(_WORDS) for _ in range(count))


def make_tokenizer() -> Any:
    """A byte-level BPE of CLIP's kind, trained on the bench's words: most of them are one token or two."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE(unk_token="<end>", end_of_word_suffix="</w>"))
    bpe.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    bpe.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<start>", "<end>"], end_of_word_suffix="</w>")
    bpe.train_from_iterator([" ".join(_WORDS)], trainer)
    bpe.post_processor = processors.TemplateProcessing(single="<start> $A <end>", special_tokens=[("<start>", 0), ("<end>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<start>", eos_token="<end>", pad_token="<end>")


if __name__ == "__main__":
    main()
