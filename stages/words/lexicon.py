"""Closed lists of words: what a chunker stops at, what is no region, and which values belong to which attribute type."""

DETERMINERS = frozenset(
    "a an the this that these those some several many few both each every another his her its their my your our "
    "one two three four five six seven eight nine ten eleven twelve".split()
)
PRONOUNS = frozenset(
    "it he she they we you i him her them us this that these those who which what itself himself herself themselves".split()
)
# Where a noun phrase ends when nothing parses it: prepositions, conjunctions, auxiliaries, verbs that captions use.
BOUNDARIES = frozenset(
    "of in on at by with from to into onto over under above below behind beside besides between near next against along "
    "across around through inside outside within without toward towards upon off out up down for as than like during "
    "and or but while where when who which that whose because although though if so then there here "
    "is are was were be been being am has have had having do does did can could will would may might must shall should "
    "stand stands standing stood sit sits sitting sat lie lies lying lay hang hangs hanging hold holds holding held "
    "wear wears wearing worn rest rests resting rested lean leans leaning face faces facing fill fills filled "
    "look looks looking walk walks walking run runs running show shows showing shown show appear appears appearing "
    "cover covers covered surround surrounds surrounded feature features featuring include includes including "
    "contain contains containing make makes making made take takes taking give gives giving cast casts casting "
    "not very also just only quite too both".split()
)
NUMBERS = {
    word: number for number, word in enumerate("one two three four five six seven eight nine ten eleven twelve".split(), start=1)
} | {"both": 2, "pair": 2, "couple": 2, "trio": 3, "dozen": 12}
SEVERAL = frozenset("several some many few various numerous multiple these those".split())

_COLOURS = (
    "red orange yellow green blue purple pink brown black white grey gray beige tan cream golden gold silver bronze maroon "
    "navy teal turquoise cyan magenta violet lavender olive khaki crimson scarlet burgundy ivory charcoal "
    "indigo fuchsia off-white greyish reddish bluish greenish brownish yellowish pinkish purplish"
)
_MATERIALS = (
    "wooden wood metal metallic plastic glass ceramic leather fabric cloth cotton wool woolen woollen silk denim paper "
    "cardboard stone marble concrete brick rubber rattan wicker velvet suede steel iron brass copper aluminium aluminum "
    "porcelain clay straw bamboo vinyl foam fur crochet linen canvas granite"
)
_PATTERNS = (
    "plain striped stripy stripey spotted dotted checkered checked plaid floral patterned printed polka-dotted zigzag solid speckled woven "
    "perforated studded textured logo camouflage gingham tartan"
)
_SIZES = "small medium large big tiny huge little tall short long wide narrow thick thin miniature giant medium-sized"
_TRANSPARENCIES = "transparent translucent opaque clear see-through frosted"
_STATES = "open closed wet dry broken intact empty full clean dirty new old rusty folded unfolded lit unlit ripe unripe cut whole"
_SHAPES = "round square rectangular oval triangular circular curved flat cylindrical spherical star-shaped heart-shaped pointed"

TYPES_OF_VALUE: dict[str, frozenset[str]] = {
    "colour": frozenset(_COLOURS.split()),
    "material": frozenset(_MATERIALS.split()),
    "pattern": frozenset(_PATTERNS.split()),
    "size": frozenset(_SIZES.split()),
    "transparency": frozenset(_TRANSPARENCIES.split()),
    "state": frozenset(_STATES.split()),
    "shape": frozenset(_SHAPES.split()),
}

# Values that are things too: a glass, two oranges.
THINGS_TOO = frozenset(
    "glass orange brick iron canvas stone straw logo rose print fur paper rock log peach plum olive lime coral mustard".split()
)
# Words of matter that are no nouns: "the wooden" is nothing.
ADJECTIVES_ONLY = frozenset("wooden metallic woolen woollen".split())
COMMON_VALUES: dict[str, tuple[str, ...]] = {
    "colour": tuple("red yellow green blue purple white black brown orange pink".split()),
    "material": tuple("wooden metal plastic glass leather fabric stone ceramic".split()),
    "pattern": tuple("plain striped spotted checkered floral".split()),
    "size": ("small", "large"),
    "transparency": ("transparent", "opaque"),
    "state": tuple("open closed empty full wet dry broken folded".split()),
    "shape": tuple("round square triangular oval rectangular".split()),
}


def types_of(value: str) -> frozenset[str]:
    """The attribute types that know this value; empty where none does. The last word of a compound decides ("dark red")."""
    words = value.lower().split()
    if not words:
        return frozenset()
    return frozenset(name for name, values in TYPES_OF_VALUE.items() if words[-1] in values or value.lower() in values)
