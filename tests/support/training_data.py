"""A tiny CLIP, and small exported data sets as the export writes them, for tests of the trainer."""

import hashlib
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from PIL import Image

from schemas.dataset import ExportRecord, ExportRegion, Manifest, ShardEntry, TableRecord, Totals, image_key, shard_name
from schemas.rows import Edit, Negative
from stages.dataset.files import ShardFiles
from tests.support.pictures import encoded

WORDS = "a photo of the red green blue car mug star left right on table toy and with one two small large"
COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220)}
NOUNS = ("car", "mug", "star")
SIDE = 32


def save_tiny_clip(folder: Path, num_positions: int = 77) -> Path:
    """Two blocks of 32 channels a tower, 32 px images of 8 px patches, a tokenizer of words."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast

    words = ["<pad>", "<unk>", "<start>", "<end>", *sorted(set(WORDS.split()))]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="<start> $A <end>", special_tokens=[("<start>", 2), ("<end>", 3)])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", bos_token="<start>", eos_token="<end>"
    ).save_pretrained(folder)
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    ends = {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
    config = CLIPConfig(
        text_config={**tower, "vocab_size": len(words), "max_position_embeddings": num_positions, **ends},
        vision_config={**tower, "image_size": SIDE, "patch_size": 8},
        projection_dim=16,
    )
    torch.manual_seed(0)
    CLIPModel(config).save_pretrained(folder)
    return folder


def record(number: int, shard: int = 0, **fields: Any) -> ExportRecord:
    """Image `number`: one toy, whose colour and noun follow from the number; its box is the left or the right half."""
    key = image_key(shard, number)
    colour, noun = tuple(COLOURS)[number % 3], NOUNS[number // 3 % 3]
    side = ("left", "right")[number // 9 % 2]
    content = {
        "key": key,
        "source_key": f"toy-{shard}-{number}",
        "source_shard": "toys.tar",
        "sha256": hashlib.sha256(key.encode()).hexdigest(),
        "width": SIDE,
        "height": SIDE,
        "long": f"on the {side} a {colour} {noun} with the table and a photo of {number % 7}",
        "short": f"the {colour} {noun} on the {side}",
        "regions": [region(colour, noun, side)],
    }
    return ExportRecord.model_validate({**content, **fields})


def region(colour: str, noun: str, side: str = "left", num_negatives: int = 2, **fields: Any) -> ExportRegion:
    """A half of the image, called "a red car"; its negatives are of other colours, then of other nouns."""
    left = 0.0 if side == "left" else SIDE / 2
    edits = [("colour", colour, new) for new in COLOURS if new != colour] + [("object", noun, new) for new in NOUNS if new != noun]
    short = f"a {colour} {noun}"
    content = {
        "xyxy": (left, 0.0, left + SIDE / 2, SIDE),
        "bbox": (left / SIDE, 0.0, left / SIDE + 0.5, 1.0),
        "score": 0.9,
        "phrase": short,
        "start": 0,
        "end": len(short),
        "head": noun,
        "short": short,
        "long": f"{short} on the {side}",
        "negatives": [negative(short, *edit) for edit in edits[:num_negatives]],
    }
    return ExportRegion.model_validate({**content, **fields})


def negative(positive: str, kind: str, old: str, new: str, verdict: str = "false") -> Negative:
    start = positive.index(old)
    edit = Edit.model_validate({"type": kind, "start": start, "end": start + len(old), "old": old, "new": new})
    return Negative.model_validate({"text": positive.replace(old, new), "edits": [edit], "type": kind, "verdict": verdict})


def picture(shown: ExportRecord) -> bytes:
    """The toy of a record as a PNG: its half in the toy's colour, darker for each noun."""
    image = Image.new("RGB", (SIDE, SIDE), (128, 128, 128))
    for toy in shown.regions[:1]:
        name = next((name for name in COLOURS if toy.short and name in toy.short.split()), "red")
        shade = 1 - 0.3 * NOUNS.index(toy.head)
        pixels = tuple(int(value * shade) for value in COLOURS[name])
        left = int(toy.xyxy[0])
        image.paste(pixels, (left, 0, left + SIDE // 2, SIDE))
    return encoded(image)


def write_dataset(
    folder: Path, shards: Sequence[Sequence[ExportRecord]], pictures: dict[str, bytes] | None = None, suffix: str = "png"
) -> Path:
    """An exported data set of these records: tars, Parquet files and the manifest. `pictures` replaces an image's bytes by key."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for number, records in enumerate(shards):
        name = shard_name(number)
        with ShardFiles(folder) as files:
            for record in records:
                files.add(TableRecord(**vars(record)), (pictures or {}).get(record.key) or picture(record), suffix)
        files.tar.path.rename(folder / f"{name}.tar")
        files.parquet.path.rename(folder / f"{name}.parquet")
        files.finehard.file.path.unlink()
        tar = files.tar.digest(f"{name}.tar")
        regions = sum(len(record.regions) for record in records)
        negatives = sum(len(box.negatives) for record in records for box in record.regions)
        entries.append(
            ShardEntry(
                name=name,
                tar=tar.path,
                parquet=f"{name}.parquet",
                stats=f"{name}_stats.json",
                images=len(records),
                regions=regions,
                negatives=negatives,
                bytes=tar.bytes,
                sha256=tar.sha256,
            )
        )
    images, regions = sum(entry.images for entry in entries), sum(entry.regions for entry in entries)
    totals = Totals(
        shards=len(entries),
        images_in=images,
        images=images,
        regions=regions,
        negatives=sum(entry.negatives for entry in entries),
        bytes=sum(entry.bytes for entry in entries),
    )
    manifest = Manifest(fgdata_version="0", rehearsal=False, stages={}, engines={}, prompts=[], shards=entries, totals=totals)
    (folder / "manifest.json").write_text(json.dumps(manifest.model_dump(mode="json")), encoding="utf-8")
    return folder


def toys(num_images: int, num_shards: int = 1) -> list[list[ExportRecord]]:
    """Records of `num_images` toys in all, spread over the shards as evenly as it goes."""
    bounds = [num_images * shard // num_shards for shard in range(num_shards + 1)]
    return [[record(number, shard) for number in range(last - first)] for shard, (first, last) in enumerate(pairwise(bounds))]


def save_tiny_siglip(folder: Path, is_naflex: bool = True, **config: Any) -> Path:
    """The same tokenizer and widths as `save_tiny_clip`; NaFlex towers see patches of 8 px, the others squares of 32 px."""
    import torch
    from transformers import AutoTokenizer, Siglip2Config, Siglip2Model, SiglipConfig, SiglipModel

    save_tiny_clip(folder)
    size = len(AutoTokenizer.from_pretrained(folder))
    (folder / "preprocessor_config.json").unlink(missing_ok=True)
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**tower, "vocab_size": size, "max_position_embeddings": 24, "bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
    torch.manual_seed(0)
    if is_naflex:
        model = Siglip2Model(Siglip2Config(text_config=text, vision_config={**tower, "num_patches": 16, "patch_size": 8}))
    else:
        model = SiglipModel(SiglipConfig(text_config=text, vision_config={**tower, "image_size": SIDE, "patch_size": 8}))
    torch.nn.init.normal_(model.logit_scale, 2.0, 0.1)
    torch.nn.init.normal_(model.logit_bias, -5.0, 0.1)
    model.save_pretrained(folder)
    return folder
