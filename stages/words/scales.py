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
# Short opposes both tall and long; a cut thing is not whole.
_OPPOSED: dict[str, tuple[tuple[str, str], ...]] = {
    "size": (("tall", "short"), ("long", "short"), ("tall", "low")),
    "state": (
        ("cut", "whole"),
        ("young", "old"),  # "elderly" is the same as "old"
        *(("rusty", other) for other in ("clean", "shiny")),
        *(("shiny", other) for other in ("dull", "dirty")),
        *(("crumpled", other) for other in ("smooth", "ironed", "flat")),
        *(("leafy", other) for other in ("leafless", "bare", "dead", "withered")),
        *(("calm", other) for other in ("rough", "stormy", "choppy", "wavy")),
        *(("faded", other) for other in ("new", "shiny")),  # "weathered" is the same as "faded"
        *(("smiling", other) for other in ("crying", "frowning")),
    ),
    "shape": (
        ("flat", "spherical"),
        *(("angular", other) for other in ("round", "spherical", "oval", "cylindrical")),
        *(("straight", other) for other in ("round", "arched", "slanted")),
    ),
    "pattern": tuple(("plain", other) for other in ("text", "logo", "printed", "geometric", "mottled", "marbled", "mosaic", "tie-dyed")),
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
OPPOSED: dict[str, frozenset[frozenset[str]]] = {kind: frozenset(map(frozenset, pairs)) for kind, pairs in _OPPOSED.items()}
