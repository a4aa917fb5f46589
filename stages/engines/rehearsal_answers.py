"""What a rehearsal answers: an instance of the answer schema, in words of the prompt's example. Knows no task and no field."""

import hashlib
import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from prompts.example import EachWordOf, Example, WhereShown
from prompts.loader import PromptError
from stages.engines.base import Request

_NAME = re.compile(r"\{(\w+)\}")
_ANYTHING = ("thing", "part", "piece", "side", "form", "kind", "case", "line", "point", "place", "row", "way")
_NO_EXAMPLE = Example(answers=[{}])
_LAST_PHRASE = re.compile(r".*(?<!\w)((?:an?|the) (?:[\w-]+ ){0,5})$", re.IGNORECASE | re.DOTALL)
# A judge's doubts: of so many questions, how many are answered by neither, and how many by that or by the order of the options.
_UNSURE, _DOUBTED = 0.03, 0.08


def write_answer(request: Request, rng: random.Random, shown: str = "") -> str:
    """An instance of the request's schema as JSON with json.dumps' separators, or as its plain parts; a text where there is no schema.

    `shown` names what the image shows, so that whoever describes it and whoever judges it agree; what follows an "@" in it is
    no part of that name.

    Raises: PromptError where the example names what there is not.
    """
    words = _Words(request, rng, shown)
    answer = words.answer()
    if request.plain is not None:
        return request.plain.parts.write(_Writer(request.plain.schema, rng, words).write(request.plain.schema, answer))
    if request.answer_schema is None:
        return next(_texts(answer), None) or _phrase(rng)
    return json.dumps(_Writer(request.answer_schema, rng, words).write(request.answer_schema, answer))


def share(text: str) -> float:
    """A number of 0 to 1, less than 1, that is a function of the text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


class _Words:
    """Draws the words of one answer and fills its texts."""

    def __init__(self, request: Request, rng: random.Random, shown: str) -> None:
        self._example = request.example or _NO_EXAMPLE
        self._request, self._rng, self._shown_name = request, rng, shown
        self._known: dict[str, tuple[str, list[tuple[str, int]]]] = {}
        self._lists, self._list_of = self._example.lists, self._example.list_of

    def answer(self) -> dict[str, Any]:
        """One of the example's answers, filled but for what stands for each word of a text, which `item` fills."""
        answers = self._example.answers
        chosen = answers[self._rng.randrange(len(answers))] if len(answers) > 1 else answers[0]
        drawn = self._draw(_texts(chosen))
        return {name: self._filled(value, drawn) for name, value in chosen.items()}

    def num_items(self, each: EachWordOf) -> int:
        """How many items stand for the words of a text where the schema allows them."""
        return each.num_items or len(self._known_words(each.each_word_of)[1])

    def item(self, each: EachWordOf, properties: Mapping[str, Any], index: int) -> dict[str, str]:
        """The item for the text's next word, in turn, among the words and lists that the schema's `properties` admit."""
        text, known = self._known_words(each.each_word_of)
        last = next(reversed(self._lists), "")
        lists = _admitted(each, properties, "{list}") or list(self._lists) or [last]
        words = [(word, start) for word, start in known if self._list_of.get(word, last) in lists] or known
        if admitted := _admitted(each, properties, "{word}"):
            words = [(word, text.find(word)) for word in admitted]
        word, start = words[index % len(words)]
        of = self._list_of.get(word, last)
        kind = of if of in lists else lists[0]
        other = self._rng.choice([listed for listed in self._lists.get(kind, _ANYTHING) if listed != word] or _ANYTHING)
        before = _LAST_PHRASE.match(text[: max(start, 0)])
        bound = {"word": word, "list": kind, "other": other, "changed": text.replace(word, other, 1)}
        bound["noun_phrase"] = f"{before[1] if before else ''}{word}"
        drawn = self._draw(each.item.values(), without=bound) | {name: [value] for name, value in bound.items()}
        return {name: self._fill(value, drawn) for name, value in each.item.items()}

    def _known_words(self, template: str) -> tuple[str, list[tuple[str, int]]]:
        """The text, filled, and which of its words a list knows and where they begin, else its last word."""
        if template not in self._known:
            text = self._fill(template, {})
            last_word = [(word, text.rfind(word)) for word in text.split()[-1:] or [""]]
            self._known[template] = text, _standing(self._list_of, text) or last_word
        return self._known[template]

    def _filled(self, value: Any, drawn: Mapping[str, Sequence[str]]) -> Any:
        match value:
            case str():
                return self._fill(value, drawn)
            case WhereShown():
                return self._verdict(value, drawn)
            case dict():
                return {name: self._filled(part, drawn) for name, part in value.items()}
            case list():
                return [self._filled(part, drawn) for part in value]
        return value

    def _draw(self, texts: Iterable[str], without: Iterable[str] = ()) -> dict[str, list[str]]:
        """The words for each list that the texts name, in order of mention, then for each text that they name."""
        most: dict[str, int] = {}
        for text in texts:
            for name, num in _mentions(text).items():
                most[name] = max(most.get(name, 0), num)
        names = [name for name in most if name not in without]
        drawn = self._sampled({name: most[name] for name in names})
        made = {name: self._example.words[name] for name in names if name not in drawn and name in self._example.words}
        return drawn | {name: [self._made(str(text)) for _ in range(most[name])] for name, text in made.items()}

    def _sampled(self, nums: Mapping[str, int]) -> dict[str, list[str]]:
        """So many words for each of these names that is a list's or of what is shown."""
        return {name: self._sample(name, num) for name, num in nums.items() if name in self._lists or name in self._example.shown}

    def _sample(self, name: str, num: int) -> list[str]:
        if name in self._example.shown:
            return [self._shown(name)] * num
        words = self._lists[name]
        return self._rng.sample(words * -(-num // len(words)), num)

    def _made(self, text: str) -> str:
        return self._fill(text, self._sampled(_mentions(text)))

    def _shown(self, name: str) -> str:
        """What the image shows of a list; drawn for this answer where there is no image."""
        words = self._example.shown[name]
        if isinstance(words, str):
            return self._fill(words, {})
        shown_object = self._shown_name.partition("@")[0]
        return (random.Random(f"{shown_object}/{name}") if shown_object else self._rng).choice(words)

    def _fill(self, text: str, drawn: Mapping[str, Sequence[str]]) -> str:
        num_seen: Counter[str] = Counter()

        def word(match: re.Match[str]) -> str:
            name = match[1]
            num_seen[name] += 1
            return drawn[name][(num_seen[name] - 1) % len(drawn[name])] if name in drawn else self._variable(name)

        return _NAME.sub(word, text)

    def _variable(self, name: str) -> str:
        if name == "question":
            asked, mark, _ = self._request.user.partition("?")
            return asked + mark
        if not isinstance(value := self._request.variables.get(name), str):
            known = sorted({*self._lists, *self._example.words, *self._example.shown, *self._request.variables, "question"})
            raise PromptError(f"the example of a prompt names {{{name}}}, which is no text; known here: {', '.join(known)}")
        return value

    def _verdict(self, value: WhereShown, drawn: Mapping[str, Sequence[str]]) -> str | tuple[str, ...]:
        among = self._request.variables.get(value.among or "")
        if isinstance(among, list) and among:
            return self._ticked(value, among)
        asked = self._fill(value.where_shown, drawn)
        doubt = share(f"{self._shown_name}/{asked}")
        if value.unsure is not None and doubt < _DOUBTED:
            return value.unsure if doubt < _UNSURE else min(value.then, value.otherwise, key=self._last_mention)
        return value.then if self._is_shown(asked) else value.otherwise

    def _ticked(self, value: WhereShown, among: Sequence[str]) -> tuple[str, ...]:
        """Those of the listed texts that the image shows."""
        doubt = share(f"{self._shown_name}/{'/'.join(sorted(among))}")
        if value.unsure is not None and doubt < _DOUBTED:
            return (value.unsure if doubt < _UNSURE else among[0],)
        shown = tuple(option for option in among if self._is_shown(option))
        return shown or ((value.unsure,) if value.unsure is not None else tuple(among[:1]))

    def _is_shown(self, asked: str) -> bool:
        shown = {name: self._shown(name) for name in self._example.shown}
        texts = {word: name for name, word in shown.items() if isinstance(self._example.shown[name], str)}
        names = texts | {word: name for word, name in self._list_of.items() if name in shown}
        words = [word for word, _ in _standing(names, asked)]
        return bool(words) and all(word == shown[names[word]] for word in words)

    def _last_mention(self, option: str) -> int:
        return max((mention.start() for mention in re.finditer(rf"\b{re.escape(option)}\b", self._request.user)), default=-1)


class _Writer:
    """Walks one JSON schema. A value of the example is taken where it fits; the rest is drawn."""

    def __init__(self, root: Mapping[str, Any], rng: random.Random, words: _Words) -> None:
        self._root, self._rng, self._words = root, rng, words

    def write(self, schema: Mapping[str, Any], value: Any = None, index: int = 0) -> Any:
        """An instance; `value` is the example's, None where it has none; `index` is the place in the enclosing array."""
        if "$ref" in schema:
            schema = self._resolve(schema["$ref"])
        for union in ("anyOf", "oneOf"):
            if union in schema:
                live = [branch for branch in schema[union] if branch.get("type") != "null"] or [{"type": "null"}]
                return self.write(live[index % len(live)], value, index // len(live))
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return value if value in schema["enum"] else self._rng.choice(schema["enum"])
        kind = schema.get("type", "object" if "properties" in schema else "string")
        match kind if isinstance(kind, str) else next(branch for branch in kind if branch != "null"):
            case "object":
                return self._object(schema.get("properties", {}), value, index)
            case "array":
                return self._array(schema, value)
            case "boolean":
                return value if isinstance(value, bool) else self._rng.random() < 0.5
            case "integer" | "number":
                drawn = self._rng.randint(int(schema.get("minimum", 0)), int(schema.get("maximum", 9)))
                return value if isinstance(value, int | float) and not isinstance(value, bool) else drawn
            case "null":
                return None
        return self._string(schema, value)

    def _resolve(self, pointer: str) -> Mapping[str, Any]:
        node: Any = self._root
        for part in pointer.removeprefix("#/").split("/"):
            node = node[part]
        assert isinstance(node, Mapping)
        return node

    def _object(self, properties: Mapping[str, Any], value: Any, index: int) -> dict[str, Any]:
        fields = self._words.item(value, properties, index) if isinstance(value, EachWordOf) else value if isinstance(value, dict) else {}
        return {name: self.write(part, fields.get(name)) for name, part in properties.items()}

    def _array(self, schema: Mapping[str, Any], value: Any) -> list[Any]:
        given = [value] if isinstance(value, EachWordOf) else value if isinstance(value, list) and value else [None]
        if "prefixItems" in schema:
            return [self.write(item_schema, given[i % len(given)], i) for i, item_schema in enumerate(schema["prefixItems"])]
        count = self._rng.randint(1, 3)
        if isinstance(value, tuple):  # all of it
            given, count = list(value), len(value)
        elif isinstance(value, EachWordOf):
            count = self._words.num_items(value)
        count = min(max(count, schema.get("minItems", 0)), schema.get("maxItems", 12))
        items = [self.write(schema.get("items", {}), given[i % len(given)], i) for i in range(count)]
        if schema.get("uniqueItems"):
            items = [item for i, item in enumerate(items) if item not in items[:i]]
        return items

    def _string(self, schema: Mapping[str, Any], value: Any) -> str:
        text = value if isinstance(value, str) else self._rng.choice(_ANYTHING) if "pattern" in schema else _phrase(self._rng)
        while len(text) < schema.get("minLength", 0):
            text += f" {_phrase(self._rng)}"
        most = schema.get("maxLength", len(text))
        return text if len(text) <= most else text[:most].rstrip()


def _admitted(each: EachWordOf, properties: Mapping[str, Any], name: str) -> list[str]:
    """The values that the schema lists for the field whose text is this name alone; empty: it lists none."""
    return next((list(properties.get(field, {}).get("enum", ())) for field, text in each.item.items() if text == name), [])


def _standing(words: Iterable[str], text: str) -> list[tuple[str, int]]:
    """Which of the words stand in a text, in its order, the longest where several do, and where each begins."""
    return [(match[0], match.start()) for match in _any_of(tuple(words)).finditer(text)]


@lru_cache(maxsize=64)
def _any_of(words: tuple[str, ...]) -> re.Pattern[str]:
    forms = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    return re.compile(rf"(?<![a-z])(?:{forms})(?![a-z])" if forms else "(?!)")


def _texts(value: Any) -> Iterator[str]:
    """The texts of an answer in order, less those that stand for each word of a text."""
    match value:
        case str():
            yield value
        case WhereShown():
            yield value.where_shown
        case dict():
            for part in value.values():
                yield from _texts(part)
        case list():
            for part in value:
                yield from _texts(part)


@lru_cache(maxsize=256)
def _mentions(text: str) -> Mapping[str, int]:
    """How often a text names what, in order of first mention."""
    return Counter(_NAME.findall(text))


def _phrase(rng: random.Random) -> str:
    return " ".join(rng.choice(_ANYTHING) for _ in range(6))
