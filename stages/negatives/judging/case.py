"""One image before the judge: what its candidates claim, what is asked of that, and the row that the answers make. Asks nobody."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from schemas.rows import (
    ATTRIBUTE_TYPES,
    CAPTION,
    PASSING,
    Attribute,
    Fact,
    Negative,
    RegionCaptionRow,
    RegionNegatives,
    Row,
    SelectRow,
    Usage,
    Verdict,
    VerifyRow,
)
from stages.negatives.candidates import entries_of
from stages.negatives.judging.questions import Ask, JudgeQuestion, answers_of, questions_about
from stages.negatives.verdicts import (
    Charge,
    Claim,
    charges_of,
    is_edited,
    others_of_noun,
    positive_claims,
    targets_of,
    verdict_of_answers,
    verdict_of_negative,
    verdict_of_positive,
)


class JudgeCase:
    """One image's candidates, what is to be asked about them, and what the answers make of them."""

    def __init__(self, key: str, rows: Mapping[type[Row], Row], before: VerifyRow | None = None, way: Ask = "each") -> None:
        """`rows`: the image's row of each stage that is read; `before`: of before a retry."""
        self.key = key
        select, regions = rows.get(SelectRow), rows[RegionCaptionRow]
        assert isinstance(regions, RegionCaptionRow)
        self.regions = select.regions if isinstance(select, SelectRow) else []
        self.groups = entries_of(rows.values())
        self.attributes = {caption.region: caption.attributes for caption in regions.regions}
        same_noun = others_of_noun(self.regions)
        self.charges: list[list[list[Charge] | None]] = []
        self.own: list[list[Claim]] = []
        for group in self.groups:
            targets = targets_of(group.region, group.positive, self.regions)
            stated = {target.region: positive_claims(group.positive, target, self.attributes.get(target.region, ())) for target in targets}
            others = same_noun if group.region == CAPTION else {}
            charged = [
                None if _is_settled(negative) else charges_of(negative, group.positive, targets, others, stated)
                for negative in group.negatives
            ]
            self.charges.append(charged)
            edited = [target for target in targets if is_edited(target, group.negatives)] if group.region == CAPTION else targets
            own = [claim for target in edited for claim in stated[target.region]]
            self.own.append(own if group.negatives else [])
        self.positive_claims = {claim for claims in self.own for claim in claims}
        alleged = [c for charged in self.charges for charges in charged for charge in charges or () for c in (charge.own, *charge.others)]
        # A region's questions stand together: its crop's tokens are then found in the engine's cache.
        every = questions_about({*self.positive_claims, *alleged}, way, self._likely() if way == "choose" else {})
        self.claims = sorted({claim for question in every for claim in question.claims})
        self.before = before
        self.known = _answered(self.claims, self.before.facts) if self.before else {}
        self.questions = [question for question in every if not all(claim in self.known for claim in question.claims)]

    def _likely(self) -> dict[tuple[int, str], list[Claim]]:
        """What is held to be true of each region by type: its positives' words, else its attributes; its noun."""
        claims: dict[tuple[int, str], list[Claim]] = {}
        for claim in self.positive_claims:
            claims.setdefault((claim.region, claim.type), []).append(claim)
        listed = [
            _claim(region, attribute)
            for region, of_region in self.attributes.items()
            for attribute in of_region
            if attribute.type in ATTRIBUTE_TYPES
        ]
        nouns = [Claim(i, "object", region.head) for i, region in enumerate(self.regions)]
        stated = set(claims)
        for claim in (*listed, *nouns):
            if (claim.region, claim.type) not in stated:
                claims.setdefault((claim.region, claim.type), []).append(claim)
        return claims

    def row(self, answers_given: Mapping[JudgeQuestion, Sequence[str | frozenset[str]]], usage: Usage, **fields: Any) -> VerifyRow:
        """The row that these answers make; without any, every verdict that the boxes did not settle is unverified."""
        answers = dict(self.known)
        for question, of_question in answers_given.items():
            answers |= answers_of(question, of_question)
        facts = {claim: self._fact(claim, answers[claim]) for claim in self.claims if claim in answers}
        verdicts = {claim: fact.verdict for claim, fact in facts.items()}
        groups = [self._judged(i, verdicts) for i in range(len(self.groups))]
        return VerifyRow(key=self.key, facts=list(facts.values()), regions=groups, usage=usage, **fields)

    def _fact(self, claim: Claim, answers: Sequence[str]) -> Fact:
        is_positive, verdict = claim in self.positive_claims, verdict_of_answers(answers)
        return Fact(
            region=claim.region, type=claim.type, value=claim.value, is_positive=is_positive, verdict=verdict, answers=list(answers)
        )

    def _judged(self, index: int, verdicts: Mapping[Claim, Verdict]) -> RegionNegatives:
        group = self.groups[index]
        negatives = [
            negative if charges is None else negative.model_copy(update={"verdict": verdict_of_negative(charges, verdicts)})
            for negative, charges in zip(group.negatives, self.charges[index], strict=True)
        ]
        positive = verdict_of_positive(self.own[index], verdicts)
        if not self.own[index] and negatives and all(negative.source == "geometry" for negative in negatives):
            positive = "true"  # every word that is edited was confirmed by boxes
        judged: RegionNegatives = group.model_copy(update={"negatives": negatives, "positive_verdict": positive})
        return judged


def _is_settled(negative: Negative) -> bool:
    """What the boxes refute, and what was judged before it was given, is asked of nobody."""
    return negative.verdict != "unverified"


def _claim(region: int, attribute: Attribute) -> Claim:
    return Claim(region, attribute.type, attribute.value.lower())  # type: ignore[arg-type]  # types of attributes that are edited too


def _answered(claims: Sequence[Claim], facts: Sequence[Fact]) -> dict[Claim, list[str]]:
    """What the judge has said before a retry, but for questions that got no answer for a reason that passes."""
    by_name = {(fact.region, fact.type, fact.value): fact for fact in facts if not PASSING & {*fact.answers}}
    names = Counter((claim.region, claim.type, claim.value) for claim in claims)
    known = ((claim, by_name.get((claim.region, claim.type, claim.value))) for claim in claims)
    return {claim: fact.answers for claim, fact in known if fact is not None and names[claim.region, claim.type, claim.value] == 1}
