"""The word lists behind the ambiguity guard: synonyms, broader words, neighbours, shades. Data only."""

# Each line is one group: the first word stands for the others.
_SYNONYMS: dict[str, str] = {
    "colour": """
        grey gray greyish grayish
        gold golden
        silver silvery
        cream creamy off-white ivory
        lavender lilac mauve
        cyan aqua
        maroon burgundy wine
        navy indigo
        tan khaki sand
        red reddish
        green greenish
        blue bluish
        yellow yellowish
        brown brownish
        purple purplish
        pink pinkish rose
        white whitish
        black blackish ebony
        blonde blond
        azure cerulean
        orange orangish
        crimson scarlet
    """,
    "material": """
        wood wooden
        metal metallic
        iron cast-iron wrought-iron
        fabric cloth textile fabrics
        wool woolen woollen
        aluminium aluminum
        plaster stucco
        glass glassy crystal
        gold golden
        silver silvery
        straw wicker
        ceramic ceramics
        plastic plastics
        fur furry
        crochet crocheted knit knitted
    """,
    "pattern": """
        tie-dyed tie-dye
        striped stripy stripey stripes stripe
        spotted dotted dot dots spot spots polka-dotted polka-dot speckled
        checkered checked chequered check checkerboard
        paneled panelled
        plain solid solid-colored unpatterned uniform
        floral flowered flowery
        zigzag chevron
        printed patterned print pattern
        text lettered lettering letters
        perforated holed
    """,
    "transparency": """
        transparent clear see-through
        translucent semi-transparent
    """,
    "size": """
        large big huge giant enormous massive oversized vast larger bigger largest biggest
        small little tiny miniature mini petite compact smaller smallest
        tall taller tallest high towering
        long longer longest
        short shorter shortest
        wide broad wider widest
        narrow narrower
        thick thicker
        thin thinner
        slim slender skinny
        medium medium-sized mid-sized
    """,
    "state": """
        broken damaged
        empty unfilled
        full filled
        clean spotless
        dirty soiled
        old aged older ancient elderly vintage antique
        lit illuminated
        closed shut
        open opened ajar
        whole intact
        cut sliced chopped halved
        rusty rusted
        faded weathered
        shiny glossy polished
        cooked fried roasted grilled baked toasted
        cloudy overcast
        young younger
        new brand-new
    """,
    "shape": """
        round circular circle-shaped round-shaped
        pointed pointy
        slanted sloped sloping
        square squared square-shaped
        rectangular rectangle rectangle-shaped
        spherical ball-shaped sphere-shaped globe-shaped
        cylindrical tubular cylinder-shaped tube-shaped
        triangular triangle triangle-shaped
        oval elliptical oval-shaped ellipse-shaped
        oblong oblong-shaped
        conical cone-shaped
        domed dome-shaped
        crescent crescent-shaped moon-shaped
        arched arch-shaped
        hexagonal hexagon-shaped
        octagonal octagon-shaped
    """,
    "object": """
        sofa couch settee
        mug cup
        bicycle bike cycle
        motorcycle motorbike
        airplane aeroplane plane aircraft jet
        television tv telly
        telephone phone cellphone smartphone mobile
        car automobile auto sedan
        truck lorry
        bin trashcan dustbin
        purse handbag
        rug carpet
        hat cap
        man guy gentleman
        woman lady
        boy lad
        girl lass
        child kid toddler
        baby infant
        dog puppy hound
        cat kitten kitty
        picture painting poster
        shoe sneaker boot
        trousers pants jeans
        sweater jumper pullover
        ship boat vessel
        rock stone boulder
        road street
        tap faucet
        lamp light
        desk table
        cupboard cabinet closet
        notebook laptop
        monitor screen
        glass tumbler
        jar pot
        stool chair
        house building home
        bucket pail
        backpack rucksack
        flower blossom bloom
        eyeglasses spectacles
    """,
}
# Of a group, a line or what a semicolon ends, the first word is broader than, or hard to tell from, each of the others; these are not
# thereby related.
_NEIGHBOURS: dict[str, str] = {
    "colour": """
        red orange maroon crimson rust coral copper bronze
        orange coral peach rust bronze copper amber brown gold
        lavender violet purple pink
        pink purple magenta fuchsia coral peach salmon violet
        purple violet magenta plum
        brown red grey tan bronze maroon rust copper beige chocolate
        grey silver charcoal
        black navy charcoal
        white cream silver
        cream beige tan peach
        beige tan white gold
        gold yellow bronze mustard tan copper amber
        yellow mustard cream amber lime
        green teal olive lime mint turquoise cyan
        blue navy teal turquoise cyan azure
        teal turquoise cyan
        turquoise cyan
        violet blue navy
        olive tan brown
        orange tan
        magenta red fuchsia crimson
        maroon crimson purple plum
        coral salmon peach
        bronze copper
        blonde yellow gold tan beige cream brown sand amber
        auburn red brown maroon rust ginger
        terracotta orange brown rust red copper coral
        ochre yellow mustard gold brown tan orange
        ginger orange red
    """,
    "material": """
        stone cobblestone gravel pebble
        gravel cobblestone pebble
        metal steel iron aluminium brass copper bronze tin chrome gold silver stainless wire mesh
        tile ceramic stone marble porcelain glass brick slate clay terracotta granite vinyl concrete cement
        tile limestone rubber cork
        dirt gravel clay sand
        asphalt gravel cement concrete stone
        cement concrete plaster
        hardwood oak mahogany pine
        steel iron aluminium tin chrome
        aluminium tin chrome
        cobblestone granite sandstone limestone slate
        brass bronze copper gold
        mesh wire steel iron aluminium brass copper bronze chrome
        wire steel iron aluminium brass copper
        bronze copper
        fabric cotton wool silk linen denim velvet suede canvas felt polyester nylon crochet mesh lace satin
        wool crochet felt fur cotton
        stone marble granite concrete slate clay ceramic cement cobblestone gravel sandstone limestone plaster
        ceramic porcelain clay terracotta china
        straw rattan bamboo wood reed
        rattan bamboo wood
        hardwood bamboo
        wood bamboo cork plywood hardwood oak mahogany pine
        leather suede vinyl
        plastic vinyl rubber foam acrylic nylon polyester silicone
        rubber foam vinyl silicone
        paper cardboard
        concrete plaster
        glass acrylic
        cotton linen denim canvas silk polyester
        nylon hemp jute sisal polyester cotton
        hemp jute sisal burlap cotton linen straw
        jute sisal burlap linen
        fabric hemp jute burlap tweed corduroy flannel fleece cashmere chiffon tulle taffeta
        wool tweed flannel fleece cashmere
        tulle chiffon lace mesh silk satin
        mesh chiffon crochet lace
        corduroy velvet denim
        enamel iron porcelain ceramic tin
        iron aluminium tin
        granite sandstone limestone slate
        sandstone limestone
        plaster fiberglass fibreglass
        silver pewter steel chrome aluminium nickel
        plastic resin fiberglass fibreglass laminate
        leather leatherette
        glass plexiglass perspex
        wood laminate veneer
        porcelain china
    """,
    "pattern": """
        checkered plaid gingham tartan
        plaid gingham tartan striped
        printed floral text logo camouflage zigzag plaid checkered striped spotted tabby dappled embroidered paisley
        text logo
        floral paisley embroidered
        paisley embroidered
        spotted perforated
        striped zigzag
        tabby tortoiseshell brindle
        calico tortoiseshell piebald
        piebald dappled pinto skewbald spotted
        dappled spotted
        herringbone striped
        pleated ruffled fluted ribbed striped
        tufted quilted
        tabby striped
        herringbone zigzag houndstooth
    """,
    "transparency": """
        frosted translucent opaque
        translucent transparent
    """,
    "size": """
        medium large small
        small low
        slim thin narrow
    """,
    "state": """
        old rusty dirty broken dilapidated faded peeling
        full whole
        broken cracked
        wrinkled crumpled folded
        pristine clean new whole
        dirty stained muddy dusty
        worn old faded peeling
    """,
    "shape": """
        triangular conical wedge-shaped v-shaped arrow-shaped pyramid-shaped
        conical wedge-shaped v-shaped
        crescent u-shaped c-shaped
        oval boule-shaped marquise-shaped egg-shaped pear-shaped almond-shaped
        oblong rectangular oval cylindrical box-shaped
        urn-shaped pot-shaped vase-shaped
        wedge-shaped arrow-shaped v-shaped
        cylindrical pot-shaped barrel-shaped
        square diamond-shaped box-shaped
        rectangular box-shaped l-shaped
        round oval spherical cylindrical curved domed conical boule-shaped pot-shaped urn-shaped bowl-shaped
        spherical boule-shaped pot-shaped urn-shaped bowl-shaped
        curved arched wavy bent domed crescent twisted coiled curly
        curly wavy coiled twisted
        wavy twisted coiled
        curly bent
        twisted coiled
        jagged serrated pointed angular scalloped spiky
        pointed spiky serrated
        square rectangular
        oval curved
    """,
    "object": """
        person man woman boy girl child baby player rider; man boy; woman girl; child boy girl baby; baby boy girl
        animal dog cat horse cow sheep bird fish bear elephant zebra giraffe; vehicle car truck bus van bicycle motorcycle train taxi
        car taxi van; furniture sofa chair table stool bench bed; toy car fish house mug mushroom star doll bear boat train
        container box basket bin bucket bottle jar bowl; box crate; bag purse backpack; food fruit bread cake pizza sandwich
        fruit apple orange banana; plant flower tree bush; bowl dish; plate dish; bottle jar; mug glass; bird duck chicken
        clothing shirt sweater dress coat jacket; coat jacket; shirt blouse; boat ship; pot kettle vase bucket; jar vase; dress robe
        shed barn greenhouse; castle fortress; tower skyscraper lighthouse; bed crib; cabinet dresser; scooter motorcycle
        wagon carriage cart; dirt mud sand gravel; grass fern; tree palm; bush fern; mountain cliff island; flag banner
        towel napkin blanket; blanket rug; fence railing gate; spoon ladle; sign poster map; map picture; burger sandwich
        swimsuit bikini; shoe sandal heel slipper; mural picture; artwork picture mural statue sculpture; train carriage
        headband crown; belt scarf; ball balloon; speaker radio; gown dress; mouth tooth tongue beak head
        head eye ear nose horn hair face neck; arm hand elbow shoulder; leg knee foot paw; paw claw foot hand; claw foot; hand finger
        wing feather; tail feather; leaf tree bush vine fern; tree bush; ground floor road sidewalk; petal flower; tree branch trunk
        rock mountain cliff; pole pillar beam; brick tile wall floor; wall fence; circle dot; glass cup; shelf bookshelf cabinet
        countertop table desk; cloud sky; sauce soup; seat saddle; tray plate; collar scarf
        tower silo; bin bucket barrel
        sheep ram ewe lamb; ram goat; horse pony foal mule; donkey mule; cow bull ox calf; llama alpaca; crow raven; frog toad
        turtle tortoise; rabbit hare; mouse rat hamster; alligator crocodile; leopard cheetah jaguar; dolphin porpoise shark whale
        bee wasp hornet fly; butterfly moth; pigeon dove; goose duck; chicken hen rooster turkey; wolf dog coyote fox
        deer moose elk antelope; eagle hawk falcon; tram train trolley; canoe kayak rowboat dinghy; yacht sailboat schooner
        motorcycle moped; bus coach minibus; van minivan ambulance; car suv jeep hatchback; teapot kettle; jug pitcher vase carafe
        pot saucepan casserole cauldron planter; pan skillet wok saucepan; goblet wineglass chalice; urn vase jar; crate chest trunk
        suitcase briefcase bag trunk; satchel bag purse backpack; basket hamper; canister tin can jar; flask bottle thermos
        armchair stool recliner; bench pew; footstool ottoman pouffe stool; nightstand cabinet dresser; wardrobe cabinet
        cardigan sweater jacket; hoodie sweatshirt sweater; blazer jacket coat; cape cloak poncho shawl; scarf shawl; kilt skirt
        leggings tights trousers; waistcoat vest; glove mitten; bandana headscarf headband scarf; tiara crown; bracelet bangle
        necklace pendant chain; dungarees overalls jumpsuit; shrub bush hedge; rose peony carnation; daisy chrysanthemum aster
        cactus succulent; ivy vine; cupcake muffin; cookie biscuit cracker; pie tart quiche; noodle pasta spaghetti; lemon lime
        peach apricot nectarine plum; zucchini cucumber courgette; lantern lamp; refrigerator freezer; printer scanner copier
        barn warehouse; cottage cabin hut chalet house; church chapel cathedral; castle palace fort; pier jetty dock quay wharf
        gazebo pavilion; violin viola fiddle; cello bass; guitar ukulele bass lute; trumpet cornet trombone; clarinet oboe flute
        shovel spade; hammer mallet; axe hatchet; knife dagger; sword sabre; rifle shotgun gun; mountain hill; lake pond pool lagoon
        river stream creek canal; path trail lane; jogger runner; ponytail braid; arch window; sundial birdbath
    """,
}
# What a shade of a colour is also called.
SHADED: dict[str, tuple[str, ...]] = {
    "light red": ("pink", "coral", "salmon", "peach"),
    "light brown": ("tan", "beige", "cream", "gold"),
    "light orange": ("peach", "tan", "yellow"),
    "light yellow": ("cream", "beige", "tan"),
    "light purple": ("lavender", "violet", "pink", "fuchsia"),
    "light blue": ("turquoise", "cyan", "azure"),
    "light green": ("mint", "lime", "turquoise"),
    "light grey": ("silver", "white"),
    "light pink": ("cream", "peach", "beige"),
    "dark red": ("maroon", "crimson", "brown", "plum"),
    "dark blue": ("navy",),
    "dark grey": ("charcoal",),
    "dark orange": ("brown", "rust"),
    "dark yellow": ("gold", "mustard", "olive", "tan", "brown", "orange"),
    "dark green": ("olive", "teal"),
    "dark purple": ("plum", "maroon", "navy"),
    "dark pink": ("magenta", "red", "purple", "fuchsia"),
}


def _canonical(groups: str) -> dict[str, str]:
    table: dict[str, str] = {}
    for group in groups.strip().splitlines():
        first, *others = group.split()
        for word in others:
            assert word not in table, f"{word} has two synonyms"
            table[word] = first
    return table


# Nouns that name many kinds of things: what a compound of another noun names may be one of these, though it is no neighbour of its last
# word's. A water tower is no lighthouse, an office chair is furniture.
BROAD = frozenset("person animal vehicle furniture toy container food fruit plant clothing bird".split())
CANONICAL: dict[str, dict[str, str]] = {kind: _canonical(groups) for kind, groups in _SYNONYMS.items()}


def _pairs(kind: str, groups: str) -> frozenset[frozenset[str]]:
    canonical = CANONICAL.get(kind, {})
    pairs = set()
    for group in groups.strip().replace(";", "\n").splitlines():
        first, *others = (canonical.get(word, word) for word in group.split())
        pairs |= {frozenset((first, word)) for word in others if word != first}
    return frozenset(pairs)


RELATED: dict[str, frozenset[frozenset[str]]] = {kind: _pairs(kind, groups) for kind, groups in _NEIGHBOURS.items()}
