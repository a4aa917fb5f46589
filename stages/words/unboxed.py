"""Nouns that no box can hold, by kind: what a picture is of in words only. Data, and the one rule for endings."""

import re

# Nouns of the picture itself: true of the frame, never a box.
SCENE_NOUNS = frozenset(
    "photo photograph photography picture image scene scenery view background foreground midground setting shot close-up closeup "
    "composition distance perspective viewpoint vantage angle snapshot capture video footage vista panorama tableau landscape "
    "environment surroundings horizon indoor indoors outdoor outdoors exposure bokeh depiction portrayal rendering rendition zoom".split()
)
# The whole picture's ground, unless a value says how it looks: "a vibrant red backdrop" is a thing.
BACKDROPS = frozenset("backdrop".split())
# Where somebody stands who is not in the picture, or all of it: so with a bare "the" alone.
WHOLE_IF_BARE = frozenset("camera lens room frame world space photographer country".split())
VIEWERS = frozenset("viewer observer beholder".split())
# Nouns of a place in it, or of a thing: "the top" is one, "a red top" the other.
PLACE_NOUNS = frozenset(
    "center centre middle top bottom left right side corner edge front back rear rest area part end portion half third quarter "
    "quadrant one-third two-third three-fourths three-fourth one-fourth one-half one-quarter two-thirds three-quarters fourth fifth "
    "perimeter periphery midpoint midst forefront inside outside position location place spot direction apex margin boundary region "
    "extremity vicinity remainder majority upper lower".split()
)
POSITION_WORDS = frozenset(
    "vertical horizontal and or top bottom left right center centre middle upper lower central mid front back rear far near nearer "
    "farther very extreme opposite outer inner immediate left-hand right-hand lefthand righthand leftmost rightmost topmost uppermost "
    "bottommost same other entire whole exact far-left far-right top-left top-right bottom-left bottom-right upper-left upper-right "
    "lower-left lower-right mid-left mid-right own most either certain different various multiple".split()
)
# Light that falls; "lights" and "a street light" are things.
LIGHTS = frozenset(
    "light lighting sunlight daylight moonlight candlelight sunshine glow glare gleam sheen shine illumination radiance brightness "
    "darkness ambiance brilliance luminosity luminescence twilight backlight backlighting".split()
)
LAMPS = frozenset(
    "street traffic ceiling head tail lamp pendant brake string neon flood spot stop signal fairy porch pole fog wall track "
    "track-lighting led fluorescent christmas warning turn indicator parking stage night reading desk hanging overhead recessed rear "
    "front running police".split()
)
# What stands before "of": an amount or a cover. "A bed of rice" is rice; "the bed of the truck" is a thing.
PORTIONS = frozenset(
    "hundred thousand bed body sprinkling sprinkle smattering scattering dusting drizzle dollop touch pop hint bit mix blend mixture "
    "medley splash dash expanse stretch sea swath tapestry blanket carpet canopy layer mass abundance plethora multitude myriad "
    "majority plenty deal type kind sort style form display juxtaposition combination spectrum palette riot burst array arrangement "
    "ensemble profusion wealth lack hue shade tint tone bevy smear sliver glimpse sense amount quantity swarm backdrop collection "
    "variety range number host".split()
)
# Parts that "of" makes places, whatever else is said of them: a small portion of the wall.
FRACTIONS = frozenset("portion part half third quarter rest majority remainder".split())
# What stands before "of" and a plural: a group is boxed by its members.
COLLECTIVE_NOUNS = frozenset(
    "group pair row set bunch stack pile couple crowd herd flock line cluster collection dozen series number variety handful trio "
    "assortment array pack team range".split()
)
# "Made of", "covered in": what a thing is of, where nothing says which.
SUBSTANCES = frozenset("paint ink cement chrome plaster stucco plywood varnish lacquer material materials".split())
ANAPHORIC = frozenset(
    "first second third last latter former object item thing element one other all something anything everything nothing someone "
    "everyone none such".split()
)
# Nothing in themselves where they stand alone ("on display", "in motion"); things with an article or a word before them.
NOTHING_IF_ALONE = frozenset(
    "parallel wear support pursuit display flight bloom use work play sport art traffic parking nature sentinel service order place "
    "line step practice life construction production turn bay rest store stock duty call watch sale concert guard demand foot hand "
    "mid-air".split()
)
# Properties, acts, times, ideas, languages: the commonest of captions.
ABSTRACT_NOUNS = frozenset(
    "topography subject source atmosphere mood feeling sense impression contrast style design appearance effect ambiance ambience "
    "presence focus detail detailing variety lot number kind type sort way time moment theme touch look expression color colour hue "
    "tint tone undertone shading coloration colouration coloring palette gradient spectrum texture depth dimension shape size length "
    "width height thickness diameter age weight scale scheme symmetry asymmetry balance pattern motif format finish font typeface "
    "serif script cursive italic uppercase lowercase quality condition state manner mode fashion pose posture stance gesture demeanor "
    "attitude persona orientation alignment positioning placement layout profile outline curvature resemblance likeness similarity "
    "difference variation resolution clarity blur visibility transparency opacity motion movement action activity swim stride stroll "
    "walk pace speed velocity momentum rotation takeoff gaze stare glance glimpse peek attention interest curiosity intrigue mystery "
    "drama charm appeal allure elegance sophistication grandeur beauty aesthetic aesthetics splendor majesty warmth freshness "
    "vibrancy whimsy playfulness serenity tranquility calm peace solitude comfort joy happiness love pride fear terror fun excitement "
    "energy vitality strength power force history heritage culture tradition modernity urbanity luxury craftsmanship artistry realism "
    "authenticity simplicity complexity significance importance prominence purpose intent role testament reminder indication "
    "suggestion evidence narrative story tale journey adventure experience memory dream idea concept notion thought meaning context "
    "topic aspect element factor trait attribute characteristic point counterpart example instance representation study technique "
    "method process procedure skill craft conversation interaction relationship connection interplay juxtaposition transition harmony "
    "unity blend mix mixture medley combination fusion concentration abundance plenty plethora majority amount eye-level degree "
    "extent rate maintenance care aging weathering decay erosion fatigue exposure pollution weather season climate temperature wind "
    "breeze impact influence result outcome consequence aftermath reason basis exception absence lack disorder chaos sequence rhythm "
    "repetition regularity irregularity imperfection perfection pop day night morning evening afternoon noon midday midnight dusk "
    "dawn daytime nighttime hour minute year era century decade period summer winter autumn today past present date beginning privacy "
    "safety security danger war battle game option choice possibility opportunity challenge success failure effort attempt task event "
    "celebration festivity tourism education transportation travel commerce business treatment preparation consumption enjoyment "
    "relaxation leisure exercise entertainment language english cyrillic spanish french arabic latin japanese chinese korean german "
    "russian hebrew thai italian information data knowledge gender ethnicity nationality identity personality genre medium hustle "
    "sound noise music silence smell aroma scent taste flavor flavour symbolism imagery metaphor precision intensity density "
    "proximity intimacy stability resilience durability alertness enthusiasm confidence determination dynamism minimalism "
    "commercialism nostalgia magic grace flair opulence decadence lushness desolation formality consistency diversity intricacy "
    "obscurity midflight midstride unison tandem progress disarray disrepair respect regard addition riot total measurement while "
    "stillness arrival departure revenge marvel nightmare hint bit habit routine prayer sight mystique vibe air use usage".split()
)
# Endings of what cannot be seen, and the things that end so too.
_ABSTRACT_ENDING = re.compile(r"(?:ness|ity|ism|ance|ence|tion|sion|ship|hood|acy)$")
_THINGS_SO_ENDING = frozenset(
    "harness witness wilderness business city university community facility utility celebrity cavity deity entity charity nativity "
    "prism mechanism organism fence entrance ambulance appliance audience lance residence substance conveyance seance valance advance "
    "science fiance dance station decoration vegetation reflection illustration inscription section intersection construction "
    "installation foundation plantation projection attraction collection caption junction carnation congregation population "
    "ornamentation accommodation confection condensation portion television mansion extension partition fortification concoction "
    "lotion potion excavation exhibition publication crustacean ammunition constellation protrusion insulation ventilation reception "
    "infection incision lesion concession ship battleship spaceship airship warship steamship starship cruiseship dealership flagship "
    "hood neighborhood neighbourhood legacy pharmacy embankment elevation indentation perforation striation discoloration obstruction "
    "projection-screen destination vacation nation location suspension transmission ignition aviation edition creation auction "
    "instruction question depression abrasion tradition".split()
)


def is_abstract(head: str) -> bool:
    """Whether a noun (singular, lower case) names a property, an event, a time or an idea: nothing that a box can hold."""
    if head in ABSTRACT_NOUNS:
        return True
    word = head.rpartition("-")[2] or head
    return len(word) > 5 and word not in _THINGS_SO_ENDING and _ABSTRACT_ENDING.search(word) is not None
