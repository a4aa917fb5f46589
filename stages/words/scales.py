"""Which words of a type lie on one scale and so exclude each other, and which go with any other. Data only."""

# Words of two scales, or of a scale and something else, may both be true; those of one scale may not.
_SCALES: dict[str, str] = {
    "size": """
        large small medium
        tall
        long
        short
        wide narrow
        thick thin
        deep shallow
        low
    """,
    "state": """
        open closed
        wet dry
        broken whole
        empty full
        clean dirty
        new old
        young elderly
        rusty
        folded unfolded
        lit unlit
        shiny matte
        smooth rough
        raw cooked
        raised lowered
        leafless lush
        ripe unripe
        cut
    """,
    "shape": """
        round square rectangular oval triangular spherical cylindrical oblong star-shaped heart-shaped hexagonal octagonal conical crescent
        flat
        pointed
        straight curved wavy curly bent twisted coiled
        arched
        domed
        angular
        slanted
        jagged
        serrated
        scalloped
        elongated
    """,
}
# Words of several scales, or of none, that exclude each other all the same: the first of a line and each of the others. A word stands for
# its synonyms (related_words.py) here too. What one thing may well be both is not among them: small and thin, flat and round, curved and
# square.
_OPPOSED: dict[str, str] = {
    "size": """
        short tall long elongated lengthy
        low tall
        small tall long wide bulky hulking
        large minuscule
        slim wide thick bulky chunky stocky stout plump fat
        thin bulky chunky stocky stout plump fat bold
        tall squat stubby stocky dwarf
        long stubby cropped knee-length waist-length
        full-length cropped short
        steep flat gentle shallow
        tight loose baggy
        shallow bottomless
    """,
    "state": """
        abandoned crowded occupied busy
        bald fluffy hairy long-haired
        bare lush blooming full crowded snowy covered clothed furnished decorated
        blooming dead dried withered wilted dormant
        calm rough stormy choppy wavy turbulent dry
        clean messy cluttered
        closed unfolded unzipped unbuttoned unlocked
        cloudy cloudless clear starry
        cooked uncooked unbaked
        cracked whole smooth pristine
        crowded empty deserted uncrowded
        crumpled smooth ironed flat stretched pressed folded
        wrinkled smooth ironed flat stretched pressed inflated pristine
        broken flawless undamaged repaired mended fixed working functional sturdy
        cracked flawless undamaged repaired mended
        cut whole uncut unsliced
        dead living alive
        dilapidated new whole pristine tidy shiny renovated restored
        dried wet lush blooming green fresh
        dry lush snowy
        empty stacked
        faded new shiny vivid
        fluffy smooth rough matted
        foamy still dried flat
        folded open outstretched
        frozen melted blooming liquid boiling thawed
        inflated deflated crumpled folded
        leafy leafless bare dead withered barren
        lit dark dim
        loose tied tight taut
        lush barren dead withered leafless dry parched patchy sparse
        melted whole
        messy neat organized
        modern old antiquated traditional medieval historic old-fashioned rustic
        new peeling ruined used secondhand
        old middle-aged teenage
        open zipped buttoned sealed locked covered
        outstretched crossed bent
        parked moving speeding racing driving
        paved unpaved dirt grassy sandy
        peeled unpeeled
        peeling smooth shiny
        pristine dead withered dirty broken faded rusty crumpled cloudy melted messy ruined peeling
        ripe green
        ruined whole tidy
        rusty clean shiny new
        shiny dull dirty rough
        shredded whole
        smiling crying frowning
        smooth bumpy coarse jagged uneven
        snowy lush green grassy snowless snow-free
        stacked scattered strewn
        stained clean pristine immaculate unstained washed bleached
        muddy dry clean shiny pristine
        dusty wet clean shiny pristine
        worn new pristine young
        sunny cloudy rainy stormy foggy gloomy moonlit
        tidy messy cluttered untidy
        tied untied
        unfinished shiny finished complete completed
        wet parched
        whole peeling
        withered green fresh
        young old middle-aged
    """,
    "shape": """
        angular round spherical oval cylindrical curved wavy rounded domed arched curly coiled
        arched square rectangular triangular oval hexagonal octagonal star-shaped heart-shaped spherical coiled
        crescent round
        domed square rectangular triangular conical
        elongated round square spherical short stubby
        flat curved spherical cylindrical conical arched domed wavy coiled curly slanted pointed twisted bulging hilly bulbous bowl-shaped
        heart round square
        jagged round rounded spherical straight
        pointed round spherical blunt floppy rounded square scalloped
        serrated straight smooth rounded
        slanted vertical upright level
        star round square
        straight round spherical arched slanted scalloped crescent zigzag
        coiled unrolled unwound straightened stretched
    """,
    "transparency": """
        transparent cloudy milky murky muddy
    """,
    "pattern": """
        plain text logo printed geometric mottled marbled mosaic tie-dyed
        smooth textured ribbed corrugated quilted
        tiled carpeted
        corrugated flat
    """,
    "object": """
        sneaker boot sandal heel
        boot slipper sandal
    """,
}
# Patterns that go with any other.
MIXING: dict[str, frozenset[str]] = {
    "pattern": frozenset(
        "woven perforated textured studded corrugated tiled paneled mottled marbled mosaic geometric tie-dyed logo "
        "text printed quilted ribbed".split()
    ),
}


def _axes(kind: str) -> dict[str, int]:
    return {word: i for i, scale in enumerate(_SCALES[kind].strip().splitlines()) for word in scale.split()}


AXES: dict[str, dict[str, int]] = {kind: _axes(kind) for kind in _SCALES}
OPPOSED: dict[str, frozenset[frozenset[str]]] = {
    kind: frozenset(frozenset((first, other)) for first, *others in map(str.split, lines.strip().splitlines()) for other in others)
    for kind, lines in _OPPOSED.items()
}
# Words that stand in some pair above.
OPPOSING: dict[str, frozenset[str]] = {kind: frozenset(word for pair in pairs for word in pair) for kind, pairs in OPPOSED.items()}
# What a shade of a colour is not, though the bare colour is near it: light brown is no red.
SHADES_APART: dict[str, frozenset[str]] = {
    shade: frozenset(others.split())
    for shade, others in {
        "light brown": "red maroon rust chocolate orange",
        "light orange": "red rust maroon brown bronze copper amber",
        "light red": "maroon crimson rust brown copper",
        "light yellow": "mustard amber",
        "light blue": "navy teal",
        "light green": "olive teal",
        "light purple": "magenta plum",
        "light pink": "purple magenta fuchsia",
        "light grey": "charcoal brown",
        "light tan": "brown",
        "dark red": "orange coral",
        "dark orange": "coral peach gold",
        "dark brown": "tan gold beige orange grey red",
        "dark blue": "turquoise cyan azure",
        "dark green": "lime mint turquoise cyan",
        "dark pink": "coral peach salmon",
        "dark yellow": "cream lime",
        "dark grey": "silver white",
        "dark purple": "pink",
        "dark tan": "beige white",
    }.items()
}
# Light shades of these may be taken for white, dark ones of those for black; of others not.
NEAR_WHITE = frozenset("grey yellow cream beige silver pink tan".split())
NEAR_BLACK = frozenset("grey blue brown green purple navy charcoal maroon".split())
# Colours that are told apart on such things, though they are near on wood, stone or fur: first the nouns, or the kinds of things.
HAIR = frozenset("hair beard moustache mustache ponytail braid eyebrow fringe bun curl".split())
UPHOLSTERED = frozenset("sofa couch armchair ottoman mattress seat".split())
DYED = frozenset("garment headwear footwear accessory vehicle container device instrument toy picture mark textile".split())
HAIR_APART = {"brown": "grey red orange", "dark": "blonde grey white red orange"}
DYED_APART = {"brown": "grey red", "white": "silver"}
# Materials that are told apart on whole houses and on ways, though a wall or a slab of them may be taken for the other.
HOUSE_APART = {"brick": "stone concrete"}
WAY_APART = {"gravel": "asphalt cobblestone concrete"}
# States that nearly anything may be in, whatever else it is.
CONDITIONS = frozenset(("broken", "cracked", "stained"))
# Who is plainly grown up, by what is said of them or is a part of them.
GROWN_UP = frozenset(
    "elderly old older aged middle-aged bald balding bearded mustached moustached unshaven stubbled grey-haired gray-haired white-haired "
    "silver-haired wrinkled beard moustache mustache goatee stubble wrinkles".split()
)
# What has one breadth alone: a thin line is no wide one, though a thin board may be wide.
LINES = frozenset(
    "line border stripe strip band ribbon strap crack edge edging trim outline rim lettering letter text path road street lane river "
    "stream stem stalk stick pole wire rope chain string cord leg arm neck finger eyebrow belt headband scarf tie sash collar beam".split()
)
BREADTHS = {"thin": "wide", "narrow": "thick"}
# Colours that shade into each other: a mixture of these alone is near whatever one of them is near.
NEUTRAL = frozenset("grey brown beige tan cream white black silver charcoal".split())
