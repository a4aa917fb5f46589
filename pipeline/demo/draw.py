"""Paints a scene of the demo's world. Knows shapes and colours; what stands where comes from world.py."""

import math
import random
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from pipeline.demo.world import SIDE_PX, Scene

RGB = {
    "red": (214, 40, 40),
    "yellow": (246, 204, 32),
    "green": (40, 150, 60),
    "blue": (40, 90, 210),
    "purple": (140, 50, 170),
    "white": (250, 250, 250),
    "black": (28, 28, 30),
}
_SUPERSAMPLING = 4
_INK_DARK, _INK_LIGHT = (40, 40, 44), (250, 250, 246)


def draw(scene: Scene) -> Image.Image:
    """The scene as an RGB image of 224 x 224 pixels; each toy fills its box."""
    rng = random.Random(f"paint/{scene.seed}/{scene.index}")
    canvas = _background(scene.background, rng.randrange(8)).copy()
    for toy in scene.toys:
        width, height = toy.xyxy[2] - toy.xyxy[0], toy.xyxy[3] - toy.xyxy[1]
        sprite = _sprite(toy.noun, toy.colour, toy.pattern, toy.material, width, height, toy.also)
        shadow = Image.new("RGBA", sprite.size, (0, 0, 0, 0))
        shadow.putalpha(sprite.getchannel("A").point(lambda alpha: alpha * 0.28))
        lift = max(1, (toy.xyxy[2] - toy.xyxy[0]) // 20)
        canvas.paste(shadow, (toy.xyxy[0] + lift, toy.xyxy[1] + lift), shadow)
        canvas.paste(sprite, toy.xyxy[:2], sprite)
    return canvas


@lru_cache(maxsize=8192)  # all 5,796 sprites fit; painting from the cache takes a millisecond an image
def _sprite(
    noun: str, colour: str, pattern: str, material: str, width: int, height: int, also: tuple[tuple[str, str], ...] = ()
) -> Image.Image:
    size = (width * _SUPERSAMPLING, height * _SUPERSAMPLING)
    body = Image.new("L", size, 0)
    extras = Image.new("RGBA", size, (0, 0, 0, 0))
    _SHAPES[noun](ImageDraw.Draw(body), ImageDraw.Draw(extras), size[0], size[1])
    sprite = Image.fromarray(_skins(colour, pattern, material, size, dict(also))).convert("RGBA")
    rim = max(3, round(max(size) * 0.035)) | 1
    inner = body.filter(ImageFilter.MinFilter(min(rim, 9)))
    outline = Image.new("RGBA", size, (*_outline(colour, material), 255))
    sprite = Image.composite(sprite, outline, inner)
    sprite.putalpha(body)
    sprite.alpha_composite(extras)
    return sprite.resize((width, height), Image.Resampling.BOX)


def _outline(colour: str, material: str) -> tuple[int, int, int]:
    if colour == "black":
        return (110, 110, 116) if material == "metal" else (8, 8, 8)
    shade = 0.35 if material == "metal" else 0.62
    red, green, blue = RGB[colour]
    return (int(red * shade), int(green * shade), int(blue * shade))


def _skins(colour: str, pattern: str, material: str, size: tuple[int, int], also: Mapping[str, str]) -> np.ndarray:
    """The skin; of a toy with a second value that on its right half."""
    skin = _skin(colour, pattern, material, size)
    if also:
        half = size[0] // 2
        skin[:, half:] = _skin(also.get("colour", colour), also.get("pattern", pattern), material, size)[:, half:]
    return skin


def _skin(colour: str, pattern: str, material: str, size: tuple[int, int]) -> np.ndarray:
    """Colour, then pattern in thin ink, then material: rubber is matt, metal has a bright band and a dark foot."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / max(size)
    skin = np.empty((height, width, 3), np.float32)
    skin[:] = RGB[colour]
    ink = _INK_DARK if colour in ("white", "yellow") else _INK_LIGHT
    if pattern == "striped":
        skin[((x + y) * 4.2) % 1.0 < 0.3] = ink
    elif pattern == "spotted":
        row = np.floor(y * 4.6)
        u, v = (x * 4.6 + 0.5 * (row % 2)) % 1.0 - 0.5, (y * 4.6) % 1.0 - 0.5
        skin[u * u + v * v < 0.085] = ink
    if material == "metal":
        skin *= (1.12 - 0.62 * y / (height / max(size)))[..., None]
        band = np.exp(-(((x - y - 0.12) / 0.07) ** 2))[..., None]
        skin = skin * (1 - 0.75 * band) + 255 * 0.75 * band
    return np.clip(skin, 0, 255).astype(np.uint8)


def _car(body: ImageDraw.ImageDraw, extras: ImageDraw.ImageDraw, w: int, h: int) -> None:
    body.rounded_rectangle((0, h * 0.36, w - 1, h * 0.84), radius=w * 0.09, fill=255)
    body.polygon([(w * 0.2, h * 0.42), (w * 0.32, 0), (w * 0.68, 0), (w * 0.84, h * 0.42)], fill=255)
    extras.polygon([(w * 0.3, h * 0.36), (w * 0.37, h * 0.1), (w * 0.48, h * 0.1), (w * 0.48, h * 0.36)], fill=(205, 228, 240, 255))
    extras.polygon([(w * 0.54, h * 0.36), (w * 0.54, h * 0.1), (w * 0.64, h * 0.1), (w * 0.72, h * 0.36)], fill=(205, 228, 240, 255))
    for centre in (0.24, 0.76):
        radius = h * 0.25
        extras.ellipse((w * centre - radius, h - 1 - 2 * radius, w * centre + radius, h - 1), fill=(18, 18, 20, 255))
        hub = radius * 0.42
        extras.ellipse((w * centre - hub, h - 1 - radius - hub, w * centre + hub, h - 1 - radius + hub), fill=(190, 190, 196, 255))


def _fish(body: ImageDraw.ImageDraw, extras: ImageDraw.ImageDraw, w: int, h: int) -> None:
    body.ellipse((0, 0, w * 0.76, h - 1), fill=255)
    body.polygon([(w * 0.64, h * 0.5), (w - 1, h * 0.04), (w - 1, h * 0.96)], fill=255)
    radius = h * 0.15
    extras.ellipse(
        (w * 0.17 - radius, h * 0.38 - radius, w * 0.17 + radius, h * 0.38 + radius),
        fill=(255, 255, 255, 255),
        outline=(20, 20, 20, 255),
        width=max(1, w // 60),
    )
    extras.ellipse(
        (w * 0.16 - radius * 0.5, h * 0.38 - radius * 0.5, w * 0.16 + radius * 0.5, h * 0.38 + radius * 0.5), fill=(15, 15, 15, 255)
    )


def _house(body: ImageDraw.ImageDraw, extras: ImageDraw.ImageDraw, w: int, h: int) -> None:
    body.polygon([(0, h * 0.46), (w * 0.5, 0), (w - 1, h * 0.46)], fill=255)
    body.rectangle((w * 0.12, h * 0.44, w * 0.88, h - 1), fill=255)
    extras.rectangle((w * 0.4, h * 0.64, w * 0.62, h - 1), fill=(110, 66, 34, 255), outline=(60, 34, 16, 255), width=max(1, w // 50))
    extras.line(
        [(0, h * 0.46), (w * 0.5, h * 0.02), (w - 1, h * 0.46), (0, h * 0.46)], fill=(70, 42, 26, 255), width=max(2, round(w * 0.06))
    )


def _mug(body: ImageDraw.ImageDraw, extras: ImageDraw.ImageDraw, w: int, h: int) -> None:
    body.arc((w * 0.5, h * 0.2, w - 1, h * 0.8), -90, 90, fill=255, width=max(3, round(w * 0.1)))
    body.rounded_rectangle((0, h * 0.04, w * 0.72, h - 1), radius=w * 0.1, fill=255)
    extras.ellipse((w * 0.02, 0, w * 0.7, h * 0.2), fill=(92, 60, 38, 255), outline=(236, 232, 224, 255), width=max(2, round(w * 0.03)))


def _mushroom(body: ImageDraw.ImageDraw, extras: ImageDraw.ImageDraw, w: int, h: int) -> None:
    extras.rounded_rectangle(
        (w * 0.34, h * 0.56, w * 0.66, h - 1), radius=w * 0.1, fill=(238, 222, 190, 255), outline=(150, 130, 96, 255), width=max(1, w // 40)
    )
    body.pieslice((0, 0, w - 1, h * 1.2), 180, 360, fill=255)


def _star(body: ImageDraw.ImageDraw, _extras: ImageDraw.ImageDraw, w: int, h: int) -> None:
    points = []
    for corner in range(10):
        radius = 1.0 if corner % 2 == 0 else 0.45
        angle = math.pi * corner / 5
        points.append((math.sin(angle) * radius, -math.cos(angle) * radius))
    xs, ys = [x for x, _ in points], [y for _, y in points]
    body.polygon(
        [((x - min(xs)) / (max(xs) - min(xs)) * (w - 1), (y - min(ys)) / (max(ys) - min(ys)) * (h - 1)) for x, y in points], fill=255
    )


_SHAPES = {"car": _car, "fish": _fish, "house": _house, "mug": _mug, "mushroom": _mushroom, "star": _star}


@lru_cache(maxsize=64)
def _background(name: str, variant: int) -> Image.Image:
    rng = np.random.default_rng([len(name), variant])
    base = {
        "wooden table": (214, 186, 150),
        "tiled floor": (206, 210, 214),
        "sandy beach": (228, 212, 178),
        "grassy lawn": (186, 204, 160),
    }[name]
    canvas = np.empty((SIDE_PX, SIDE_PX, 3), np.float32)
    canvas[:] = base
    y, x = np.mgrid[0:SIDE_PX, 0:SIDE_PX].astype(np.float32)
    offset = float(rng.integers(0, 37))
    if name == "wooden table":
        canvas += (7 * np.sin((y + offset) * 0.9 + 2.5 * np.sin(x * 0.03 + offset)))[..., None]
        canvas[((y + offset) % 45) < 1.5] *= 0.8
    elif name == "tiled floor":
        canvas[(((x + offset) % 37) < 1.5) | (((y + offset) % 37) < 1.5)] *= 0.86
    elif name == "sandy beach":
        canvas += rng.normal(0, 9, (SIDE_PX, SIDE_PX, 1))
    else:
        blades = rng.normal(0, 16, (SIDE_PX, SIDE_PX))
        canvas += ((blades + np.roll(blades, 1, 0) + np.roll(blades, 2, 0)) / 3)[..., None] * np.array([1.0, 1.0, 0.6])
    canvas *= (1.04 - 0.1 * y / SIDE_PX)[..., None]
    return Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
