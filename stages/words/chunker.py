"""Noun phrases by closed word lists and endings alone, for who has no parser. Knows no marks."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from stages.words.lexicon import BOUNDARIES, DETERMINERS, PRONOUNS, THINGS_ALONE_TOO, THINGS_TOO, types_of
from stages.words.marks import DEFINITE, WORD, Named
from stages.words.nouns import SINGULAR_IN_S, is_plural, looks_like_adjective, looks_like_participle, singular
from stages.words.unboxed import COLLECTIVE_NOUNS, PLACE_NOUNS, is_abstract

_MAX_WORDS = 8
# Where a phrase ends besides the boundaries: verbs of captions, participles that no ending tells, adverbs.
STOPS = frozenset(
    "smiles before after suggesting protrude emerge adorn intersect dangle sprout moves goes reflects stuck gleams kneels agape "
    "captures adds reveals stretches boasts extends reads showcases provides depicts contrasts seems presents adorns unfolds consists "
    "creates draws graces dominates shines serves enhances rises exhibits comes suggests reaches allows leads grips remains ascends "
    "obscures encircles says resembles protrudes occupies guides grows separates falls bisects meets looms emphasizes offers connects "
    "becomes illuminates portrays follows fades continues carries announces varies indicates crosses comprises causes evokes gets "
    "keeps sees makes has hosts hugs tells seen set clad written slung strewn spread spun hung bent drawn woven laid overlaid inlaid "
    "torn worn built broken eaten hidden emphasize exhibit extend contribute provide create suggest depict reveal reach boast reflect "
    "become seem remain resemble beneath atop beyond underneath amidst amid throughout except among until per aboard nor via "
    "alongside plus past due since without further otherwise away well upward upwards downward downwards forward outward inward about "
    "go skyward together almost somewhat even perhaps ahead however apart aloft rather backwards backward now already again overhead "
    "instead enough still inside outside ago visible present available adjacent similar different reminiscent typical ready capable "
    "perpendicular diagonally else such darker lighter larger smaller bigger taller shorter thicker thinner wider higher longer "
    "closer brighter bolder".split()
)
_SINGULAR_DETERMINERS = frozenset("a an this that each every another".split())
_BEFORE_ARTICLES = frozenset("both all half".split())
# Boundaries that are nouns after an article: "his face", "the can".
_NOUNS_TOO = frozenset(
    "face faces cover covers cast casts stand stands rest rests run runs show shows hold look looks walk walks can".split()
)
# Matter that needs no article, as plurals do: "filled with water".
_MATTER = frozenset(
    "water grass snow sand ice greenery foliage vegetation moss ivy mud smoke steam debris hair salt sugar rice bread cheese meat "
    "sauce food furniture clothing equipment jewelry graffiti coffee tea milk text writing lettering gravel dirt".split()
)
# After these a plural needs no article: "of small rocks".
_OPENERS = frozenset("of with by between behind among amidst amid through against on in from beneath and under near".split())


class _Word(NamedTuple):
    start: int
    end: int
    text: str

    @property
    def is_stop(self) -> bool:
        return self.text in BOUNDARIES or self.text in PRONOUNS or self.text in STOPS

    @property
    def is_determiner(self) -> bool:
        return self.text in DETERMINERS or self.text.isdecimal()


def chunks(text: str, left: int, right: int) -> Iterator[Named]:
    """The noun phrases of one sentence, text[left:right], in order."""
    words = [_Word(match.start(), match.end(), match.group().lower()) for match in WORD.finditer(text, left, right)]
    position = 0
    while position < len(words):
        last = _phrase_at(text, words, position)
        if last is None:
            position += 1
            continue
        if last + 2 < len(words) and words[last].text in COLLECTIVE_NOUNS and words[last + 1].text == "of":
            members = _end_of(text, words, last + 2, position)
            last = members if _names_several(words[last + 2 : members + 1]) else last
        end = words[last].end - (2 if words[last].text.endswith(("'s", "’s")) else 0)
        yield Named(words[position].start, end, singular(text[words[last].start : end]))
        position = last + 1


def _phrase_at(text: str, words: Sequence[_Word], first: int) -> int | None:
    """Index of the last word of a phrase that begins here; None: none does."""
    word = words[first]
    if word.is_determiner:
        last = _end_of(text, words, first, first)
        before = words[first - 1] if first else None
        is_relative = word.text == "that" and before is not None and not before.is_stop
        return last if last > first and not is_relative else None
    if word.is_stop or word.text == "no":
        return None
    last = _end_of(text, words, first, first)
    if types_of(word.text) and last > first and not _is_adjective(words[last].text):
        return last
    opened = first > 0 and words[first - 1].text in _OPENERS and not text[words[first - 1].end : word.start].strip()
    needs_none = is_plural(words[last].text) or words[last].text in SINGULAR_IN_S or words[last].text in _MATTER
    return last if opened and needs_none and last - first < 5 and not _is_followed(words, last) else None


def _end_of(text: str, words: Sequence[_Word], first: int, start: int) -> int:
    """Index of the last word of the noun phrase that goes on from `first`; it began at `start`."""
    last = first
    while last + 1 < len(words) and last - start < _MAX_WORDS:
        step = _step(text, words, last)
        if step is None or (step == 1 and last > start and _is_verb_after(words, last)):
            break
        last += step
    last = _before_owned(words, start, last)
    while last > start and _is_loose(words, last):
        last -= 1
    return last


def _step(text: str, words: Sequence[_Word], last: int) -> int | None:
    """How many words further the phrase goes from here: one, two over an "and" of values, or none."""
    word, following = words[last], words[last + 1]
    between = text[word.end : following.start].strip()
    if following.text in ("and", "or") and last + 2 < len(words) and not between:
        other = words[last + 2]
        is_pair = bool(types_of(word.text) & types_of(other.text)) and not text[following.end : other.start].strip()
        return 2 if is_pair and last + 3 < len(words) and not words[last + 3].is_stop else None
    is_noun = following.text in _NOUNS_TOO and not between and (word.is_determiner or _is_adjective(word.text))
    if (following.is_stop and not is_noun) or (between and between != ","):
        return None
    if between and not (_is_adjective(word.text) and not following.is_determiner):
        return None
    if not following.is_determiner:
        return 1
    is_number = word.is_determiner and following.text not in _SINGULAR_DETERMINERS | DEFINITE and following.text != "the"
    return 1 if is_number or word.text in _BEFORE_ARTICLES else None


def _is_adjective(word: str) -> bool:
    is_value = bool(types_of(word)) and singular(word) not in THINGS_TOO | THINGS_ALONE_TOO
    return is_value or looks_like_adjective(word)


def _is_verb_after(words: Sequence[_Word], last: int) -> bool:
    """Whether the next word is a participle that a plural came before: edges | adding texture."""
    return is_plural(words[last].text) and looks_like_participle(words[last + 1].text)


def _before_owned(words: Sequence[_Word], start: int, last: int) -> int:
    """Of "the box's vintage appeal" the owner: what is owned cannot be seen."""
    head = singular(words[last].text)
    if not (is_abstract(head) or head in PLACE_NOUNS):
        return last
    return next((i for i in range(last - 1, start, -1) if words[i].text.endswith(("'s", "’s", "s'", "s’"))), last)


def _is_loose(words: Sequence[_Word], last: int) -> bool:
    """Whether the last word belongs to what follows: an adverb, a participle, a verb that another phrase follows at once."""
    word, before = words[last].text, words[last - 1]
    if before.is_determiner:
        return False
    if word.endswith("ly") and len(word) > 4 and looks_like_adjective(word):
        return True
    if looks_like_participle(word):
        return True
    return _is_followed(words, last) and is_plural(word) and not _is_adjective(before.text)


def _is_followed(words: Sequence[_Word], last: int) -> bool:
    """Whether another phrase begins right after this word, which then is a verb."""
    after = words[last + 1] if last + 1 < len(words) else None
    return after is not None and after.is_determiner and after.text != "that" and after.start == words[last].end + 1


def _names_several(words: Sequence[_Word]) -> bool:
    noun = words[-1].text if words else ""
    return bool(words) and not words[0].is_stop and words[0].text not in DEFINITE and (noun in SINGULAR_IN_S or is_plural(noun))
