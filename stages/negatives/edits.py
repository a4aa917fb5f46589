"""Typed edits: replay, and the rules by which a proposal becomes a negative. Strings only; no engine, no image."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pydantic import BaseModel

from schemas.rows import ATTRIBUTE_TYPES, Attribute, Edit, EditType, Negative
from stages.negatives.quotes import are_of_two_things, compound_of, is_part, noun_spans, occurrences, words_of
from stages.words.ambiguity import canonical_value, exclude_each_other, is_allowed, is_listed, is_same_noun, says_the_same
from stages.words.domain import ANY_DOMAIN, Domain
from stages.words.kinds import kind_of, may_be_both_true_of, may_have_too
from stages.words.lexicon import (
    BOUNDARIES,
    COUNTED,
    DETERMINERS,
    LEAFY,
    LEAVES,
    MATTER_TOO,
    SURFACES,
    THINGS_ALONE_TOO,
    THINGS_TOO,
    types_of,
)
from stages.words.nouns import singular
from stages.words.phrases import chunk_phrases
from stages.words.scales import COATS, GROWN_UP, PAINTED_ALIKE, WOOD_COLOURS, WOVEN
from stages.words.values import Value, values_in

WRITTEN_TYPES: tuple[str, ...] = (*ATTRIBUTE_TYPES, "object", "part", "relation", "swap")
_SOMEWHERE = re.compile(
    r"\s*(?:on\s+(?:its|the|his|her|their|one|each|both)|below|above|around|behind|beside|beneath|underneath|under|near)(?!\w)"
)
_CALLED = re.compile(r"(?<!\w)(?:of|like|as|called)\s+((?:\w[\w'-]*\s+){0,3}\w[\w'-]*)", re.IGNORECASE)
_STATES_TOO = frozenset(("size", "shape", "pattern", "transparency"))  # types whose words say how something is, as states do
_ADULTS = frozenset("man woman lady gentleman guy".split())
_CHILDREN = frozenset("boy girl child kid baby toddler infant".split())
_CLOTH = frozenset(("garment", "textile"))  # what looks alike where it is folded
_HEAPED = frozenset("folded rolled crumpled bundled rumpled".split())
_NEXT_WORD = re.compile(r"\s+([^\W\d_][\w'-]*)")
_AN_BEFORE = re.compile(r"^(?:[aeio]|u(?!ni|se|ti|ra|ro)|hour|honest|heir)", re.IGNORECASE)


class Proposal(BaseModel):
    """What a writer proposes: `old` of the positive becomes `new`; for a swap the two change places.

    `text` is the whole after the change, where the prompt asks for it: it must then be what the edit makes.
    """

    type: EditType
    old: str
    new: str
    text: str | None = None


class Part(NamedTuple):
    """A part of a thing, and what is said of it: the words of its phrases, its noun among them."""

    noun: str
    words: frozenset[str]
    values: frozenset[Value]


@dataclass(frozen=True)
class Known:
    """What is true of a region: the words of the texts about it, the values that they state, and the domain they are from.

    `own` and `own_words` are said of the thing itself, or of a part that is nearly all of it, `parts` of its other parts. `beside` are the
    values of the text that is edited: they stay when another of its words changes. `names` are the words that stand in that text, or by
    which some text may call the thing: not those of what it lies on, holds or stands beside.
    """

    words: frozenset[str]
    values: tuple[Value, ...]
    domain: Domain = ANY_DOMAIN
    own_words: frozenset[str] = frozenset()
    own: frozenset[Value] = frozenset()
    beside: frozenset[Value] = frozenset()
    parts: tuple[Part, ...] = ()
    noun: str = ""
    names: frozenset[str] = frozenset()

    def bearer_of(self, value: str) -> Part:
        """Whatever this value is said of: the thing itself, or parts of one noun."""
        words = words_of(value)
        bearers = [] if self.own_words.issuperset(words) else [part for part in self.parts if part.words.issuperset(words)]
        if not bearers:
            return Part(self.noun, self.own_words, self.own)
        return self.part(bearers[0].noun)

    def part(self, name: str) -> Part:
        """What is said of the parts of this name."""
        noun = singular(name.split()[-1].lower())
        same = [part for part in self.parts if part.noun == noun]
        return Part(noun, frozenset().union(*(part.words for part in same)), frozenset().union(*(part.values for part in same)))


def known_of(texts: Iterable[str], attributes: Iterable[Attribute] = (), nouns: Iterable[str] = (), domain: Domain = ANY_DOMAIN) -> Known:
    """What these texts (first the one that is edited), typed attributes and names of the thing say."""
    texts, attributes, nouns = list(texts), list(attributes), list(nouns)
    typed = [Value(attribute.type, attribute.value.lower()) for attribute in attributes]
    named = [Value("object", noun.lower()) for noun in nouns]
    values = [value for text in texts for value in stated_values(text, domain)]
    words = frozenset(word for stated in (*texts, *(attribute.value for attribute in typed), *nouns) for word in words_of(stated))
    divided = [_divided(text, nouns) for text in texts]
    named_parts = {singular(words_of(phrase)[-1]) for _, phrases in divided for phrase in phrases}
    of_parts = [attribute.value for attribute in typed if attribute.type == "parts" or _is_said_of(attribute.value, named_parts)]
    typed = [attribute for attribute in typed if attribute.type == "parts" or attribute.value not in of_parts]
    divided += [("", [part]) if _is_of_a_part(part, "", nouns) else (part, []) for part in of_parts]
    owns = [own for own, _ in divided]
    own = (
        {value for text in owns for value in stated_values(text, domain)}
        | {attribute for attribute in typed if attribute.type != "parts"}
        | {*named}
    )
    said_of_it = (*owns, *(attribute.value for attribute in typed if attribute.type != "parts"), *nouns)
    return Known(
        words,
        tuple(dict.fromkeys([*values, *typed, *named])),
        domain,
        own_words=frozenset(word for stated in said_of_it for word in words_of(stated)),
        own=frozenset(own),
        beside=frozenset(stated_values(texts[0], domain)) if texts else frozenset(),
        parts=tuple(_part(phrase, domain) for _, parts in divided for phrase in parts),
        noun=next(iter(nouns), ""),
        names=frozenset(word for stated in (*said_of_it, *texts[:1], *_CALLED.findall(" ".join(texts))) for word in words_of(stated)),
    )


def _divided(text: str, nouns: Sequence[str]) -> tuple[str, list[str]]:
    """What a text says of the thing itself, and the phrases behind its noun that name parts of it, or what it holds or wears."""
    first = min((end for noun in nouns for _, end in noun_spans(text, noun)[:1]), default=len(text))
    spans = [
        (phrase.start, phrase.end)
        for phrase in chunk_phrases(text)
        if phrase.start is not None and phrase.end is not None and phrase.start >= first
    ]
    spans = [(start, _end_of_phrase(text, start, end)) for start, end in spans]
    spans = [(start, end) for start, end in spans if _is_of_a_part(text[start:end], text[end:], nouns)]
    own = text
    for start, end in reversed(spans):
        own = own[:start] + own[end:]
    return own, [text[start:end] for start, end in spans]


def _is_said_of(value: str, parts: Collection[str]) -> bool:
    """Whether a value names the part that it is a value of, as an attribute of the whole may: yellow handles."""
    words = words_of(value)
    return len(words) > 1 and singular(words[-1]) in parts


def _end_of_phrase(text: str, start: int, end: int) -> int:
    """Where a phrase ends that the chunker may have ended before its noun, since that ends as adjectives do: "a white belly"."""
    following = _NEXT_WORD.match(text, end)
    last = words_of(text[start:end])[-1:]
    is_cut = bool(last) and bool(types_of(last[0])) and not _is_thing(last[0])
    return following.end() if is_cut and following and following[1].lower() not in BOUNDARIES else end


def _is_of_a_part(phrase: str, after: str, nouns: Iterable[str]) -> bool:
    """Whether a phrase names a part that leaves most of the thing to be otherwise: a wheel, a rose's leaves; not its fur."""
    words = words_of(phrase)
    while len(words) > 1 and types_of(words[-1]) and not _is_thing(words[-1]) and kind_of(words[-2]):
        words.pop()  # a wheel full of leaves is a wheel
    last = next(reversed(words), "")
    if not last or (types_of(last) and not _is_thing(last)):
        return False
    is_leafy = singular(last) in LEAVES and any(singular(noun) in LEAFY for noun in nouns)
    is_living = any(kind_of(noun) in ("animal", "person") for noun in nouns)  # its face is a part, as a clock's is not
    is_lamp = any(is_same_noun(noun, "lamp") for noun in nouns)  # so is its shade
    parts = {*(("face", "faces") if is_living else ()), *(("shade", "shades") if is_lamp else ())}
    is_surface = is_leafy or not ({last, singular(last)} - parts).isdisjoint(SURFACES)
    return not is_surface or _SOMEWHERE.match(after) is not None


def _part(phrase: str, domain: Domain) -> Part:
    return Part(singular(words_of(phrase)[-1]), frozenset(words_of(phrase)), frozenset(stated_values(phrase, domain)))


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

    Held against it is what is known of whatever the old value is said of: black tyres do not forbid that silver wheels are called black.
    """
    if kind == "part":
        return _ambiguity_of_part(old, new, known)
    of = known.bearer_of(old) if kind in ATTRIBUTE_TYPES else Part(known.noun, known.names, frozenset(known.values))
    if all(word in of.words for word in words_of(new)):
        return "true_of_region"
    if may_be_both_true_of(of.noun, kind, old, new) and not (kind == "object" and _is_of_another_age(old, new, known)):
        return "neighbour"
    if kind == "material" and of.noun != known.noun and _look_alike(old, new, of):
        return "neighbour"
    if kind == "object" and {kind_of(old), kind_of(new)} <= _CLOTH and not _HEAPED.isdisjoint(known.own_words):
        return "neighbour"
    others = [part for part in of.values if part.type == kind and not set(words_of(part.value)) <= set(words_of(old))]
    # Of the colours that stay in the text none is named again by a near one: brown is false of a red, white and blue flag.
    beside = [part.value for part in known.beside if part.type == kind == "colour" and part.value != old.lower()]
    stay = [part for part in others if any(says_the_same(kind, part.value, named) for named in beside)]
    is_near = is_allowed(kind, new.lower(), [part for part in others if part not in stay])
    return "true_of_region" if is_near or any(says_the_same(kind, part.value, new) for part in stay) else None


def _look_alike(old: str, new: str, part: Part) -> bool:
    """Whether two materials of a part are hidden by its colour: a black wooden handle may be a plastic one."""
    are_painted = {canonical_value("material", old), canonical_value("material", new)} == PAINTED_ALIKE
    colours = [value.value.split()[-1] for value in part.values if value.type == "colour"]
    return are_painted and bool(colours) and WOOD_COLOURS.isdisjoint(colours)


def _ambiguity_of_part(old: str, new: str, known: Known) -> str | None:
    """The same of a part: what the thing has as it is said of the old one, or may well have beside it.

    Not so where the old one is said to be of a shape or a pattern (a ram has no spiral ears), or the new one to be otherwise (padded
    armrests are no plastic ones).
    """
    own, other = known.part(old), known.part(new)
    own_words = own.words - {*words_of(old)} - (DETERMINERS - set(COUNTED))
    if all(word in known.words for word in words_of(new)) and own_words <= other.words:
        return "true_of_region"
    is_of_a_form = any(value.type in ("shape", "pattern") for value in own.values) or not WOVEN.isdisjoint(own.words)
    is_said_otherwise = bool(other.words - {*words_of(new)} - DETERMINERS)
    return "neighbour" if not is_said_otherwise and not is_of_a_form and may_have_too(known.noun, old, new) else None


def _is_of_another_age(old: str, new: str, known: Known) -> bool:
    """Whether a child's noun replaces that of one who is said to be grown up, and nobody else is: a bearded man is no boy."""
    own = known.own_words.union(*(part.words for part in known.parts))
    people = {word for word in known.words if kind_of(word) == "person" and not is_same_noun(word, old)}
    return singular(old) in _ADULTS and singular(new) in _CHILDREN and not GROWN_UP.isdisjoint(own) and not people


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
        if not touches_head or (len(words_of(old)) != 1 and old != compound_of(positive, head)):
            return "noun_not_changed_alone"
        return "wrong_type" if domain.types_of(new) and not _is_thing(new) else None
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
        is_one_look = (kind == "state" and any(exclude_each_other(other, old, new) for other in _STATES_TOO)) or (
            kind in ("colour", "pattern") and any(value.lower() in COATS for value in (old, new))
        )
        if not is_one_look and not (
            _is_of_type(kind, old, domain) and (_is_of_type(kind, new, domain) or _may_be_state(kind, new, domain))
        ):
            return "wrong_type"
    return None


def _is_of_type(kind: str, value: str, domain: Domain) -> bool:
    """Whether the lists know a value of this type, or of none."""
    types = domain.types_of(value)
    return not types or kind in types or is_listed(kind, value) or (kind == "material" and value.lower() in MATTER_TOO)


def _may_be_state(kind: str, value: str, domain: Domain) -> bool:
    """Whether a new state may be named so, though the lists have the word for another type: solid wheels instead of spoked ones."""
    return kind == "state" and domain.types_of(value) <= _STATES_TOO


def _is_thing(value: str) -> bool:
    """Whether a word that says how something is names things too: cream, a light, a uniform."""
    return singular(value) in THINGS_TOO | THINGS_ALONE_TOO or bool(kind_of(value))


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
