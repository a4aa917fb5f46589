"""English nouns in the singular and the plural, by rule and by a short list of exceptions. Knows words, no phrases."""

import re
from functools import lru_cache

IRREGULAR_PLURALS = {
    "people": "person", "men": "man", "women": "woman", "children": "child", "feet": "foot", "teeth": "tooth", "geese": "goose",
    "mice": "mouse", "leaves": "leaf", "knives": "knife", "shelves": "shelf", "loaves": "loaf", "wolves": "wolf", "calves": "calf",
    "halves": "half", "scarves": "scarf", "hooves": "hoof", "wives": "wife", "cacti": "cactus", "dice": "die", "policemen": "policeman",
    "firemen": "fireman", "workmen": "workman", "fishermen": "fisherman", "snowmen": "snowman", "potatoes": "potato",
    "tomatoes": "tomato", "mangoes": "mango", "cookies": "cookie", "movies": "movie", "brownies": "brownie", "hoodies": "hoodie",
    "zombies": "zombie", "buses": "bus", "gases": "gas", "lenses": "lens", "canvases": "canvas", "axes": "axe",
    "moustaches": "moustache", "mustaches": "mustache",
}  # fmt: skip
# One thing, though the word ends like a plural; and words that are both.
SINGULAR_IN_S = frozenset(
    "glasses sunglasses eyeglasses jeans pants trousers shorts scissors tights leggings pajamas pyjamas binoculars goggles headphones "
    "earphones overalls tongs pliers tweezers shears clothes lens gas bus canvas atlas cactus series species news mathematics "
    "stairs surroundings premises".split()
)
SAME_IN_PLURAL = frozenset("sheep deer fish aircraft series species moose salmon trout swine bison shrimp".split())


def singular(noun: str) -> str:
    """A noun's singular, lower case. A word of no known plural stays as it is."""
    noun = noun.lower()
    if noun in IRREGULAR_PLURALS:
        return IRREGULAR_PLURALS[noun]
    if noun in SINGULAR_IN_S or noun in SAME_IN_PLURAL:
        return noun
    if len(noun) > 4 and noun.endswith("ies"):
        return noun[:-3] + "y"
    if len(noun) > 4 and re.search(r"(ss|x|zz|ch|sh)es$", noun):  # a single s or z before it belongs to house, vase, prize
        return noun[:-2]
    if len(noun) > 3 and noun.endswith("s") and not re.search(r"(ss|us|is)$", noun):
        return noun[:-1]
    return noun


@lru_cache(maxsize=4096)
def plural_forms(noun: str) -> frozenset[str]:
    """The noun and its plurals as texts may write them."""
    regular = {noun, f"{noun}s", f"{noun}es"} if noun not in SINGULAR_IN_S else {noun}
    if noun.endswith("y"):
        regular.add(f"{noun[:-1]}ies")
    return frozenset(regular | {plural for plural, one in IRREGULAR_PLURALS.items() if one == noun})
