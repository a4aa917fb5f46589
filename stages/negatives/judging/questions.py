"""Which questions a judge is asked about claims, and what its answers say of each claim. Knows no engine, no pixels, no prompt.

`each` asks of every claim whether it is true. `choose` asks once for all claims of one type on a region which of them are true, where one
that is held to be true excludes the others: only then does a value that is left unticked say anything.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from stages.negatives.verdicts import Claim
from stages.words.ambiguity import may_be_both_true

Ask = Literal["each", "choose"]
YES, NO, CANNOT_TELL = "yes", "no", "cannot_tell"
MARKER = "x-options"


@dataclass(frozen=True)
class JudgeQuestion:
    """One claim: is it true? Several, of one region and type: which of them are?"""

    claims: tuple[Claim, ...]

    @property
    def is_choice(self) -> bool:
        """Whether values are to be ticked, and not one confirmed."""
        return len(self.claims) > 1

    @property
    def options(self) -> tuple[str, ...]:
        """What can be answered beside that it cannot be told."""
        return tuple(claim.value for claim in self.claims) if self.is_choice else (YES, NO)

    @property
    def name(self) -> str:
        """Names the question within its image."""
        first = self.claims[0]
        return f"{first.region}/{first.type}/{'|'.join(claim.value for claim in self.claims)}"


def questions_about(claims: Iterable[Claim], ask: Ask, likely: Mapping[tuple[int, str], Sequence[Claim]]) -> list[JudgeQuestion]:
    """The questions that settle these claims, those of a region together. `likely`: what is held to be true, by region and type.

    Where no claim of a type is held to be true beforehand, those of `likely` are added to the options.
    """
    together: dict[tuple[int, str], list[Claim]] = {}
    questions: list[JudgeQuestion] = []
    for claim in sorted(claims):
        if ask == "each" or claim.is_text:
            questions.append(JudgeQuestion((claim,)))
        else:
            together.setdefault((claim.region, claim.type), []).append(claim)
    for place, alleged in together.items():
        true = likely.get(place, ())
        options = sorted({*true, *(claim for claim in alleged if any(_exclude(claim, true_claim) for true_claim in true))})
        chosen = JudgeQuestion(tuple(options))
        if chosen.is_choice:
            questions.append(chosen)
        questions += [JudgeQuestion((claim,)) for claim in alleged if not chosen.is_choice or claim not in options]
    return sorted(questions, key=lambda question: question.claims)


def answers_of(question: JudgeQuestion, answers: Sequence[str | frozenset[str]]) -> dict[Claim, list[str]]:
    """Of each claim what each order's answer says of it: yes, no, cannot_tell, or the error that stands in the answer's place.

    An unticked value is a "no" only where a value that excludes it was ticked in both orders: to tick what stands first refutes nothing.
    """
    if not question.is_choice:
        return {question.claims[0]: [next(iter(answer)) if isinstance(answer, frozenset) else answer for answer in answers]}
    ticks = [answer - {CANNOT_TELL} for answer in answers if isinstance(answer, frozenset)]
    sure = frozenset.intersection(*ticks) if len(ticks) == len(answers) and ticks else frozenset[str]()
    return {claim: [_answer(claim, answer, sure, question) for answer in answers] for claim in question.claims}


def filled_schema(template: Mapping[str, Any], question: JudgeQuestion) -> dict[str, Any]:
    """The answer schema of one question: the marker's place is taken by its options, whose order is the same whatever is asked first."""
    options = [*sorted(question.options), CANNOT_TELL]
    values = {"type": "array", "items": {"enum": options}, "minItems": 1, "maxItems": len(options)}
    filled: dict[str, Any] = _filled(template, values if question.is_choice else {"enum": options})
    return filled


def has_options(template: Any) -> bool:
    """Whether an answer schema has a place for a question's options."""
    if isinstance(template, Mapping):
        return MARKER in template or any(has_options(part) for part in template.values())
    return isinstance(template, list) and any(has_options(part) for part in template)


def _answer(claim: Claim, answer: str | frozenset[str], sure: frozenset[str], question: JudgeQuestion) -> str:
    if not isinstance(answer, frozenset):
        return answer
    if claim.value in answer:
        return YES
    ticked = (other for other in question.claims if other.value in sure)
    return NO if any(_exclude(claim, other) for other in ticked) and CANNOT_TELL not in answer else CANNOT_TELL


def _exclude(claim: Claim, other: Claim) -> bool:
    return not may_be_both_true(claim.type, claim.value, other.value)


def _filled(node: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(node, Mapping):
        return dict(values) if MARKER in node else {name: _filled(part, values) for name, part in node.items()}
    return [_filled(part, values) for part in node] if isinstance(node, list) else node
