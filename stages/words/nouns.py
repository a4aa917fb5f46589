"""English nouns in the singular and the plural, by rule and by a short list of exceptions. Knows words, no phrases."""

import re
from functools import lru_cache

IRREGULAR_PLURALS = {
    "people": "person", "men": "man", "women": "woman", "children": "child", "feet": "foot", "teeth": "tooth", "geese": "goose",
    "mice": "mouse", "leaves": "leaf", "knives": "knife", "shelves": "shelf", "loaves": "loaf", "wolves": "wolf", "calves": "calf",
    "halves": "half", "thieves": "thief", "elves": "elf", "scarves": "scarf", "hooves": "hoof", "wives": "wife", "cacti": "cactus",
    "dice": "die", "policemen": "policeman", "firemen": "fireman", "workmen": "workman", "fishermen": "fisherman", "snowmen": "snowman",
    "potatoes": "potato", "tomatoes": "tomato", "mangoes": "mango", "cookies": "cookie", "movies": "movie", "brownies": "brownie",
    "hoodies": "hoodie", "zombies": "zombie", "buses": "bus", "gases": "gas", "lenses": "lens", "canvases": "canvas", "axes": "axe",
    "moustaches": "moustache", "mustaches": "mustache",
}  # fmt: skip
_IRREGULAR = {singular_form: plural for plural, singular_form in reversed(IRREGULAR_PLURALS.items())}  # the first one of a noun
# One thing, though the word ends like a plural; and words that are both.
SINGULAR_IN_S = frozenset(
    "glasses sunglasses eyeglasses jeans pants trousers shorts scissors tights leggings pajamas pyjamas binoculars goggles headphones "
    "earphones overalls tongs pliers tweezers shears clothes lens gas bus canvas atlas cactus series species news mathematics stairs "
    "surroundings premises".split()
)
SAME_IN_PLURAL = frozenset("sheep deer fish aircraft series species moose salmon trout swine bison shrimp".split())

# Things whose names end like participles.
_NAMED_LIKE_PARTICIPLES = frozenset(
    "building ceiling railing painting wing ring string awning clothing lettering writing siding housing opening marking parking "
    "swing king evening morning earring covering flooring coating topping dumpling frosting icing lining molding moulding casing "
    "edging drawing engraving carving fencing fitting stocking legging bedding landing crossing wedding sibling duckling spring thing "
    "sling pudding stuffing paneling panelling roofing decking netting piping plumbing wiring scaffolding tubing stitching webbing "
    "padding lighting shading seating sapling dwelling bling herring offering bearing banding beading bunting cladding grating "
    "glazing framing trimming wrapping packaging rigging plating offspring handwriting shelving nothing something anything everything "
    "being shilling outing gathering heading footing seasoning bed seed shed sled weed reed breed feed steed hundred red flatbed "
    "seaweed seabed bloodshed embed flowerbed watershed moped biped quadruped crossbred greed creed deed need speed thread bread head "
    "bobsled".split()
)
_PARTICIPLE = re.compile(r"(?:ing|ed)$")
_ADJECTIVE_ENDING = re.compile(
    r"(?:[^aeiou]y|ed|ous|ful|less|ish|ward|ic|ive|able|ible|al|ant|ent|like|ing|ern|ine|ary|some|ese|ier|iest|esque)$"
)
_PLAIN_ADJECTIVES = frozenset(
    "rich sharp stark bright vivid bold deep high low soft clean neat sleek crisp plump plush damp faint dim dull stout proud warm "
    "cool cold hot fresh grand quaint gaunt blunt loose tight dense coarse fine pure lone single double triple gentle subtle simple "
    "supple fragile modern urban ornate intricate delicate compact robust unique stiff wild mild nude sheer polar solar similar "
    "spectacular popular regular muscular major minor stubby strong weak heavy light dark pale plain slim thin thick tall grim bare "
    "worn torn quick black white red blue green brown grey gray more less".split()
)
_NOUNS_SO_ENDING = frozenset(
    "lady baby body berry cherry sky fly butterfly city party family country lobby balcony library factory grocery pastry puppy kitty "
    "bunny pony daisy lily ivy jelly candy curry army navy toy canary story entry metal animal medal pedal petal crystal festival "
    "hospital mural terminal sandal bandanna plant pant ant elephant restaurant pendant infant giant tent vent event cent student "
    "parent agent patient monument document garment ornament pavement apartment cement tablet vegetable table cable stable marble "
    "fabric mosaic tunic picnic clinic comic traffic music olive hive dive glove stove machine magazine vine pine line engine cuisine "
    "figurine submarine limousine".split()
)


def looks_like_participle(word: str) -> bool:
    """Whether a word ends as verbs of captions do (adding, crossed) and is no thing of such a name."""
    word = word.lower()
    return len(word) > 3 and _PARTICIPLE.search(word) is not None and singular(word) not in _NAMED_LIKE_PARTICIPLES


def looks_like_adjective(word: str) -> bool:
    """Whether a word ends as most adjectives do (crispy, rounded, wooden is none) and is no common noun of such an ending."""
    word = word.lower()
    if word in _PLAIN_ADJECTIVES:
        return True
    named = word in _NOUNS_SO_ENDING or word in _NAMED_LIKE_PARTICIPLES
    return len(word) > 3 and not named and _ADJECTIVE_ENDING.search(word.rpartition("-")[2] or word) is not None


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


def plural_of(noun: str) -> str | None:
    """The plural of a singular noun; None where there is none from which `singular` leads back."""
    noun = noun.lower()
    if noun in _IRREGULAR:
        return _IRREGULAR[noun]
    ending = "es" if noun.endswith(("s", "x", "z", "ch", "sh")) else "s"
    plural = f"{noun[:-1]}ies" if noun.endswith("y") and noun[-2:-1] not in {*"aeiou"} else f"{noun}{ending}"
    return plural if singular(plural) == noun else None


def is_plural(word: str) -> bool:
    """Whether a word is a known plural, by rule or exception; one thing that ends like a plural (jeans) is none."""
    return singular(word) != word.lower()


@lru_cache(maxsize=4096)
def plural_forms(noun: str) -> frozenset[str]:
    """The noun and its plurals as texts may write them."""
    regular = {noun, f"{noun}s", f"{noun}es"} if noun not in SINGULAR_IN_S else {noun}
    if noun.endswith("y"):
        regular.add(f"{noun[:-1]}ies")
    return frozenset(regular | {plural for plural, singular_form in IRREGULAR_PLURALS.items() if singular_form == noun})
