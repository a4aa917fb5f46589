"""Typed edits: replay, and the rules by which a proposal becomes a negative. Strings only; no engine, no image."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic import BaseModel

from schemas.rows import ATTRIBUTE_TYPES, Attribute, Edit, EditType, Negative
from stages.words.ambiguity import is_allowed, is_listed, may_be_both_true, says_the_same
from stages.words.domain import ANY_DOMAIN, Domain
from stages.words.lexicon import BOUNDARIES, THINGS_TOO
from stages.words.values import Value, values_in

WRITTEN_TYPES: tuple[str, ...] = (*ATTRIBUTE_TYPES, "object", "part", "relation", "swap")
_JOINING = frozenset(("and", "or", "but", "not", "very", "also", "just", "only", "quite", "too", "both", "to"))
_PART_OF = re.compile(r"(?<!\w)(?:with|has|have|having|featuring|including)(?!\w)", re.IGNORECASE)
_ENDS_PARTS = re.compile(
    r"(?<!\w)(?:on|in|at|by|from|under|above|behind|beside|near|next|against|over|holding|wearing|standing|sitting|while|that|which)(?!\w)",
    re.IGNORECASE,
)
_AN_BEFORE = re.compile(r"^(?:[aeio]|u(?!ni|se|ti|ra|ro)|hour|honest|heir)", re.IGNORECASE)


class Proposal(BaseModel):
    """What a writer proposes: `old` of the positive becomes `new`; for a swap the two change places.

    `text` is the whole after the change, where the prompt asks for it: it must then be what the edit makes.
    """

    type: EditType
    old: str
    new: str
    text: str | None = None


@dataclass(frozen=True)
class Known:
    """What is true of a region: the words of the texts about it, the values that they state, and the domain they are from.

    `of_parts` are those values that are said of its parts alone: they stand behind its noun.
    """

    words: frozenset[str]
    values: tuple[Value, ...]
    domain: Domain = ANY_DOMAIN
    of_parts: frozenset[Value] = frozenset()


def known_of(texts: Iterable[str], attributes: Iterable[Attribute] = (), nouns: Iterable[str] = (), domain: Domain = ANY_DOMAIN) -> Known:
    """What these texts, typed attributes and names of the thing say."""
    texts, attributes, nouns = list(texts), list(attributes), list(nouns)
    said = [*texts, *(one.value for one in attributes), *nouns]
    values = [value for text in texts for value in stated_values(text, domain)]
    values += [Value(one.type, one.value.lower()) for one in attributes]
    values += [Value("object", noun.lower()) for noun in nouns]
    words = frozenset(word for text in said for word in words_of(text))
    own = {value for text in texts for value in stated_values(_up_to_noun(text, nouns), domain)}
    own |= {Value(one.type, one.value.lower()) for one in attributes if one.type != "parts"}
    return Known(words, tuple(dict.fromkeys(values)), domain, frozenset(values) - own)


def _up_to_noun(text: str, nouns: Iterable[str]) -> str:
    ends = [end for noun in nouns for _, end in noun_spans(text, noun)[:1]]
    return text[: min(ends)] if ends else text


def stated_values(text: str, domain: Domain) -> list[Value]:
    """The attribute values that a text states, in order: those of the word lists, and the domain's own."""
    own = [(kind, value) for kind, values in domain.values.items() for value in values]
    spans = [(span, Value(kind, value.lower())) for kind, value in own for span in occurrences(text.lower(), value.lower())[:1]]
    listed = [(span, value) for value in values_in(text) for span in occurrences(text.lower(), value.value)[:1]]
    return list(dict.fromkeys(value for _, value in sorted([*spans, *listed])))


def replay(positive: str, edits: Sequence[Edit]) -> str:
    """The positive with its edits made, and the article before each changed word set right (a/an).

    Raises: ValueError where an edit does not quote the positive.
    """
    text = positive
    for edit in sorted(edits, key=lambda edit: edit.start, reverse=True):
        if positive[edit.start : edit.end] != edit.old:
            raise ValueError(f"edit of '{edit.old}' at {edit.start} does not quote '{positive}'")
        text = _with_article(text[: edit.start], edit.new) + edit.new + text[edit.end :]
    return text


def accept(proposals: Sequence[Proposal], positive: str, head: str, known: Known, limit: int) -> tuple[list[Negative], dict[str, int]]:
    """The negatives among the proposals, in order, at most `limit`, and how many were refused by each rule.

    No negative may set a value that is `known` to be true of the region, or that may be true beside such a one.
    """
    accepted: list[Negative] = []
    rejects: Counter[str] = Counter()
    seen = {positive.lower()}
    for proposal in proposals:
        negative = examine(proposal, positive, head, known)
        if isinstance(negative, str):
            rejects[negative] += 1
        elif negative.text.lower() in seen:
            rejects["duplicate"] += 1
        elif len(accepted) == limit:
            rejects["surplus"] += 1
        else:
            seen.add(negative.text.lower())
            accepted.append(negative)
    return accepted, dict(sorted(rejects.items()))


def examine(proposal: Proposal, positive: str, head: str, known: Known) -> Negative | str:
    """The negative that a proposal makes of the positive, or the name of the rule that it breaks."""
    old, new = proposal.old.strip(), proposal.new.strip()
    if proposal.type not in WRITTEN_TYPES:
        return "computed_type"
    if not old or not new or old.lower() == new.lower():
        return "unchanged"
    edits = _swap(positive, old, new) if proposal.type == "swap" else _single(proposal.type, positive, old, new)
    if isinstance(edits, str):
        return edits
    broken = _breaks_type(proposal, positive, head, edits, known.domain)
    if broken is None and proposal.type != "swap":
        broken = ambiguity_of(proposal.type, old, new, known)
    if broken is not None:
        return broken
    text = replay(positive, edits)
    if proposal.text is not None and text != proposal.text.strip():
        return "text_mismatch"
    return Negative(text=text, edits=edits, type=proposal.type)


def ambiguity_of(kind: str, old: str, new: str, known: Known) -> str | None:
    """Why the new value may be as true as the old: it is a `neighbour` of it, or `true_of_region`; None: it is neither.

    A near shade of what is said of its parts alone is no value of the thing: black tyres on silver wheels are not white.
    """
    if all(word in known.words for word in words_of(new)):
        return "true_of_region"
    if may_be_both_true(kind, old, new):
        return "neighbour"
    others = [value for value in known.values if value.value != old.lower()]
    of_parts = [value.value for value in others if value in known.of_parts and value.type == kind]
    is_own = is_allowed(kind, new.lower(), [value for value in others if value not in known.of_parts])
    return "true_of_region" if is_own or any(says_the_same(kind, one, new) for one in of_parts) else None


def occurrences(text: str, words: str) -> list[tuple[int, int]]:
    """The spans at which the words stand in the text as whole words, letter case as it is."""
    spans, start = [], text.find(words) if words else -1
    while start >= 0:  # as a regular expression would, without compiling one for each of a block's phrases
        end = start + len(words)
        is_whole = not (start and _is_word(text[start - 1])) and not (end < len(text) and _is_word(text[end]))
        spans += [(start, end)] if is_whole else []
        start = text.find(words, end if is_whole else start + 1)
    return spans


def _is_word(letter: str) -> bool:
    return letter.isalnum() or letter == "_"


def _single(kind: EditType, positive: str, old: str, new: str) -> list[Edit] | str:
    spans = occurrences(positive, old)
    if not spans:
        return "not_quoted"
    if len(spans) > 1:
        return "ambiguous_span"
    return [Edit(type=kind, start=spans[0][0], end=spans[0][1], old=old, new=new)]


def _swap(positive: str, old: str, new: str) -> list[Edit] | str:
    first, second = occurrences(positive, old), occurrences(positive, new)
    if not first or not second:
        return "not_quoted"
    if len(first) > 1 or len(second) > 1:
        return "ambiguous_span"
    (start, end), (other_start, other_end) = first[0], second[0]
    if max(start, other_start) < min(end, other_end):
        return "ambiguous_span"
    edits = [
        Edit(type="swap", start=start, end=end, old=old, new=new),
        Edit(type="swap", start=other_start, end=other_end, old=new, new=old),
    ]
    return sorted(edits, key=lambda edit: edit.start)


def _breaks_type(proposal: Proposal, positive: str, head: str, edits: Sequence[Edit], domain: Domain) -> str | None:
    kind, old, new = proposal.type, proposal.old.strip(), proposal.new.strip()
    touches_head = any(_covers_head(edit, positive, head) for edit in edits)
    if kind == "object":
        if not touches_head or len(words_of(old)) != 1:
            return "noun_not_changed_alone"
        return "wrong_type" if domain.types_of(new) and new.lower() not in THINGS_TOO else None
    if kind == "swap":
        if len(words_of(replay(positive, edits))) != len(words_of(positive)):
            return "word_count"
        return None if are_of_two_things(positive, head, old, new) else "same_thing"
    if touches_head:
        return "noun_changed"
    if kind == "part" and not is_part(positive, old):
        return "wrong_type"
    if kind in ATTRIBUTE_TYPES:
        if len(words_of(old)) > 2 or len(words_of(new)) > 2:
            return "several_slots"
        if any(domain.types_of(value) and kind not in domain.types_of(value) and not is_listed(kind, value) for value in (old, new)):
            return "wrong_type"
    return None


def noun_spans(text: str, head: str) -> list[tuple[int, int]]:
    """Where the head noun stands in a text, in the singular or a plural, in order."""
    return sorted(span for form in (head, f"{head}s", f"{head}es") for span in occurrences(text.lower(), form))


def are_of_two_things(text: str, head: str, one: str, other: str) -> bool:
    """Whether two values, each standing once, are said of two things: the noun, or a word that begins another phrase, stands between.

    "a yellow and black frog", "a long, thin line": in either order they say the same.
    """
    spans = sorted(span for value in (one, other) for span in occurrences(text, value)[:1])
    if len(spans) != 2:
        return True  # another rule says that they cannot be named
    between = text[spans[0][1] : spans[1][0]]
    return bool(noun_spans(between, head)) or not (BOUNDARIES - _JOINING).isdisjoint(words_of(between))


def is_part(text: str, word: str) -> bool:
    """Whether a text names this thing as a part of what it describes: after "with" or "has", and no other thing begins between."""
    spans = occurrences(text, word)
    before = text[: spans[0][0]] if spans else ""
    starts = [match.end() for match in _PART_OF.finditer(before)]
    return bool(starts) and _ENDS_PARTS.search(before, starts[-1]) is None


def _covers_head(edit: Edit, positive: str, head: str) -> bool:
    return any(start < edit.end and edit.start < end for start, end in noun_spans(positive, head))


def _with_article(before: str, new: str) -> str:
    match = re.search(r"(?<!\w)(an?)(\s+)$", before, re.IGNORECASE)
    if match is None:
        return before
    article = "an" if _AN_BEFORE.match(new) else "a"
    if match.group(1)[0].isupper():
        article = article.capitalize()
    return before[: match.start()] + article + match.group(2)


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, hyphens inside them kept."""
    return re.findall(r"\w[\w'-]*", text.lower())
