"""What a judge is to be asked of a text, and what its answers make of the text: claims, facts, verdicts.

Strings and spans only; knows no engine, no pixels, no prompt.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from schemas.rows import ATTRIBUTE_TYPES, CAPTION, COMPUTED_TYPES, Attribute, Edit, EditType, Negative, Region, Verdict
from stages.negatives.edits import replay
from stages.negatives.quotes import noun_spans, occurrences
from stages.words.values import values_in


class Claim(NamedTuple):
    """That `value` is true of a region: what one fact is about. Where `is_text` the value is a whole phrase."""

    region: int
    type: EditType
    value: str
    is_text: bool = False


@dataclass(frozen=True)
class Charge:
    """What must be false for one edit to make its text false: its own claim, and the same of all things of that noun.

    It rests on the old value and on the noun: where one of these cannot be told, neither can be what is put in its place.
    """

    own: Claim
    others: tuple[Claim, ...] = ()
    rests_on: tuple[Claim, ...] = ()


class Target(NamedTuple):
    """The region that a span of a text is about, and the span of the words that name it there."""

    region: int
    head: str
    start: int
    end: int


def verdict_of_answers(answers: Sequence[str]) -> Verdict:
    """`true` where every order of the options got yes, `false` where every one got no, else `unsure`."""
    given = set(answers)
    return "true" if given == {"yes"} else "false" if given == {"no"} else "unsure"


def charges_of(
    negative: Negative,
    positive: str,
    targets: Sequence[Target],
    same_noun: Mapping[int, Sequence[int]],
    stated: Mapping[int, Sequence[Claim]] = MappingProxyType({}),
) -> list[Charge] | None:
    """One charge an edit (a swap's two make one). None: nothing is to be asked, because the boxes refute the text or
    an edit lies in no target. `same_noun` names, for texts of the whole image, a region's others of that noun; `stated` has what the
    positive says of each region."""
    if any(edit.type in COMPUTED_TYPES for edit in negative.edits):
        return None
    charges = []
    for group in _groups(negative.edits):
        target = _target_of(group, targets)
        if target is None:
            return None
        value = _value_of(group, positive, target)
        claim = Claim(target.region, group[0].type, value or _changed_phrase(group, positive, target), value is None)
        others = () if claim.is_text else tuple(claim._replace(region=other) for other in same_noun.get(target.region, ()))
        charges.append(Charge(claim, others, tuple(claim for claim in stated.get(target.region, ()) if _is_under(claim, group))))
    return charges


def positive_claims(positive: str, target: Target, attributes: Iterable[Attribute]) -> list[Claim]:
    """The noun, and the attribute values that the words before it state; listed attributes count wherever they stand."""
    phrase = positive[target.start : target.end]
    nouns = noun_spans(phrase, target.head)
    before = phrase[: nouns[0][0]] if nouns else ""
    stated = values_in(phrase[: nouns[0][1]]) if nouns else ()  # the noun is read too: by it "orange" is known for a colour
    pairs = [(value.type, value.value) for value in stated if occurrences(before.lower(), value.value)]
    listed = [
        (attribute.type, attribute.value.lower())
        for attribute in attributes
        if attribute.type in ATTRIBUTE_TYPES and occurrences(phrase.lower(), attribute.value.lower())
    ]
    values = dict.fromkeys([*pairs, *(pair for pair in listed if not any(pair[1] in own for _, own in pairs))])
    return [Claim(target.region, kind, value) for kind, value in [*values, ("object", target.head)]]  # type: ignore[arg-type]  # kinds of lists


def verdict_of_negative(charges: Sequence[Charge], verdicts: Mapping[Claim, Verdict]) -> Verdict:
    """`false` where one edit is false of its region and of all others of that noun; `true` where every edit may stand."""
    charged = [_verdict_of_charge(charge, verdicts) for charge in charges]
    if "false" in charged:
        return "false"
    if charged and all(verdict == "true" for verdict in charged):
        return "true"
    return "unverified" if "unverified" in charged else "unsure"


def verdict_of_positive(claims: Sequence[Claim], verdicts: Mapping[Claim, Verdict]) -> Verdict:
    """`false` where one claim is false, `true` where one is true and the others at worst cannot be told: such a value costs its own edits.

    Of a single thing whose noun cannot be told nothing can.
    """
    judged = {claim: verdicts[claim] for claim in claims if verdicts.get(claim, "unverified") != "unverified"}
    if not judged:
        return "unverified"
    if "false" in judged.values():
        return "false"
    if len({claim.region for claim in judged}) == 1 and any(
        verdict == "unsure" for claim, verdict in judged.items() if claim.type == "object"
    ):
        return "unsure"
    return "true" if "true" in judged.values() else "unsure"


def targets_of(region: int, positive: str, regions: Sequence[Region]) -> list[Target]:
    """Whom a text is about: its region from end to end; a caption's phrases, best score first."""
    if region == CAPTION:
        spans = [(i, region.head, region.start, region.end) for i, region in enumerate(regions)]
        return [
            Target(i, head, start, end) for i, head, start, end in spans if start is not None and end is not None and end <= len(positive)
        ]
    return [Target(region, regions[region].head, 0, len(positive))] if region < len(regions) else []


def is_edited(target: Target, negatives: Iterable[Negative]) -> bool:
    """Whether some negative changes words of this phrase."""
    return any(target.start <= edit.start and edit.end <= target.end for negative in negatives for edit in negative.edits)


def others_of_noun(regions: Sequence[Region]) -> dict[int, list[int]]:
    """Region -> the other regions with its head noun."""
    return {i: [j for j, other in enumerate(regions) if j != i and other.head == region.head] for i, region in enumerate(regions)}


def _verdict_of_charge(charge: Charge, verdicts: Mapping[Claim, Verdict]) -> Verdict:
    given = [verdicts.get(claim, "unverified") for claim in (charge.own, *charge.others)]
    if any(verdicts.get(claim) == "unsure" for claim in charge.rests_on):
        given.append("unsure")
    for verdict in ("true", "unverified", "unsure"):
        if verdict in given:
            return verdict
    return "false"


def _is_under(claim: Claim, group: Sequence[Edit]) -> bool:
    """Whether a claim is about the noun, or about a value that an edit replaces."""
    return claim.type == "object" or any(
        claim.type == edit.type and (occurrences(claim.value, edit.old.lower()) or occurrences(edit.old.lower(), claim.value))
        for edit in group
    )


def _groups(edits: Sequence[Edit]) -> list[list[Edit]]:
    swaps = [edit for edit in edits if edit.type == "swap"]
    return [*([edit] for edit in edits if edit.type != "swap"), *([swaps] if swaps else [])]


def _target_of(group: Sequence[Edit], targets: Sequence[Target]) -> Target | None:
    return next((target for target in targets if all(target.start <= edit.start and edit.end <= target.end for edit in group)), None)


def _value_of(group: Sequence[Edit], positive: str, target: Target) -> str | None:
    """The new value, where it is one of the thing itself: the noun, or an attribute that stands before the noun."""
    edit = group[0]
    if edit.type == "object":
        return edit.new.lower()
    rest = positive[edit.end : target.end]
    return edit.new.lower() if edit.type in ATTRIBUTE_TYPES and noun_spans(rest, target.head) else None


def _changed_phrase(group: Sequence[Edit], positive: str, target: Target) -> str:
    shifted = [edit.model_copy(update={"start": edit.start - target.start, "end": edit.end - target.start}) for edit in group]
    return replay(positive[target.start : target.end], shifted)
