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
        old teenage
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
        l-shaped straight curved round
        u-shaped straight
        domed square rectangular triangular conical
        elongated round square spherical short stubby
        flat curved spherical cylindrical conical arched domed wavy coiled curly slanted pointed twisted bulging hilly bulbous bowl-shaped
        flat cube-shaped cubic box-shaped egg-shaped pear-shaped bell-shaped barrel-shaped
        heart round square
        jagged rounded spherical straight
        spiky smooth blunt floppy rounded
        pointed round spherical blunt floppy rounded square scalloped
        serrated straight smooth rounded
        slanted vertical upright level
        star round square
        straight round spherical arched scalloped crescent zigzag
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
# Questions that a state answers, a line each, and its answers apart by "|": two states that answer one question apart exclude each other,
# one that stands under several answers goes with each of them. What answers no common question may both be true: open and dented. A word
# of several is written with hyphens.
_QUESTIONS = """
    new brand-new pristine flawless unused unworn immaculate restored renovated refurbished repainted freshly-painted newly-painted |
        worn worn-out threadbare frayed tattered ragged torn ripped battered dented chipped cracked scratched scuffed broken damaged
        shattered smashed crumbling dilapidated derelict decaying rotten rotting wrecked collapsed weathered faded peeling rusty
        corroded tarnished splintered bent flattened crushed deformed warped eroded pitted mangled shredded used secondhand burnt-out
        vandalised wilted withered overgrown boarded-up patched moth-eaten holey dog-eared mouldy moldy
    clean spotless pristine immaculate washed scrubbed gleaming unstained sparkling disinfected | dirty muddy dusty filthy grimy stained
        soiled smudged greasy sooty grubby smeared cobwebbed spattered splattered bloodied mossy soapy oily encrusted unwashed
    wet damp moist soaked drenched dripping soggy dewy rain-soaked flooded submerged waterlogged sodden soaking | dry dried parched arid
        dusty bone-dry
    wet flooded soaked rain-soaked puddled slushy icy | snowy icy frosty | dry dusty sandy sunlit
    standing upright walking leaning perched stretching posing skating skiing surfing snowboarding | sitting seated perched asleep
        sleeping leaning slumped cross-legged riding cycling | lying reclining sprawled lounging asleep sleeping curled stretching
        dozing napping resting | kneeling | crouching squatting crouched skating skiing surfing snowboarding | jumping leaping mid-air
        airborne flying soaring diving swooping skating skiing surfing snowboarding | swimming diving floating paddling | climbing |
        crawling | riding cycling | skating skiing surfing snowboarding | hanging dangling suspended
    still motionless standing sitting seated parked stationary resting lying kneeling crouching sleeping asleep | walking strolling
        marching | running sprinting jogging galloping racing trotting cantering charging | dancing twirling | jumping leaping | flying
        soaring gliding
    awake alert playing barking running walking jumping standing eating | asleep sleeping dozing napping
    grazing eating feeding drinking pecking chewing nibbling | sleeping asleep dozing | fighting charging galloping running flying
    parked stopped stationary moored docked anchored berthed abandoned dismantled idle waiting stuck towed burnt-out |
        moving driving speeding racing sailing spinning rotating cruising taxiing accelerating turning rolling departing arriving
        whirling | overturned abandoned capsized toppled crashed wrecked derailed upside-down | beached stranded | sunken sinking submerged
    upright vertical standing mounted level | overturned upturned capsized toppled fallen tipped tipped-over knocked-over upside-down
        inverted lying collapsed | tilted leaning slanting crooked lopsided
    empty vacant unfilled drained deserted unoccupied hollow stripped | half-empty half-full half-filled | full filled overflowing
        brimming crammed packed stuffed loaded laden heaped stocked bulging well-stocked overfilled steaming boiling
    open ajar gaping torn overflowing unlocked unzipped unbuttoned uncovered unsealed lidless wide-open spread | half-open half-closed |
        closed shut locked sealed zipped buttoned fastened covered boarded boarded-up latched shuttered corked capped padlocked barred
        bricked-up | missing removed absent
    folded collapsed half-folded bunched gathered | furled rolled rolled-up coiled bundled reefed bunched gathered | unfolded spread
        unfurled unrolled outstretched extended hoisted billowing flapping fluttering stretched waving flying
    lit burning glowing illuminated flickering shining switched-on blazing turned-on backlit bright | unlit dark extinguished
        switched-off turned-off dim blank unused
    raw uncooked | fried cooked sizzling golden golden-brown grilled roasted baked toasted barbecued crisp | boiled poached steamed |
        scrambled | burnt charred blackened | pale
    frozen icy iced solid | melted thawed melting runny liquid dripping | boiling steaming hot bubbling burnt charred
    bearded mustached moustached unshaven stubbled goateed bewhiskered | clean-shaven beardless shaven
    bald | red-haired ginger-haired grey-haired gray-haired white-haired silver-haired blonde-haired blond-haired dark-haired
        black-haired
    bald shaven-headed balding bald-headed | long-haired ponytailed | short-haired crop-haired
    blonde-haired blond-haired fair-haired | grey-haired gray-haired white-haired silver-haired | dark-haired black-haired brown-haired
        | red-haired ginger-haired red-headed
    freckled wrinkled tattooed scarred sunburnt tanned wrinkly spotty pierced | smooth-skinned unlined unwrinkled
    smiling grinning laughing cheerful happy beaming giggling | frowning scowling sad crying weeping sobbing angry grimacing tearful
        glum pouting serious stern solemn | sleeping asleep | yawning | eating drinking chewing | shouting screaming yelling angry
        roaring snarling crying | serious stern expressionless unsmiling solemn
    clothed dressed suited uniformed robed fully-clothed | naked nude shirtless bare-chested topless undressed
    crowded busy packed bustling occupied | empty deserted abandoned vacant quiet unoccupied uncrowded | half-empty half-full
    tidy neat organized organised uncluttered orderly made cleared clear | messy cluttered untidy disorganized disorganised scattered
        strewn unmade jumbled littered
    lush leafy green thriving healthy fresh leaved | leafless bare dead withered wilted dried barren shrivelled dying drooping
    blooming flowering blossoming | budding | wilted withered dead
    trimmed pruned mown manicured clipped tended | overgrown wild unkempt untrimmed untended bushy
    reflective mirrored | matte dull tarnished rusty corroded
    shiny glossy polished gleaming sparkling varnished lacquered burnished | scuffed matte dull tarnished rusty faded
        weathered unpolished corroded
    painted repainted freshly-painted newly-painted whitewashed | unpainted unfinished untreated
    repainted freshly-painted newly-painted varnished | weathered rusty peeling mossy encrusted flaking
    smooth sanded ironed pressed | rough bumpy coarse rutted pitted potholed uneven wrinkled crumpled creased lumpy jagged ridged
        gnarled dented mossy rumpled knobbly grooved
    inflated pumped-up plump airborne soaring flying | half-inflated | deflated flat collapsed folded punctured
    cloudless clear sunny pristine | cloudy overcast foggy misty hazy rainy stormy thunderous gloomy | starry moonlit clear cloudless
    calm still glassy placid | rough choppy stormy turbulent rushing churning foaming frothy raging
    calm glassy placid | frozen
    fluffy puffy | stormy dark thunderous | thin wispy | flat
    faded dull weathered | bright vivid fresh vibrant
    fresh freshly-cut freshly-picked | dry dried withered | canned frozen | rotten mouldy moldy stale spoiled wilted
    loose | packed compacted
    braided plaited | loose flowing tangled
    frozen icy | muddy flowing rushing dry
    melted melting | grated shredded solid
    rolled rolled-up coiled sealed | unrolled unwound
    headless armless legless winged smoking wingless
    half-buried buried | hanging floating
    ripe ripening | dried shrivelled | unripe green | rotten overripe mouldy moldy
    hairy shaggy fluffy furry woolly mossy | smooth hairless shaved
    tangled knotted | coiled rolled rolled-up straight untangled combed stretched taut
    tinted | clear
    pregnant | slim skinny newborn
    whole uncut unsliced uneaten unbitten | sliced diced chopped halved quartered bitten half-eaten eaten carved cut | mashed pureed cut
        | grated shredded chopped cut
    tied knotted laced bound laced-up | untied undone unlaced
    raised lifted hoisted upraised | lowered dropped drooping
    alive living thriving | dead dried stuffed
    finished completed built | unfinished half-built under-construction incomplete half-finished
    wrapped packaged boxed bagged | unwrapped unpacked
    mossy overgrown ivy-clad ivy-covered encrusted | snowy frosty | sandy | bare clean spotless exposed
    decorated ornate adorned embellished carved engraved festooned decorative | plain undecorated unadorned bare simple
    sharp sharpened pointed | blunt blunted dull
    chubby plump stout overweight fat obese heavyset tubby stocky | slim thin skinny slender lean bony emaciated
    young teenage newborn adolescent | elderly aged older old
    stacked piled heaped | collapsed toppled scattered strewn spread
    sleeveless | long-sleeved | short-sleeved
    hooded masked | bareheaded
    middle-aged | teenage newborn adolescent young
    leaking gilded varnished masked hooded leashed saddled buried half-buried engraved carved textured pregnant
    cluttered crowded littered | bare empty cleared
    intact undamaged unbroken unscathed repaired mended | broken shattered smashed cracked damaged torn dented chipped splintered
        wrecked mangled collapsed tattered ragged ripped frayed
    bald | curly-haired curly-headed | straight-haired
    shorn sheared shaved shaven clipped short-haired | shaggy woolly long-haired hairy fluffy
    groomed brushed combed | dishevelled matted tangled tousled unkempt shaggy
"""
# Patterns that go with any other.
MIXING: dict[str, frozenset[str]] = {
    "pattern": frozenset(
        "woven perforated textured studded corrugated tiled paneled mottled marbled mosaic geometric tie-dyed logo "
        "text printed quilted ribbed pleated tufted ruffled fringed beaded sequined sequinned feathered fluted".split()
    ),
}


def _axes(kind: str) -> dict[str, int]:
    return {word: i for i, scale in enumerate(_SCALES[kind].strip().splitlines()) for word in scale.split()}


def _answers(questions: str) -> dict[str, dict[int, frozenset[int]]]:
    """Word -> question -> the answers under which it stands; a line that is further indented goes on with the one before."""
    words: dict[str, dict[int, set[int]]] = {}
    for i, question in enumerate(questions.strip().replace("\n        ", " ").splitlines()):
        for j, answer in enumerate(question.split("|")):
            for word in answer.split():
                words.setdefault(word, {}).setdefault(i, set()).add(j)
    return {word: {i: frozenset(answers) for i, answers in of.items()} for word, of in words.items()}


ANSWERS = _answers(_QUESTIONS)
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
# Animals whose coats are told apart so.
COATED = frozenset("cow bull ox calf horse pony mare foal pig hen rooster chicken bear lion camel".split())
# What is said of a coat, an egg or a plumage as a colour is: it takes a colour's place, and a colour takes its.
COATS = frozenset("speckled mottled tabby tortoiseshell calico piebald brindle dappled roan pinto skewbald rainbow multicolored".split())
COAT_APART = {"brown": "grey"}
HAIR_APART = {"brown": "grey red orange", "dark": "blonde grey white red orange"}
DYED_APART = {"brown": "grey red", "white": "silver", "red": "orange"}
# Materials that are told apart on ways, though a slab of them may be taken for the other.
WAY_APART = {"gravel": "asphalt cobblestone concrete"}
# Materials that look alike where they are painted, on a part that is small, and colours that bare wood has.
PAINTED_ALIKE = frozenset(("wood", "plastic"))
WOOD_COLOURS = frozenset("brown tan beige cream gold chocolate auburn".split())
# What few parts of a thing are made of: a cottage with a thatched roof has no thatched chimney.
WOVEN = frozenset("wicker thatched rattan straw furry knitted crocheted".split())
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
# Colours that shade into each other: a mixture of those of a set is near whatever one of them is near.
NEUTRAL = frozenset("grey brown beige tan cream white black silver charcoal".split())
SHADING = (
    NEUTRAL,
    frozenset("red orange yellow gold brown tan copper bronze amber rust terracotta ginger peach coral salmon pink maroon crimson".split()),
    frozenset("yellow gold cream white beige tan brown blonde amber orange peach".split()),
)
