"""Draws one exported image with its boxes, captions and negatives: `python -m bench.picture DATASET --out docs/demo.png`."""

import argparse
import io
import json
import tarfile
import textwrap
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont, ImageOps

_COLOURS = ("#d7263d", "#1b6ca8", "#2a9d4a", "#8a3ab9", "#d97706")
_INK, _GREY, _CHANGED = "#1f2328", "#656d76", "#c2185b"
_SCALE, _MARGIN, _TEXT_WIDTH = 3, 24, 760


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path, help="Folder that an export wrote.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--key", help="Key of the image; without it the first with three regions.")
    arguments = parser.parse_args()
    image, record = _find(arguments.dataset, arguments.key)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    draw_record(image, record).quantize(160, dither=Image.Dither.NONE).save(arguments.out, optimize=True)
    print(f"{record['key']} -> {arguments.out}")


def _find(dataset: Path, key: str | None) -> tuple[Image.Image, dict[str, Any]]:
    for path in sorted(dataset.glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar.getmembers():
                if not member.name.endswith(".json"):
                    continue
                record = json.load(_opened(tar, member.name))
                if record["key"] == key or (key is None and len(record["regions"]) == 3):
                    suffix = next(name for name in tar.getnames() if name.startswith(record["key"]) and not name.endswith(".json"))
                    return ImageOps.exif_transpose(Image.open(io.BytesIO(_opened(tar, suffix).read()))).convert("RGB"), record
    raise SystemExit(f"{dataset}: no image {key or 'with three regions'}")


def _opened(tar: tarfile.TarFile, name: str) -> Any:
    return tar.extractfile(name)


def draw_record(image: Image.Image, record: dict[str, Any]) -> Image.Image:
    """The picture: the image with its boxes at the left, what was said of it at the right; changed words in another ink."""
    picture = image.resize((image.width * _SCALE, image.height * _SCALE), Image.Resampling.LANCZOS)
    boxes = ImageDraw.Draw(picture)
    font, small, bold = _font(17), _font(15), _font(17, bold=True)
    for number, region in enumerate(record["regions"]):
        colour = _COLOURS[number % len(_COLOURS)]
        corner = [value * _SCALE for value in region["xyxy"]]
        boxes.rectangle(corner, outline=colour, width=3)
        boxes.text((corner[0] + 3, corner[1] - 20), _label(region), fill=colour, font=small)
    text = _lines(record)
    height = max(picture.height, sum(step for _, _, step in text)) + 2 * _MARGIN
    canvas = Image.new("RGB", (picture.width + _TEXT_WIDTH + 3 * _MARGIN, height), "white")
    canvas.paste(picture, (_MARGIN, _MARGIN))
    writer, y = ImageDraw.Draw(canvas), float(_MARGIN)
    for pieces, is_bold, step in text:
        x = float(picture.width + 2 * _MARGIN)
        for words, colour in pieces:
            face = bold if is_bold else (small if colour in (_GREY, _CHANGED) else font)
            writer.text((x, y), words, fill=colour, font=face)
            x += writer.textlength(words, font=face)
        y += step
    return canvas


def _label(region: dict[str, Any]) -> str:
    return f"{region['head']} {'given' if region['score'] is None else format(region['score'], '.2f')}"


def _lines(record: dict[str, Any]) -> list[tuple[list[tuple[str, str]], bool, int]]:
    lines: list[tuple[list[tuple[str, str]], bool, int]] = [([("long caption", _GREY)], False, 22)]
    lines += [([(line, _INK)], False, 23) for line in textwrap.wrap(record["long"] or "", 84)]
    lines += [([("short caption", _GREY)], False, 22), ([(record["short"] or "", _INK)], False, 34)]
    for number, region in enumerate(record["regions"]):
        lines.append(([(region["long"] or region["phrase"], _COLOURS[number % len(_COLOURS)])], True, 25))
        for negative in region["negatives"][:4]:
            lines.append(([(f"   not  [{negative['type']}]  ", _GREY), *_marked(region["short"], negative)], False, 20))
        rest = len(region["negatives"]) - 4
        lines.append(([(f"   and {rest} more" if rest > 0 else "", _GREY)], False, 27))
    return lines


def _marked(positive: str, negative: dict[str, Any]) -> list[tuple[str, str]]:
    pieces, position = [], 0
    for edit in negative["edits"]:
        pieces += [(positive[position : edit["start"]], _GREY), (edit["new"], _CHANGED)]
        position = edit["end"]
    return [*pieces, (positive[position:], _GREY)]


def _font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return ImageFont.load_default(size)


if __name__ == "__main__":
    main()
