"""Symmetric rejection leaves a set at chance, counts what it drops, and gives nothing away by its own choice."""

import random

import pytest

from schemas.audit import MARGIN, AuditItem
from stages.audit.audit import audit
from stages.audit.rejection import Rejection, reject_to_chance
from tests.support.audit_sets import COLOURS, MATERIALS, NOUNS, expression

KEEP = 2


def leaky(num_items: int = 450, seed: int = 0) -> list[AuditItem]:
    """Positives' colours and materials are skewed, each negative changes the colour or the material to any other."""
    rng, items = random.Random(seed), []
    for number in range(num_items):
        noun = rng.choice(NOUNS)
        colour, material = rng.choice(["black"] * 6 + COLOURS), rng.choice(["metal"] * 6 + MATERIALS)
        others = [expression(other, material, noun) for other in COLOURS if other != colour]
        others += [expression(colour, other, noun) for other in MATERIALS if other != material]
        rng.shuffle(others)
        items.append(AuditItem(positive=expression(colour, material, noun), negatives=others, image=str(number), noun=noun))
    return items


def released(items: list[AuditItem], rejection: Rejection) -> list[AuditItem]:
    kept = zip(items, rejection.kept, strict=True)
    return [item.model_copy(update={"negatives": tuple(item.negatives[i] for i in indices)}) for item, indices in kept if indices]


def test_a_leaky_set_is_brought_to_chance() -> None:
    items = leaky()
    before, after = audit(items), audit(released(items, reject_to_chance(items, keep=KEEP)))
    assert "ngram_image_disjoint" in before.leaks
    assert after.leaks == []
    assert after.chance is not None
    assert after.probes.ngram_image_disjoint.pairwise == pytest.approx(0.5, abs=MARGIN)
    assert after.items > len(items) / 2


def test_a_value_that_wins_over_all_or_over_none_costs_items_and_not_candidates_everywhere() -> None:
    """Black is as often put in as replaced, so that each pair is even; whoever names it where it stands is right in half of the items."""
    rng, items = random.Random(0), []
    for number in range(600):
        noun, (*others, own) = rng.choice(NOUNS), rng.sample([colour for colour in COLOURS if colour != "black"], 5)
        colour, negatives = ("black", others) if number % 2 else (own, ["black", *others[:3]])
        texts = tuple(expression(other, "metal", noun) for other in negatives)
        items.append(AuditItem(positive=expression(colour, "metal", noun), negatives=texts, image=str(number), noun=noun))
    left = released(items, reject_to_chance(items, keep=4))
    before, after = audit(items), audit(left)
    assert "ngram_image_disjoint" in before.leaks
    assert after.leaks == []
    assert sum(len(item.negatives) for item in left) > 0.5 * 4 * len(items)


def test_a_spare_candidate_comes_in_where_the_probe_takes_it_for_truer_and_saves_the_item() -> None:
    """Nothing black is ever put in, though many things are black: what is missing lies among the spare ones."""
    rng, items, spare = random.Random(0), [], []
    for number in range(600):
        noun, (*others, own) = rng.choice(NOUNS), rng.sample([colour for colour in COLOURS if colour != "black"], 4)
        colour = "black" if number % 4 == 0 else own
        negatives = [*others, "khaki" if colour == "black" else "black"]
        texts = tuple(expression(other, "metal", noun) for other in negatives)
        items.append(AuditItem(positive=expression(colour, "metal", noun), negatives=texts, image=str(number), noun=noun))
        spare.append({3})
    without = [item.model_copy(update={"negatives": item.negatives[:3]}) for item in items]
    left = reject_to_chance(items, keep=10, spare=spare).kept
    kept, kept_without = sum(map(len, left)), sum(map(len, reject_to_chance(without, keep=10).kept))
    assert kept > 1.05 * kept_without
    assert audit(released(items, reject_to_chance(items, keep=10, spare=spare))).leaks == []


def test_each_candidate_is_kept_or_counted_under_a_reason() -> None:
    items = leaky(200)
    rejection = reject_to_chance(items, keep=KEEP)
    for item, kept, rejects in zip(items, rejection.kept, rejection.rejects, strict=True):
        assert len(kept) + sum(rejects.values()) == len(item.negatives)
        assert len(kept) <= KEEP
        assert set(rejects) <= {"probe_negative", "probe_positive", "surplus"}


def test_the_same_items_and_seed_give_the_same_choice() -> None:
    items = leaky(150)
    assert reject_to_chance(items, keep=KEEP, seed=3) == reject_to_chance(items, keep=KEEP, seed=3)


def test_held_candidates_are_never_dropped() -> None:
    items = leaky(150)
    held = [{0, 4, 5} for _ in items]
    rejection = reject_to_chance(items, keep=KEEP, held=held)
    assert all({0, 4, 5} <= set(kept) for kept in rejection.kept)


def test_held_candidates_do_not_cost_the_others_their_place() -> None:
    """The probe knows every held one for a negative: nothing can be done about those, and the others are as sound as without them."""
    rng, items = random.Random(0), []
    for number in range(300):
        noun, colour, material = rng.choice(NOUNS), rng.choice(COLOURS[:5]), rng.choice(MATERIALS)
        held = [expression(other, material, noun) for other in COLOURS[5:]]
        others = [expression(colour, other, noun) for other in MATERIALS if other != material]
        items.append(AuditItem(positive=expression(colour, material, noun), negatives=(*held, *others), image=str(number), noun=noun))
    alone = [item.model_copy(update={"negatives": item.negatives[3:]}) for item in items]
    kept = sum(len(kept) - 3 for kept in reject_to_chance(items, keep=100, held=[range(3)] * len(items)).kept)
    assert kept > 0.6 * sum(map(len, reject_to_chance(alone, keep=100).kept))


def test_nothing_to_choose_from_is_no_error() -> None:
    assert reject_to_chance([], keep=3).kept == ()
    assert reject_to_chance([AuditItem(positive="a", negatives=["b", "c"])], keep=1).rejects == ({"surplus": 1},)
