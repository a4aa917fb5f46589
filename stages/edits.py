"""Typed edits: replay, and the rules by which a proposal becomes a negative. Strings only; no engine, no image."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from pydantic import BaseModel

from schemas.rows import ATTRIBUTE_TYPES, Edit, EditType, Negative
from stages.lexicon import types_of

WRITTEN_TYPES: tuple[str, ...] = (*ATTRIBUTE_TYPES, "object", "part", "relation", "swap")
_AN_BEFORE = re.compile(r"^(?:[aeio]|u(?!ni|se|ti|ra|ro)|hour|honest|heir)", re.IGNORECASE)


class Proposal(BaseModel):
    """What a writer proposes: in `text`, `old` of the positive has become `new`. For a swap the two change places."""

    type: EditType
    old: str
    new: str
    text: str


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


def accept(
    proposals: Sequence[Proposal], positive: str, head: str, facts: Iterable[str], limit: int
) -> tuple[list[Negative], dict[str, int]]:
    """The negatives among the proposals, in order, at most `limit`, and how many were refused by each rule.

    `facts` are texts that are true of the region: no negative may set a value that one of them names.
    """
    known = {word for fact in facts for word in _words(fact)} | set(_words(positive))
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


def examine(proposal: Proposal, positive: str, head: str, known: set[str]) -> Negative | str:
    """The negative that a proposal makes of the positive, or the name of the rule that it breaks."""
    old, new = proposal.old.strip(), proposal.new.strip()
    if proposal.type not in WRITTEN_TYPES:
        return "computed_type"
    if not old or not new or old.lower() == new.lower():
        return "unchanged"
    edits = _swap(positive, old, new) if proposal.type == "swap" else _single(proposal.type, positive, old, new)
    if isinstance(edits, str):
        return edits
    broken = _breaks_type(proposal.type, positive, old, new, head, edits)
    if broken is not None:
        return broken
    if proposal.type != "swap" and all(word in known for word in _words(new)):
        return "true_of_region"
    text = replay(positive, edits)
    if text != proposal.text.strip():
        return "text_mismatch"
    return Negative(text=text, edits=edits, type=proposal.type)


def occurrences(text: str, words: str) -> list[tuple[int, int]]:
    """The spans at which the words stand in the text as whole words, letter case as it is."""
    return [match.span() for match in re.finditer(rf"(?<!\w){re.escape(words)}(?!\w)", text)]


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


def _breaks_type(kind: str, positive: str, old: str, new: str, head: str, edits: Sequence[Edit]) -> str | None:
    touches_head = any(_covers_head(edit, positive, head) for edit in edits)
    if kind == "object":
        return None if touches_head and len(_words(old)) == 1 else "noun_not_changed_alone"
    if kind == "swap":
        return None if len(_words(replay(positive, edits))) == len(_words(positive)) else "word_count"
    if touches_head:
        return "noun_changed"
    if kind in ATTRIBUTE_TYPES:
        if len(_words(old)) > 2 or len(_words(new)) > 2:
            return "several_slots"
        if any(types_of(value) and kind not in types_of(value) for value in (old, new)):
            return "wrong_type"
    return None


def noun_spans(text: str, head: str) -> list[tuple[int, int]]:
    """Where the head noun stands in a text, in the singular or a plural, in order."""
    return sorted(span for form in (head, f"{head}s", f"{head}es") for span in occurrences(text.lower(), form))


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


def _words(text: str) -> list[str]:
    return re.findall(r"\w[\w'-]*", text.lower())
