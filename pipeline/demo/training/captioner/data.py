"""Training data of the demo's captioner: scenes, crops and windows as pixels, with what is true of each image token.

Knows the world and the image processor's arithmetic; knows no model. Frames: pixels of the 224 x 224 input.
"""

import random
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from PIL import Image

from pipeline.demo.draw import draw
from pipeline.demo.training.vocabulary import IGNORED
from pipeline.demo.world import BACKGROUNDS, COLOURS, MATERIALS, NOUNS, PATTERNS, POSITIONS, SIDE_PX, SIZES_PX, Scene, Toy, scene
from stages.regions.crops import focal_box
from stages.regions.focus import Focus

TOKEN_PX = 32
GRID = SIDE_PX // TOKEN_PX
CLASSES = {"noun": NOUNS, "colour": COLOURS, "pattern": PATTERNS, "material": MATERIALS, "size": tuple(SIZES_PX)}
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Window:
    """Pixels cut along the token grid. `cells` has [is object, noun, colour, pattern, material, size] for each token."""

    pixels: np.ndarray
    row: int
    column: int
    cells: np.ndarray


def packed_scene(seed: int, index: int) -> Scene:
    """A scene with all six cells filled, from the toys of successive scenes: more labels an image, for training only."""
    rng = random.Random(f"packed/{seed}/{index}")
    toys: dict[str, Toy] = {}
    while len(toys) < len(POSITIONS):
        for toy in scene(seed, rng.randrange(1 << 30)).toys:
            toys.setdefault(toy.position, toy)
    return Scene(seed, index, rng.choice(BACKGROUNDS), tuple(toys[position] for position in POSITIONS))


def square(image: Image.Image, side_px: int = SIDE_PX) -> Image.Image:
    """The checkpoint's image processor up to normalisation: longest edge to `side_px`, then a square; both Lanczos."""
    width, height = image.size
    if width >= height:
        size = (side_px, max(1, _even(int(side_px / (width / height)))))
    else:
        size = (max(1, _even(int(side_px * (width / height)))), side_px)
    for target in (size, (side_px, side_px)):
        if image.size != target:
            image = image.resize(target, Image.Resampling.LANCZOS)
    return image


def _even(side: int) -> int:
    return side + side % 2


def jittered(rng: random.Random, xyxy: Box, share: float = 0.06) -> Box:
    """The box with each border moved by at most `share` of its side."""
    width, height = xyxy[2] - xyxy[0], xyxy[3] - xyxy[1]
    moves = [rng.uniform(-share, share) * side for side in (width, height, width, height)]
    left, top, right, bottom = (edge + move for edge, move in zip(xyxy, moves, strict=True))
    return left, top, right, bottom


def crop_of(painted: Image.Image, xyxy: Box) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """The focal crop as the model sees it, (224, 224, 3) uint8, and the window it was cut from."""
    window = focal_box(xyxy, painted.width, painted.height)
    return np.asarray(square(Focus().crop(painted, xyxy))), window


def cells_of(toys: tuple[Toy, ...], window: tuple[int, int, int, int] = (0, 0, SIDE_PX, SIDE_PX)) -> np.ndarray:
    """(7, 7, 6) int64: what each token's own centre shows. In a crop the size word is ignored, for it is not seen there."""
    is_crop = window != (0, 0, SIDE_PX, SIDE_PX)
    cells = np.full((GRID, GRID, 1 + len(CLASSES)), IGNORED, np.int64)
    cells[..., 0] = 0
    for toy in toys:
        x0, y0, x1, y1 = to_window(toy.xyxy, window)
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        if 0 <= x < SIDE_PX and 0 <= y < SIDE_PX:
            classes = [words.index(getattr(toy, slot)) for slot, words in CLASSES.items()]
            cells[int(y // TOKEN_PX), int(x // TOKEN_PX)] = [1, *classes[:-1], IGNORED if is_crop else classes[-1]]
    return cells


def to_window(xyxy: Box, window: tuple[int, int, int, int]) -> Box:
    """The box in the 224 px frame of a window that was resized to it."""
    left, top = window[:2]
    scale_x, scale_y = SIDE_PX / (window[2] - left), SIDE_PX / (window[3] - top)
    return (xyxy[0] - left) * scale_x, (xyxy[1] - top) * scale_y, (xyxy[2] - left) * scale_x, (xyxy[3] - top) * scale_y


def cut(rng: random.Random, pixels: np.ndarray, cells: np.ndarray, xyxy: Box) -> Window:
    """The smallest square of whole tokens, 2 x 2 or more, that holds the box; placed at random where there is a choice."""
    spans = []
    for low, high in ((xyxy[1], xyxy[3]), (xyxy[0], xyxy[2])):
        first, last = max(0, int(low // TOKEN_PX)), min(GRID - 1, int((high - 1) // TOKEN_PX))
        spans.append((first, last))
    side = max(2, *(last - first + 1 for first, last in spans))
    row, column = (rng.randint(max(0, last - side + 1), min(first, GRID - side)) for first, last in spans)
    y, x, px = row * TOKEN_PX, column * TOKEN_PX, side * TOKEN_PX
    return Window(pixels[y : y + px, x : x + px], row, column, cells[row : row + side, column : column + side])


def windows(seed: int, index: int, crop_share: float = 0.1) -> list[Window]:
    """A window about each toy of a packed scene, and about a few of them in their focal crops."""
    rng = random.Random(f"windows/{seed}/{index}")
    packed = packed_scene(seed, index)
    painted = draw(packed)
    pixels, cells = np.asarray(painted), cells_of(packed.toys)
    cuts = [cut(rng, pixels, cells, toy.xyxy) for toy in packed.toys]
    for toy in packed.toys:
        if rng.random() < crop_share:
            crop, window = crop_of(painted, jittered(rng, toy.xyxy))
            cuts.append(cut(rng, crop, cells_of(packed.toys, window), to_window(toy.xyxy, window)))
    return cuts


@lru_cache(maxsize=1)
def held_out_windows() -> list[Window]:
    """Windows of scenes that no training sees (seed 1000)."""
    return [window for index in range(60) for window in windows(1000, index)]


def without(toys: tuple[Toy, ...], keep: int, rng: random.Random) -> tuple[Toy, ...]:
    """`keep` of the toys, in reading order."""
    kept = set(rng.sample(range(len(toys)), keep))
    return tuple(toy for place, toy in enumerate(toys) if place in kept)


def thinned_scene(seed: int, index: int) -> Scene:
    """A packed scene less up to five of its toys: the counts of the world, and six."""
    rng = random.Random(f"thinned/{seed}/{index}")
    packed = packed_scene(seed, index)
    return replace(packed, toys=without(packed.toys, rng.randint(1, len(packed.toys)), rng))
