"""Sets of expressions in which the truth is known: reciprocal blocks, which give nothing away, and leaks planted into them."""

import random
from collections.abc import Callable

from schemas.audit import AuditItem

NOUNS = "ball cart drum fish kite lamp mug shoe truck wagon apple owl".split()
COLOURS = "black white green brown beige ivory khaki olive".split()  # of one length: which is which is no matter of letters
MATERIALS = "metal glass paper cloth".split()
OPTIONS = 4
CHANCE = 1 / OPTIONS
NUM_BLOCKS = 90


def expression(colour: str, material: str, noun: str) -> str:
    return f"{'an' if colour[0] in 'aeiou' else 'a'} {colour} {material} {noun}."


def reciprocal_blocks(seed: int = 0, num_blocks: int = NUM_BLOCKS) -> list[AuditItem]:
    """Blocks of four expressions of one noun; each is once the positive, the other three are its negatives."""
    rng, items = random.Random(seed), []
    for block in range(num_blocks):
        noun = NOUNS[block % len(NOUNS)]
        texts = [expression(colour, rng.choice(MATERIALS), noun) for colour in rng.sample(COLOURS, OPTIONS)]
        for place, text in enumerate(texts):
            others = [other for other in texts if other != text]
            items.append(AuditItem(positive=text, negatives=others, image=f"{block}-{place}", noun=noun, types=["colour"] * len(others)))
    return items


def with_negatives(change: Callable[[str, random.Random], str]) -> list[AuditItem]:
    """Reciprocal blocks whose negatives are changed."""
    rng = random.Random(1)
    return [
        item.model_copy(update={"negatives": tuple(change(text, rng) for text in item.negatives)}) for item in reciprocal_blocks(seed=1)
    ]


def with_positives(change: Callable[[str, random.Random], str]) -> list[AuditItem]:
    """Reciprocal blocks whose positives are changed."""
    rng = random.Random(1)
    return [item.model_copy(update={"positive": change(item.positive, rng)}) for item in reciprocal_blocks(seed=1)]


def skewed_values() -> list[AuditItem]:
    """Positives are mostly black or white; negatives take all colours alike; no item twice."""
    rng, items = random.Random(2), dict[tuple[str, tuple[str, ...]], AuditItem]()
    while len(items) < 4 * NUM_BLOCKS:
        noun, material = NOUNS[len(items) % len(NOUNS)], rng.choice(MATERIALS)
        true = rng.choice(["black", "white"] * 4 + COLOURS)
        false = rng.sample([colour for colour in COLOURS if colour != true], OPTIONS - 1)
        negatives = tuple(expression(colour, material, noun) for colour in false)
        item = AuditItem(positive=expression(true, material, noun), negatives=negatives, image=str(len(items)), noun=noun)
        items.setdefault((item.positive, item.negatives), item)
    return list(items.values())


_THINGS = "ball cart drum fish kite lamp mug shoe truck wagon apple owl boat chair clock door fence glove horse jar".split()
_SHADES = "black white green brown beige ivory khaki olive red blue".split()


def captioned(num: int, tells_all_at_first: bool) -> list[tuple[str, str, str]]:
    """Name, long caption and other text of images of three coloured things; captions open with them, or with what opens any."""
    rng, scenes = random.Random(4), []
    for number in range(num):
        objects = [f"a {rng.choice(_SHADES)} {noun}" for noun in rng.sample(_THINGS, 3)]
        opening = f"We see {', '.join(objects)}." if tells_all_at_first else "This is a picture of some things in a room."
        caption = " ".join([opening, *(f"There is {name} in it." for name in objects)])
        scenes.append((str(number), caption, " ".join(objects)))
    return scenes
