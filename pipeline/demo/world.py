"""The demo's world: which toys stand where in scene (seed, index), and what is true of it in words.

Knows nothing of pixels' colours (draw.py) or of models. Every fact is a function of (seed, index).
Sizes and places keep gaps between their classes, so that the words are never a matter of taste.
"""

import random
from dataclasses import dataclass, replace

SIDE_PX = 224
NOUNS = ("car", "fish", "house", "mug", "mushroom", "star")
COLOURS = ("red", "yellow", "green", "blue", "purple", "white", "black")
PATTERNS = ("plain", "striped", "spotted")
MATERIALS = ("rubber", "metal")
SIZES_PX = {"small": (20, 22), "medium": (33, 40), "large": (54, 64)}
POSITIONS = ("top left", "top centre", "top right", "bottom left", "bottom centre", "bottom right")
BACKGROUNDS = ("wooden table", "tiled floor", "sandy beach", "grassy lawn")
PARTS = {
    "car": "two black wheels",
    "fish": "a round eye",
    "house": "a brown door",
    "mug": "a handle",
    "mushroom": "a pale stem",
    "star": "five points",
}
NUMBERS = ("zero", "one", "two", "three", "four", "five")
# Width and height as shares of the longer side; draw.py fills this frame to its borders.
ASPECTS = {"car": (1.0, 0.62), "fish": (1.0, 0.6), "house": (0.86, 1.0), "mug": (1.0, 0.86), "mushroom": (1.0, 0.95), "star": (1.0, 0.96)}
SLOTS = {"colour": COLOURS, "pattern": PATTERNS, "material": MATERIALS, "object": NOUNS, "size": tuple(SIZES_PX)}


@dataclass(frozen=True)
class Toy:
    """One object. `xyxy` is its tight box in pixels of the 224 x 224 image."""

    noun: str
    colour: str
    pattern: str
    material: str
    size: str
    position: str
    xyxy: tuple[int, int, int, int]
    also: tuple[tuple[str, str], ...] = ()  # (slot, second value) of a toy that has two: ("colour", "white") of a red-and-white car

    def values(self, slot: str) -> tuple[str, ...]:
        """All that is true of the toy in a slot, the main value first."""
        main = self.noun if slot == "object" else getattr(self, slot)
        return (main, *(value for name, value in self.also if name == slot))

    @property
    def expression(self) -> str:
        """What a crop shows: the short region expression."""
        return f"a {self.colour} {self.pattern} {self.material} {self.noun}"

    @property
    def long_expression(self) -> str:
        return f"{self.expression} with {PARTS[self.noun]}"

    @property
    def phrase(self) -> str:
        """What the long caption says of it: the expression with its size."""
        return f"a {self.size} {self.colour} {self.pattern} {self.material} {self.noun}"


@dataclass(frozen=True)
class Scene:
    """One image's ground truth; toys in reading order."""

    seed: int
    index: int
    background: str
    toys: tuple[Toy, ...]

    @property
    def short_caption(self) -> str:
        count = len(self.toys)
        return f"{NUMBERS[count].capitalize()} {'toy' if count == 1 else 'toys'} on a {self.background}."

    @property
    def long_caption(self) -> str:
        count = len(self.toys)
        first = f"{NUMBERS[count].capitalize()} {'toy stands' if count == 1 else 'toys stand'} on a {self.background}."
        return " ".join([first, *(f"At the {toy.position} there is {toy.phrase}." for toy in self.toys)])


def scene(seed: int, index: int) -> Scene:
    """The scene (seed, index): 1 to 5 toys, at most one a cell of a 3 x 2 grid, jittered clear of the grid's lines.

    Two toys in five share their noun with another of the scene; no two agree in noun, colour and pattern.
    """
    rng = random.Random(f"toys/{seed}/{index}")
    cells = sorted(rng.sample(range(6), rng.choices((1, 2, 3, 4, 5), (1, 2, 3, 3, 2))[0]))
    looks: list[tuple[str, str, str]] = []
    while len(looks) < len(cells):
        noun = rng.choice(looks)[0] if looks and rng.random() < 0.3 else rng.choice(NOUNS)
        look = (noun, rng.choice(COLOURS), rng.choice(PATTERNS))
        if look not in looks:
            looks.append(look)
    toys = tuple(_place(rng, cell, look) for cell, look in zip(cells, looks, strict=True))
    return Scene(seed, index, rng.choice(BACKGROUNDS), toys)


def two_valued_scene(seed: int, index: int, share: float = 0.2) -> Scene:
    """The scene (seed, index) in which about this share of the toys has two colours, or is striped and spotted."""
    rng, single = random.Random(f"two/{seed}/{index}"), scene(seed, index)
    return replace(single, toys=tuple(_two_valued(rng, toy) if rng.random() < share else toy for toy in single.toys))


def _two_valued(rng: random.Random, toy: Toy) -> Toy:
    if toy.pattern != "plain" and rng.random() < 0.4:
        return replace(toy, also=(("pattern", "spotted" if toy.pattern == "striped" else "striped"),))
    return replace(toy, also=(("colour", rng.choice([colour for colour in COLOURS if colour != toy.colour])),))


def _place(rng: random.Random, cell: int, look: tuple[str, str, str]) -> Toy:
    noun, colour, pattern = look
    size = rng.choice(tuple(SIZES_PX))
    longer = rng.randint(*SIZES_PX[size])
    width, height = (max(1, round(longer * share)) for share in ASPECTS[noun])
    column, row = cell % 3, cell // 3
    cell_width, cell_height = SIDE_PX / 3, SIDE_PX / 2
    slack_x, slack_y = min(14.0, (cell_width - width) / 2 - 3), min(18.0, (cell_height - height) / 2 - 3)
    left = round(cell_width * (column + 0.5) + rng.uniform(-slack_x, slack_x) - width / 2)
    top = round(cell_height * (row + 0.5) + rng.uniform(-slack_y, slack_y) - height / 2)
    return Toy(noun, colour, pattern, rng.choice(MATERIALS), size, POSITIONS[cell], (left, top, left + width, top + height))
