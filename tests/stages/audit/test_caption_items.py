"""Long captions have no head noun of their own: their edits have, and so a set of them can reach a verdict."""

import random

from schemas.audit import AuditItem
from stages.audit.audit import audit
from stages.audit.readings import caption_items

NOUNS = "ball cart drum fish kite lamp mug shoe truck wagon apple owl".split()
COLOURS = "black white green brown beige ivory khaki olive".split()


def captions(num: int, is_leaking: bool) -> list[AuditItem]:
    """Scenes of four things that each have a colour; an edit gives one thing the colour of another, or, of a leaking set, a rare one."""
    rng, items = random.Random(3), []
    for scene in range(num):
        nouns, colours = rng.sample(NOUNS, 4), [rng.choice(COLOURS[:4] if is_leaking else COLOURS) for _ in range(4)]
        caption = " ".join(f"There is a {colour} {noun}." for colour, noun in zip(colours, nouns, strict=True))
        others = [rng.choice([other for other in COLOURS if other != colour]) for colour in colours]
        edited = [caption.replace(f"{c} {n}", f"{o} {n}") for c, n, o in zip(colours, nouns, others, strict=True)]
        items += caption_items(caption, [(text, "colour") for text in edited], str(scene))
    return items


def test_long_captions_pass_where_nothing_leaks_and_fail_where_something_does() -> None:
    sound, leaking = audit(captions(300, is_leaking=False)), audit(captions(300, is_leaking=True))
    assert sound.probes.ngram_noun_disjoint.top1 is not None
    assert (sound.verdict, sound.leaks) == ("pass", [])
    assert leaking.verdict == "fail"
