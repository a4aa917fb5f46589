"""Closed lists of words: what a chunker stops at, what is no region, and which values belong to which attribute type."""

DETERMINERS = frozenset(
    "a an the this that these those some several many few both each every another his her its their my your our one two three four "
    "five six seven eight nine ten eleven twelve".split()
)
PRONOUNS = frozenset(
    "it he she they we you i him her them us this that these those who which what itself himself herself themselves".split()
)
# Where a noun phrase ends when nothing parses it: prepositions, conjunctions, auxiliaries, verbs that captions use.
BOUNDARIES = frozenset(
    "of in on at by with from to into onto over under above below behind beside besides between near next against along across around "
    "through inside outside within without toward towards upon off out up down for as than like during and or but while where when "
    "who which that whose because although though if so then there here is are was were be been being am has have had having do does "
    "did can could will would may might must shall should stand stands standing stood sit sits sitting sat lie lies lying lay hang "
    "hangs hanging hold holds holding held wear wears wearing worn rest rests resting rested lean leans leaning face faces facing "
    "fill fills filled look looks looking walk walks walking run runs running show shows showing shown appear appears appearing cover "
    "covers covered surround surrounds surrounded feature features featuring include includes including contain contains containing "
    "make makes making made take takes taking give gives giving cast casts casting not very also just only quite too both".split()
)
COUNTED = tuple("one two three four five six seven eight nine ten eleven twelve".split())
NUMBERS = {word: number for number, word in enumerate(COUNTED, start=1)} | {"both": 2, "pair": 2, "couple": 2, "trio": 3, "dozen": 12}
SEVERAL = frozenset("several some many few various numerous multiple these those".split())

_COLOURS = (
    "red orange yellow green blue purple pink brown black white grey gray beige tan cream golden gold silver bronze maroon navy teal "
    "turquoise cyan magenta violet lavender olive khaki crimson scarlet burgundy ivory charcoal indigo fuchsia off-white greyish "
    "grayish reddish bluish greenish brownish yellowish pinkish purplish orangish blackish whitish silvery creamy amber aqua azure "
    "cerulean chocolate copper coral lilac lime mauve mint mustard peach plum rose rust salmon sand wine ebony auburn blonde blond "
    "multicolored multi-colored multicoloured ginger ochre dark light pale darker lighter paler"
)
_MATERIALS = (
    "pebble wooden wood metal metallic plastic plastics glass glassy ceramic ceramics leather fabric fabrics textile cloth cotton "
    "wool woolen woollen silk denim paper cardboard stone marble concrete brick rubber rattan wicker velvet suede steel stainless "
    "iron brass bronze copper tin chrome aluminium aluminum porcelain china clay terracotta straw reed bamboo cork plywood vinyl foam "
    "acrylic nylon polyester silicone satin lace felt mesh fur furry crochet crocheted knit knitted linen canvas granite slate "
    "plaster stucco crystal asphalt cement cobblestone gravel dirt hardwood oak mahogany pine sandstone limestone tile wire silvery "
    "cast-iron wrought-iron hemp jute sisal burlap tweed corduroy flannel fleece cashmere chiffon tulle taffeta enamel pewter "
    "nickel resin fiberglass fibreglass laminate leatherette plexiglass perspex veneer"
)
_PATTERNS = (
    "plain striped stripy stripey stripe stripes spotted spot spots dotted dot dots checkered chequered checked check checkerboard "
    "plaid floral flowered flowery patterned unpatterned pattern printed print polka-dotted polka-dot zigzag chevron solid "
    "solid-colored uniform speckled mottled marbled woven perforated holed studded textured quilted ribbed corrugated embroidered "
    "logo lettered lettering letters text camouflage gingham tartan paisley tiled paneled panelled mosaic geometric tie-dye tie-dyed "
    "tabby tortoiseshell calico piebald dappled brindle pinto skewbald pleated ruffled fluted tufted herringbone houndstooth"
)
_SIZES = (
    "high towering compact small medium large big tiny huge little tall short long wide narrow thick thin miniature mini giant "
    "medium-sized mid-sized enormous massive oversized petite skinny slender slim vast broad deep shallow low smaller larger bigger "
    "longer shorter taller wider narrower thicker thinner smallest largest biggest longest shortest tallest widest"
)
_TRANSPARENCIES = "transparent translucent opaque clear see-through frosted semi-transparent"
_STATES = (
    "brand-new pristine tidy messy dilapidated unfinished vintage antique modern reflective toasted baked shredded peeling inflated "
    "deflated tied untied loose open opened closed shut ajar wet dry dried broken intact cracked damaged ruined empty unfilled full filled "
    "clean spotless dirty soiled stained muddy dusty new old older aged ancient young younger elderly rusty rusted worn weathered "
    "faded folded unfolded crumpled wrinkled lit unlit illuminated ripe unripe cut sliced chopped halved peeled whole raw cooked "
    "fried roasted grilled dead leafless lush blooming melted frozen snowy sunny cloudy overcast crowded parked abandoned stacked "
    "raised lowered outstretched bare bald smooth rough glossy shiny polished matte fluffy paved unpaved"
)
_SHAPES = (
    "round rounded circular square squared rectangular rectangle oval elliptical triangular triangle curved flat cylindrical tubular "
    "spherical ball-shaped oblong star-shaped heart-shaped pointed pointy hexagonal octagonal conical domed arched angular curly wavy "
    "straight bent slanted sloped sloping jagged spiky serrated scalloped crescent twisted coiled elongated"
)

TYPES_OF_VALUE: dict[str, frozenset[str]] = {
    "colour": frozenset(_COLOURS.split()),
    "material": frozenset(_MATERIALS.split()),
    "pattern": frozenset(_PATTERNS.split()),
    "size": frozenset(_SIZES.split()),
    "transparency": frozenset(_TRANSPARENCIES.split()),
    "state": frozenset(_STATES.split()),
    "shape": frozenset(_SHAPES.split()),
}
# Values of several words that no part stands for: steel need not be stainless, a lime is no green.
VALUES_OF_WORDS: dict[str, str] = {
    **dict.fromkeys(("stainless steel", "wrought iron", "cast iron", "terra cotta", "faux fur", "faux leather"), "material"),
    **dict.fromkeys(("polka dot", "tie dye", "animal print", "leopard print"), "pattern"),
    **dict.fromkeys(("see through",), "transparency"),
}
# Words before a colour that make it another: "navy blue", "hot pink". The two are one value.
TINTS = frozenset(
    "navy sky royal baby powder midnight steel ocean electric cobalt forest lime olive mint army hunter emerald sea jade hot neon "
    "dusty burnt rose blood brick ruby cherry wine jet pitch snow pearl slate charcoal ash lemon canary mustard golden sandy "
    "chocolate pale light dark deep soft pastel".split()
)

# Values that are things too, whatever stands before them: a glass, two oranges. Alone they are values: of glass.
THINGS_TOO = frozenset(
    "glass orange brick iron canvas stone straw logo rose print fur paper crystal tile text letter lettering stripe dot spot check "
    "pattern triangle rectangle square mosaic crescent felt lace".split()
)
# Things that are values before another noun alone: a chocolate brown door, a gravel path.
THINGS_ALONE_TOO = frozenset(
    "pebble text letter lettering logo print pattern amber chocolate coral lilac lime mint mustard olive peach plum salmon sand wine "
    "rust reed wire mesh pine oak gravel dirt asphalt cement cobblestone plaster stucco sandstone limestone knit plain light lush "
    "cork foam clay fleece flannel enamel resin laminate veneer nickel ginger pewter".split()
)
# Parts that are nearly all that one sees of a thing: their values are its own. Marks all over it are so in the plural alone.
SURFACES = frozenset(
    "surface face inside interior lining outside exterior outer half section body frame shell case casing "
    "finish paint coating cover upholstery skin coat fur feather plumage scale hide fleece petal facade wall "
    "pattern print design tone hue colour color shade tint background base ground area panel fabric cloth material texture weave "
    "stripes dots spots checks squares patches splotches streaks swirls markings bands".split()
)
# What one sees of a plant is its leaves; of a flower or a fruit it is not.
LEAFY = frozenset("tree bush shrub hedge plant houseplant vine branch fern weed palm".split())
LEAVES = frozenset("leaf foliage needle frond".split())
# Matter that the lists know as a colour alone.
MATTER_TOO = frozenset("chocolate coral amber ivory ebony sand salmon mustard wine mint".split())
# Words of matter that are no nouns: "the wooden" is nothing.
ADJECTIVES_ONLY = frozenset("wooden metallic woolen woollen furry glassy crocheted knitted stainless golden silvery".split())
# Participles that say what a thing is for: the two are one thing.
PURPOSES = frozenset(
    "fishing mixing frying rolling filing cutting chopping dining sewing washing vending parking shopping swimming rowing walking "
    "ironing baking serving measuring watering gardening camping hiking racing bowling boxing skating changing diving hunting riding "
    "reading writing sailing knitting building crossing drawing drinking cooking wedding dressing waiting rocking mowing weighing".split()
)
COMMON_VALUES: dict[str, tuple[str, ...]] = {
    "colour": tuple("red yellow green blue purple white black brown orange pink".split()),
    "material": tuple("wooden metal plastic glass leather fabric stone ceramic".split()),
    "pattern": tuple("plain striped spotted checkered floral".split()),
    "size": ("small", "large"),
    "transparency": ("transparent", "opaque"),
    "state": tuple("open closed empty full wet dry broken folded".split()),
    "shape": tuple("round square triangular oval rectangular".split()),
}
# Values that are offered as new ones, the commonest in descriptions first: plain words that most phrases can take in the old one's
# place. Dealt values follow that order, for a value that is rarer among positives than among negatives gives these away.
OFFERED_VALUES: dict[str, tuple[str, ...]] = {
    "colour": tuple("black white grey brown blue red green yellow orange pink beige purple silver gold turquoise".split()),
    "material": tuple("plastic metal wooden glass fabric leather ceramic paper stone rubber wicker".split()),
    "pattern": tuple("striped checkered floral spotted plain zigzag camouflage".split()),
    "transparency": ("transparent", "translucent", "opaque"),
    "size": tuple("small large long tall short medium wide narrow thick thin".split()),
    "state": tuple("open closed empty full old new wet dry dirty clean broken intact folded unfolded lit unlit ripe unripe".split()),
    "shape": tuple("round square rectangular oval triangular heart-shaped star-shaped".split()),
}


def types_of(value: str) -> frozenset[str]:
    """The attribute types that know this value; empty where none does. The last word of a compound decides ("dark red").

    A hyphen joins colours ("reddish-brown", "light-grey"); what ends in -shaped is a shape, "cream-coloured" a colour.
    """
    value = value.lower()
    words = value.split()
    if not words:
        return frozenset()
    if value in VALUES_OF_WORDS:
        return frozenset({VALUES_OF_WORDS[value]})
    listed = frozenset(name for name, values in TYPES_OF_VALUE.items() if words[-1] in values or value in values)
    return listed or _types_of_hyphenated(words[-1])


def _types_of_hyphenated(word: str) -> frozenset[str]:
    *first, last = word.split("-")
    colours = TYPES_OF_VALUE["colour"]
    if not first:
        return frozenset()
    if last == "shaped":
        return frozenset({"shape"})
    if last in ("colored", "coloured", "toned", "tinted"):
        return frozenset({"colour"}) if all(part in colours | TINTS for part in first) else frozenset()
    is_colour = last in colours and all(part in colours | TINTS | {"and", "bright", "medium", "off"} for part in first)
    return frozenset({"colour"}) if is_colour else frozenset()
