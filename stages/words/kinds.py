"""Kinds of things: which nouns may pool what is said of them, and which stand for things that cannot be taken for each other.

Words only. A noun that no list knows is of the kind "" and has no siblings.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache

from stages.words.ambiguity import canonical_noun, canonical_value, is_another_one, may_be_both_true
from stages.words.nouns import SINGULAR_IN_S, is_plural, plural_of, singular
from stages.words.scales import BREADTHS, COAT_APART, COATED, DYED, DYED_APART, HAIR, HAIR_APART, LINES, UPHOLSTERED, WAY_APART

_PLURAL_ONLY = SINGULAR_IN_S - {"lens", "gas", "bus", "canvas", "atlas", "cactus", "news", "mathematics"}
# A line is one kind: things that nobody takes for each other, then after "|" those that are of the kind and may be one of these.
_KINDS: dict[str, str] = {
    "garment": """shirt jacket dress skirt pants shorts robe vest apron scarf sock glove tie sweater bikini swimsuit cape
        collar coat |  clothing outfit uniform attire suit jeans trousers blouse hoodie tunic gown cardigan leggings kimono costume top
        t-shirt
        sleeve armor wear garment cloak shawl poncho blazer tights sleeves hem lapel cuff""",
    "headwear": "hat helmet crown headband wig | cap beanie turban hood headdress veil hijab visor fedora beret bonnet",
    "footwear": "sandal sneaker boot slipper | shoe heel loafer flip-flop cleat skate footwear",
    "accessory": """necklace bracelet watch earring belt ring purse backpack umbrella sunglasses wallet brooch button zipper
        | suitcase briefcase luggage satchel bag handbag strap glasses lanyard badge jewelry pendant bow ribbon lace buckle""",
    "hair": "beard mustache ponytail braid | hair eyebrow bang fur mane whisker strand fringe curl bun",
    "body": """hand arm leg head eye nose ear mouth shoulder elbow knee foot finger neck chest tail wing beak paw horn tongue feather
        claw tooth
        | face wrist body forehead cheek lip hip waist thumb chin skin belly torso breast muzzle snout hoof petal fin
        antler pupil nail ankle thigh plumage scale""",
    "person": """man woman boy girl baby | person child player driver soldier tourist spectator passenger rider individual people toddler
        pedestrian worker lady guy chef dancer singer figure skater surfer student officer musician performer model adult teenager kid
        guitarist artist pitcher batter character cyclist gymnast bride groom father mother waiter waitress nurse policeman policewoman
        farmer
        fisherman sailor clown athlete goalkeeper referee runner jogger skier snowboarder climber swimmer boxer wrestler hiker pilot
        teacher doctor firefighter cook baker barber butcher drummer pianist violinist conductor monk nun priest knight king
        queen businessman businesswoman bridesmaid grandmother grandfather sister brother son daughter bagpiper juggler
        acrobat ballerina golfer vendor seller shopper customer cowboy""",
    "animal": """dog cat horse cow sheep bird fish bear elephant pig goat duck owl frog snake turtle butterfly monkey rabbit donkey deer
        chicken giraffe zebra lion tiger fox squirrel bee spider crab penguin camel llama moose peacock
        | puppy kitten beetle bull animal creature insect pigeon seagull parrot swan eagle rooster kitty wolf lizard dragonfly moth shrimp
        starfish dinosaur dragon goose hen lamb calf pony lobster whale dolphin shark octopus bat mouse rat""",
    "vehicle": """car truck bus van bicycle motorcycle train boat airplane helicopter wagon tractor scooter wheelchair carriage cart
        | sedan vehicle automobile plane aircraft jet ship suv bike taxi airliner locomotive tram ambulance minivan pickup canoe kayak
        sailboat yacht ferry tank trailer trolley fighter convertible porsche bmw vessel hatchback coupe jeep""",
    "vehicle part": """wheel bumper headlight windshield fender propeller handlebar hubcap dashboard saddle mast hood seat
        | tire hull rim spoke cockpit cab taillight fuselage engine motor deck keel exhaust mirror pedal""",
    "building": """house tower church castle skyscraper bridge tent barn windmill lighthouse stadium greenhouse shed fortress temple
        | building cathedral home hotel structure store cottage cabin restaurant museum garage edifice monument station hall mosque palace
        mansion storefront pavilion facility shop kiosk bungalow obelisk hut school gazebo""",
    "building part": """roof wall door window balcony chimney staircase pillar fence gate ceiling floor railing awning dome arch pole
        beam tile brick
        | column ledge porch doorway entrance facade archway stairs step panel shutter pane walkway deck platform barrier baseboard
        molding trim post plank slat canopy curb windowsill sill threshold banister handrail roofline cornice partition""",
    "ground": """grass sand snow gravel sidewalk road carpet dirt water mud
        | street ground lawn path pathway driveway asphalt pavement field walkway track runway tarmac terrain earth soil land lane surface
        curb crosswalk turf mulch moss concrete ice puddle trail highway cobblestone court patio courtyard""",
    "landform": """mountain beach river lake forest island cliff waterfall desert valley sky rock cloud
        | hill sea ocean boulder stone shore pond stream hillside ridge peak canal coast mound slope wave horizon canyon cave
        creek bay cove dune pebble coral glacier shoreline bank""",
    "plant": """tree bush flower cactus vine mushroom fern palm leaf trunk branch petal
        | shrub stem twig weed grass plant foliage greenery bloom blossom bud herb moss stalk bark sunflower rose
        orchid tulip daisy lily frond sprig hedge stamen seed root log stump thorn needle pine oak ivy bouquet vegetation lotus""",
    "furniture": """chair table bed sofa bench desk bookshelf cabinet stool dresser crib shelf
        countertop
        | couch armchair drawer furniture seat counter cupboard wardrobe nightstand ottoman workbench rack armrest podium
        pedestal pew headboard throne recliner""",
    "textile": """curtain towel blanket pillow rug tablecloth napkin flag banner mattress
        | cushion carpet mat sheet cloth tapestry tarp ribbon cover fabric bedspread quilt drape bedding placemat doily tassel net rope
        string cord thread blind""",
    "container": """bowl plate cup bottle vase basket bucket box jar barrel pot kettle tray
        glass | mug dish container can pan tank saucer crate planter case pitcher carton jug urn pail bin trashcan lid tube canister
        package packet sack pouch teapot goblet wineglass tumbler beaker holder""",
    "utensil": "spoon fork knife whisk ladle spatula chopsticks tongs | blade utensil straw cutlery skewer toothpick grater peeler",
    "tool": """hammer ladder broom axe sword rifle shovel scissors paintbrush hose umbrella racket
        | tool gun cannon weapon stick rod saw wrench drill spear bow arrow shield rope chain hook nail screw bolt crane bat club wand pen
        pencil brush tripod harness leash rake handle lever pipe wire cable""",
    "food": """bread cake pizza sandwich salad soup cheese rice egg noodle cookie burger steak fries taco pancake sausage donut sauce
        | meat chicken dessert pasta chocolate fry slice food waffle fish bun bacon sushi ice-cream cream cupcake pie frosting icing
        crust topping syrup dough roll patty ham butter nut cereal curry dip candy broth snack tortilla beef pork""",
    "produce": """apple banana orange tomato carrot onion lemon strawberry pumpkin corn potato broccoli cucumber lettuce mushroom grape
        cherry pineapple watermelon pear
        | pepper fruit vegetable berry herb lime cabbage spinach peach mango avocado bean pea celery garlic olive blueberry raspberry basil
        parsley cilantro radish squash kiwi""",
    "drink": "coffee beer wine milk juice tea | beverage liquid water drink cocktail soda smoothie lemonade champagne latte",
    "device": """television laptop camera telephone clock lamp microphone keyboard speaker fan stove refrigerator toaster printer radio
        | monitor screen phone tablet computer light bulb streetlight lantern candle machine robot grill sink oven microwave chandelier
        sconce device antenna gauge remote mouse drum speedometer headlight flashlight fixture socket switch outlet headphones projector
        faucet
        toilet bathtub""",
    "instrument": "guitar piano drum violin trumpet harp saxophone flute | instrument cello accordion keyboard banjo cymbal ukulele bass",
    "picture": """sign statue painting poster map mural calendar
        | sculpture book sticker label card logo emblem drawing photograph picture plaque sketch graffiti billboard advertisement page
        menu print banner tag symbol icon lettering text word font inscription number numeral spot line
        rectangle square pattern border outline shape carving figurine patch mark artwork graphic illustration
        embroidery decal crest coin stamp cross diamond hexagon oval band swirl""",
    "mark": "stripe letter star circle heart triangle arrow | dot",
    "toy": "ball doll balloon kite swing skateboard surfboard snowboard puzzle | toy bat frisbee puppet slide block dice card robot teddy",
}


# What a thing of a kind may well have beside any other of its parts, in the colour or the state that is said of that one.
_PARTS: dict[str, frozenset[str]] = {
    kind: frozenset(parts.split())
    for kind, parts in {
        "person": """beard moustache goatee ponytail braid pigtail earring necklace bracelet ring watch glasses sunglasses scar tattoo
        freckle nail eyebrow belt backpack bag handbag ribbon badge headphones hairband hairclip hair eye lip eyelash glove scarf
        lanyard bow pin""",
        "animal": """tail ear mane paw leg head face eye belly chest back neck wing collar bridle halter saddle leash bell tag band leg-band
        hoof foot whisker feather spot patch marking harness muzzle throat breast""",
        "container": "lid rim base bottom spout label knob cap stopper neck tap tray body side edge lip tag interior foot",
        "furniture": """leg arm armrest back backrest seat drawer shelf cushion knob handle headboard base top edge frame footrest trim door
        pillow side panel""",
        "vehicle": """wheel tire rim hubcap bumper headlight taillight fender mirror roof door window stripe rack seat light logo plate hood
        hull cabin deck oar fin nose tail bonnet body cab mudguard trim grille rope sail mast""",
        "building": """door window roof shutter balcony chimney column awning gate porch staircase step tower railing dome arch sign fence
        trim wall frame gable facade spire turret lantern""",
        "garment": """sequin bead pearl embroidery ruffle train bow button collar pocket zipper sleeve hood cuff belt hem lining trim logo
        lace stripe ribbon waistband lapel seam fringe""",
        "headwear": "sequin bead pearl embroidery brim band ribbon strap logo visor tassel feather bow trim peak stripe",
        "footwear": "sole lace buckle heel toe strap tongue stripe logo trim",
        "accessory": "strap buckle zipper pocket handle tag clasp lining flap trim chain dial",
        "device": "screen button keyboard handle cord cable stand base dial knob antenna light lens key speaker lid port frame border trim",
        "tool": "handle blade tip head grip strap cap",
        "utensil": "handle blade tip head grip",
        "instrument": "string key neck body strap pedal stand bridge",
        "plant": "leaf flower bloom bud thorn stem branch root hip petal blossom trunk shoot",
        "textile": "fringe tassel border hem stripe sequin bead embroidery trim lace edge",
        "building part": "railing gate window door step panel post light shutter pane frame bolt hinge lock",
        "picture": "letter lettering arrow border frame number symbol logo text edge word background",
        "food": """cheese tomato onion olive lettuce mushroom pepper basil sauce ham bacon cucumber cream sprinkle seed nut topping frosting
        icing egg herb berry cherry strawberry""",
    }.items()
}
# What stands at one place, or does one thing: of a line a thing has one, or one and another that is told from it.
_SAME_PLACE = tuple(
    frozenset(line.split())
    for line in """
        hat cap helmet hood crown wig turban bonnet beret headband bandana headscarf visor beanie fedora sombrero tiara veil
        braid bun dreadlock mohawk afro
        ponytail mohawk afro dreadlock
        wheel castor glide runner track skid
        leg pedestal castor wheel glide
        lid cork
        horn antler
        beak snout muzzle trunk
        wing fin flipper
        hoof paw claw talon
        fur feather scale wool fleece
        tie bow bow-tie cravat
        skirt trousers pants shorts kilt jeans leggings
        shoe boot sandal slipper sneaker clog
        glasses goggles sunglasses monocle eyepatch
        sail oar outboard
        spout tap
        """.strip().splitlines()
)
# Whose face has no beard.
_BEARDS = frozenset("beard moustache mustache goatee stubble".split())
_WITHOUT_BEARDS = frozenset(
    canonical_noun(noun) for noun in "woman girl boy child baby toddler lady bride mother sister grandmother queen".split()
)
# Garments of one piece, which have none of these.
_OF_ONE_PIECE = frozenset("scarf glove mitten sock stocking tie shawl".split())
_FASTENED = frozenset("button pocket collar hood sleeve zipper lapel waistband".split())
# Headwear of a hard shell, which has nothing sewn on.
_HARD_SHELLED = frozenset("helmet hardhat hard-hat".split())
_SEWN_ON = frozenset("sequin bead pearl embroidery ribbon tassel feather bow".split())
# What has a handle, which else is none of the parts that a container may have.
_HANDLED = frozenset(
    canonical_noun(noun) for noun in "cup kettle pot pan jug pitcher bucket basket teapot saucepan tankard urn bin canister can".split()
)


# What has no plural and no "a": it and a thing that can be counted do not stand in each other's place.
_MASS = frozenset(
    "grass sand snow gravel dirt water mud bread rice soup cheese salad steak coffee beer wine milk juice tea corn lettuce broccoli".split()
)


def _table() -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    kinds: dict[str, str] = {}
    siblings: dict[str, tuple[str, ...]] = {}
    for kind, line in _KINDS.items():
        apart, _, others = line.partition("|")
        siblings[kind] = tuple(apart.split())
        for word in (*apart.split(), *others.split()):
            kinds.setdefault(canonical_noun(word), kind)
    return kinds, siblings


_KIND_OF, _SIBLINGS = _table()


@lru_cache(maxsize=65536)
def kind_of(noun: str) -> str:
    """The kind of a noun, in the singular or the plural; empty where no list knows it."""
    return _KIND_OF.get(canonical_noun(noun.lower()), "")


def may_be_both_true_of(noun: str, kind: str, a: str, b: str) -> bool:
    """Whether a thing of this noun of which `a` is true may also be called `b`, as far as words can tell before a judge looks.

    Brown hair is not grey and a brown shirt not red, though a brown table may be either; a thin line is not wide, a thin board may be.
    """
    names = canonical_value(kind, a), canonical_value(kind, b)
    apart = _apart(noun, kind)
    if any(other in apart.get(value, "").split() for value, other in (names, names[::-1])):
        return False
    return may_be_both_true(kind, a, b) and not is_another_one(kind, a, b)


def _kinds_by_ending(noun: str) -> tuple[str, ...]:
    """The kind of a noun and that of the noun it ends with: a sandcastle is a castle, a wheelchair a chair too.

    One that no list knows passes for a container, whose parts most things that are made have.
    """
    endings = (noun[i:] for i in range(1, len(noun) - 3))
    kinds = (kind_of(noun), next((kind_of(ending) for ending in endings if kind_of(ending)), ""))
    return tuple(dict.fromkeys(kind for kind in kinds if kind)) or ("container",)


def may_have_too(noun: str, old: str, new: str) -> bool:
    """Whether a thing of this noun that has one part may well have the other too, so that naming it is no negative.

    A kettle with a black handle may have a black lid; a chair on castors has no glides.
    """
    first, second = (singular(part.split()[-1]) for part in (old, new))
    if first == second:
        return True
    if any({first, second} <= place for place in _SAME_PLACE) or (second in _BEARDS and canonical_noun(noun) in _WITHOUT_BEARDS):
        return False
    if second in _FASTENED and singular(noun) in _OF_ONE_PIECE:
        return False
    if second in _SEWN_ON and singular(noun.split()[-1]) in _HARD_SHELLED:
        return False
    has_handle = second in ("handle", "grip") and canonical_noun(noun) in _HANDLED
    return (
        has_handle or any(second in _PARTS.get(kind, ()) for kind in _kinds_by_ending(noun.lower())) or may_be_both_true("object", old, new)
    )


def _apart(noun: str, kind: str) -> Mapping[str, str]:
    """Values that exclude each other on things of this noun, though not on others."""
    if kind == "colour":
        is_dyed = kind_of(noun) in DYED or singular(noun) in UPHOLSTERED
        if singular(noun) in COATED:
            return COAT_APART
        return HAIR_APART if singular(noun) in HAIR else DYED_APART if is_dyed else {}
    if kind == "material":
        return {"ground": WAY_APART}.get(kind_of(noun), {})
    return BREADTHS if kind == "size" and singular(noun) in LINES else {}


@lru_cache(maxsize=65536)
def siblings_of(noun: str) -> tuple[str, ...]:
    """Nouns of the same kind that a thing of this noun can not be called, in its number; empty where no list knows it as one apart."""
    apart = _SIBLINGS.get(kind_of(noun), ())
    if canonical_noun(noun.lower()) not in map(canonical_noun, apart):
        return ()
    siblings = (word for word in apart if (word in _MASS) == (noun.lower() in _MASS) and not may_be_both_true("object", word, noun.lower()))
    formed = (_in_number_of(noun.lower(), word) for word in siblings)
    return tuple(word for word in formed if word is not None)


def siblings_among(noun: str, nouns: Iterable[str]) -> dict[str, str]:
    """Those of `nouns` that a thing of this noun can not be called, as they stand there, each with its form in this noun's number."""
    apart = {canonical_noun(word) for word in siblings_of(noun)}
    others = (
        noun_among for noun_among in nouns if canonical_noun(noun_among) in apart and (noun_among in _MASS) == (noun.lower() in _MASS)
    )
    formed = {noun_among: _in_number_of(noun.lower(), noun_among) for noun_among in others}
    return {noun_among: form for noun_among, form in formed.items() if form is not None}


def is_several(noun: str) -> bool:
    """Whether a noun as it stands is of several things, or is never of one, as trousers are."""
    noun = noun.lower()
    return noun in _PLURAL_ONLY or (is_plural(noun) and noun not in _MASS)


def _in_number_of(noun: str, other: str) -> str | None:
    """The other noun in the singular or the plural, as the first one is; None where it has no such form by rule."""
    if not is_several(noun):
        return None if other in _PLURAL_ONLY else other
    if other in _PLURAL_ONLY:
        return other
    return None if other in _MASS else plural_of(other)
