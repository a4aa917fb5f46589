"""Engines without a model: deterministic answers made from the answer schema, with faults on demand. Knows no stage."""

import asyncio
import hashlib
import json
import os
import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image

from stages.engines.base import Answer, DetectRequest, Found, Request
from stages.engines.specs import RehearsalDetectorSpec, RehearsalSpec, Resources

_CONTEXT_WORDS = 32_768
_SLOTS: dict[str, tuple[str, ...]] = {
    "colour": ("red", "yellow", "green", "blue", "purple", "white", "black"),
    "material": ("rubber", "metal", "wooden", "glass"),
    "pattern": ("plain", "striped", "spotted"),
    "size": ("small", "medium", "large"),
    "object": ("car", "fish", "house", "mug", "mushroom", "star"),
}
_SLOT_OF = {word: slot for slot, words in _SLOTS.items() for word in words}
_PLACES = ("top left", "top centre", "top right", "bottom left", "bottom centre", "bottom right")
_GROUNDS = ("wooden table", "tiled floor", "sandy beach", "grassy lawn")
_COUNTS = ("One toy stands", "Two toys stand", "Three toys stand")
_NOUN_PHRASE = re.compile(rf"\b(?:a|an|the) (?:[a-z]+ ){{0,5}}?(?:{'|'.join(_SLOTS['object'])})\b")


class RehearsalGenerator:
    """Answers of the schema's shape, a function of (spec.seed, question); the request's seed counts where sampled.

    A token is a word here. Injected bad JSON and truncation depend on the request's seed too, so that asking again helps.
    """

    reproducible: ClassVar[bool] = True

    def __init__(self, spec: RehearsalSpec, resources: Resources | None = None) -> None:  # one signature for all engines
        self._spec = spec

    async def generate(self, requests: Sequence[Request]) -> list[Answer]:
        """One answer each, in order, after `delay_s`. Ends the process on `crash_on`."""
        for request in requests:
            self._crash(request)
        if self._spec.delay_s:
            await asyncio.sleep(self._spec.delay_s)
        return [self._answer(request) for request in requests]

    async def close(self) -> None:
        return None

    def _crash(self, request: Request) -> None:
        mark, folder = self._spec.crash_on, self._spec.crash_once_dir
        if not mark or not (mark in request.user or (request.image_ids and mark in request.image_ids[0])):
            return
        if folder is not None:
            memory = Path(folder) / f"crashed-{hashlib.sha256(mark.encode()).hexdigest()[:12]}"
            memory.parent.mkdir(parents=True, exist_ok=True)
            try:
                memory.touch(exist_ok=False)
            except FileExistsError:
                return
        os._exit(1)

    def _answer(self, request: Request) -> Answer:
        question = f"{self._spec.seed}/{request.system}/{request.user}/{_identity(request)}"
        words = len(f"{request.system or ''} {request.user}".split()) + 64 * len(request.images)
        if words + request.decoding.max_tokens > _CONTEXT_WORDS:
            detail = f"{words} prompt words and {request.decoding.max_tokens} to come exceed {_CONTEXT_WORDS}"
            return Answer(error="context_window", detail=detail, prompt_tokens=words)
        if _share(f"error/{question}") < self._spec.error_rate:
            return Answer(error="bad_request", detail="rehearsed error", prompt_tokens=words)
        sampled = f"/{request.seed}" if request.decoding.temperature > 0 else ""
        shown = f"{self._spec.seed}/{request.image_ids[0]}" if request.image_ids else ""
        text = write_answer(request.answer_schema, request.user, random.Random(question + sampled), shown)
        if _share(f"bad_json/{request.seed}/{question}") < self._spec.bad_json_rate:
            text = text[:-1] + ","
        pieces = text.split(" ")
        limit = request.decoding.max_tokens
        if _share(f"truncation/{request.seed}/{question}") < self._spec.truncation_rate:
            limit = min(limit, len(pieces) // 2)
        if len(pieces) > limit:
            part = " ".join(pieces[:limit])
            return Answer(part, "length", "truncated", f"stopped at {limit} words", prompt_tokens=words, completion_tokens=limit)
        return Answer(text, "stop", prompt_tokens=words, completion_tokens=len(pieces))


class RehearsalDetector:
    """One box inside the image for every phrase, score 0.5 to 0.99, a function of (spec.seed, image, phrase)."""

    reproducible: ClassVar[bool] = True

    def __init__(self, spec: RehearsalDetectorSpec, resources: Resources | None = None) -> None:  # one signature for all engines
        self._spec = spec

    async def detect(self, requests: Sequence[DetectRequest], floor: float) -> list[list[Found]]:
        """The boxes of each request whose score reaches the floor."""
        return [[found for found in self._find(request) if found.score >= floor] for request in requests]

    async def close(self) -> None:
        return None

    def _find(self, request: DetectRequest) -> list[Found]:
        width, height = request.image.size
        identity = _digest(request.image)
        found = []
        for index, phrase in enumerate(request.phrases):
            rng = random.Random(f"{self._spec.seed}/{identity}/{index}/{phrase}")
            box_width, box_height = width * rng.uniform(0.2, 0.5), height * rng.uniform(0.2, 0.5)
            left, top = rng.uniform(0, width - box_width), rng.uniform(0, height - box_height)
            score = rng.uniform(0.5, 0.95)
            found.append(Found(index, (left, top, left + box_width, top + box_height), score, score + rng.uniform(0, 0.04)))
        return found


def write_answer(schema: Mapping[str, Any] | None, user: str, rng: random.Random, shown: str = "") -> str:
    """A small instance of the schema as JSON with json.dumps' separators; two sentences where there is no schema.

    `shown` names what the image shows, so that whoever describes it and whoever judges it agree; after "@" its noun.
    """
    if schema is None:
        return _captions(rng)["long"]
    return json.dumps(_Writer(schema, user, rng, shown).write(schema))


class _Writer:
    """Walks one JSON schema. Fields whose names it knows get words that fit the question; the others get any words."""

    def __init__(self, root: Mapping[str, Any], user: str, rng: random.Random, shown: str) -> None:
        self._root, self._rng, self._user, self._shown = root, rng, user, shown
        quoted = re.findall(r'"([^"\n]+)"', user)
        self._attributes: list[tuple[str, str]] = [("colour", "red")]
        self._phrase = user.rpartition("Edit: ")[2].strip() if "Edit: " in user else (quoted or [user])[0]
        self._named = re.search(r'noun "([^"\n]+)"', user)
        self._noun_phrases = _NOUN_PHRASE.findall(user) or [self._phrase]
        self._old_words = [word for word in re.findall(r"[a-z]+", self._phrase) if word in _SLOT_OF] or self._phrase.split()[-1:]

    def write(self, schema: Mapping[str, Any], hint: Any = None, index: int = 0) -> Any:
        """An instance; `hint` is taken where it fits; `index` is the place in the enclosing array."""
        if "$ref" in schema:
            schema = self._resolve(schema["$ref"])
        for union in ("anyOf", "oneOf"):
            if union in schema:
                live = [one for one in schema[union] if one.get("type") != "null"] or [{"type": "null"}]
                return self.write(live[index % len(live)], hint, index // len(live))
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return hint if hint in schema["enum"] else self._rng.choice(schema["enum"])
        kind = schema.get("type", "object" if "properties" in schema else "string")
        match kind if isinstance(kind, str) else next(one for one in kind if one != "null"):
            case "object":
                hints = self._hints(schema.get("properties", {}), index)
                return {name: self.write(part, hints.get(name)) for name, part in schema.get("properties", {}).items()}
            case "array":
                return self._array(schema, hint)
            case "boolean":
                return self._rng.random() < 0.5
            case "integer" | "number":
                return self._rng.randint(int(schema.get("minimum", 0)), int(schema.get("maximum", 9)))
            case "null":
                return None
        return self._string(schema, hint)

    def _resolve(self, pointer: str) -> Mapping[str, Any]:
        node: Any = self._root
        for part in pointer.removeprefix("#/").split("/"):
            node = node[part]
        assert isinstance(node, Mapping)
        return node

    def _array(self, schema: Mapping[str, Any], hint: Any) -> list[Any]:
        if "prefixItems" in schema:
            return [self.write(one, index=i) for i, one in enumerate(schema["prefixItems"])]
        least, most = schema.get("minItems", 0), schema.get("maxItems", 12)
        hints = hint if isinstance(hint, list) else []
        count = len(hints) or self._rng.randint(1, 3)
        items = schema.get("items", {})
        if any("old" in one.get("properties", {}) for one in (items, *items.get("anyOf", ()))):
            count = most
        count = min(max(count, least), most)
        items = [self.write(schema.get("items", {}), hints[i] if i < len(hints) else None, i) for i in range(count)]
        if schema.get("uniqueItems"):
            items = [item for i, item in enumerate(items) if item not in items[:i]]
        return items

    def _string(self, schema: Mapping[str, Any], hint: Any) -> str:
        least, most = schema.get("minLength", 0), schema.get("maxLength", 10_000)
        text = hint if isinstance(hint, str) else _toy(self._rng)
        while len(text) < least:
            text += f" {_toy(self._rng)}"
        return text if len(text) <= most else text[:most].rstrip()

    def _hints(self, properties: Mapping[str, Any], index: int) -> dict[str, Any]:
        phrase = self._noun_phrases[index % len(self._noun_phrases)]
        hints: dict[str, Any] = {"text": phrase, "phrase": phrase, "phrases": self._noun_phrases}
        hints |= {"head": phrase.split(" ")[-1], "noun": phrase.split(" ")[-1]}
        if "old" in properties:
            return hints | self._edit(properties, index)
        if "value" in properties:
            slot, value = self._attributes[index % len(self._attributes)]
            return hints | {"type": slot, "value": value}
        if "attributes" in properties:
            return hints | self._region()
        if "answer" in properties:
            return hints | {"answer": _judgement(self._shown, self._user)}
        return hints | _captions(self._rng) if "long" in properties else hints

    def _edit(self, properties: Mapping[str, Any], index: int) -> dict[str, Any]:
        types = properties.get("type", {}).get("enum", tuple(_SLOTS))
        words = [word for word in self._old_words if _SLOT_OF.get(word, "object") in types] or self._old_words or [""]
        words = properties["old"].get("enum", words)
        old = words[index % len(words)]
        slot = _SLOT_OF.get(old, "object")
        kind = slot if slot in types else types[0]
        new = self._rng.choice([word for word in _SLOTS.get(kind, ("shiny",)) if word != old])
        return {"type": kind, "old": old, "new": new, "text": self._phrase.replace(old, new, 1)}

    def _region(self) -> dict[str, Any]:
        words = re.findall(r"[a-z]+", self._phrase.lower())
        if self._named:
            words = [self._named.group(1)]
        nouns = [word for word in words if word in _SLOTS["object"]] or words or ["toy"]
        self._attributes = [(slot, _looks(self._shown, slot, self._rng)) for slot in ("colour", "pattern", "material")]
        short = f"a {' '.join(value for _, value in self._attributes)} {nouns[-1]}"
        return {"short": short, "long": f"{short} with a round base"}


def _looks(shown: str, slot: str, rng: random.Random) -> str:
    """The value that whatever is shown has in a slot; drawn where nothing is named."""
    thing = shown.partition("@")[0]
    return (random.Random(f"{thing}/{slot}") if thing else rng).choice(_SLOTS[slot])


def _fits(shown: str, noun: str, word: str) -> bool:
    slot = _SLOT_OF.get(word, "object")
    return word == (noun or word) if slot == "object" else word == _looks(shown, slot, random.Random(0))


def _judgement(shown: str, user: str) -> str:
    """Yes where all that is asked fits what is shown; now and then cannot_tell, or the option that stands first."""
    asked = (re.findall(r"\bIs [^?]*\?|\bStatement: [^\n]*", user) or [user])[0]
    whim = _share(f"{shown}/{asked}")
    if whim < 0.08:
        return "cannot_tell" if whim < 0.03 else "no" if "no, yes" in user else "yes"
    noun = shown.partition("@")[2]
    words = [word for word in re.findall(r"[a-z]+", asked) if word in _SLOT_OF or word == noun]
    fits = [_fits(shown, noun, word) for word in words]
    return "yes" if words and all(fits) else "no"


def _toy(rng: random.Random) -> str:
    return "a " + " ".join(rng.choice(_SLOTS[slot]) for slot in ("size", "colour", "pattern", "material", "object"))


def _captions(rng: random.Random) -> dict[str, str]:
    count, ground = rng.randrange(len(_COUNTS)), rng.choice(_GROUNDS)
    toys = [f"At the {place} there is {_toy(rng)}." for place in rng.sample(_PLACES, count + 1)]
    short = " ".join(_COUNTS[count].split()[:2])
    return {"long": " ".join([f"{_COUNTS[count]} on a {ground}.", *toys]), "short": f"{short} on a {ground}."}


def _identity(request: Request) -> str:
    return "/".join(request.image_ids or tuple(_digest(image) for image in request.images))


def _digest(image: Image.Image) -> str:
    probe = image.resize((32, 32), Image.Resampling.NEAREST)
    return hashlib.sha256(f"{image.size}{image.mode}".encode() + probe.tobytes()).hexdigest()[:16]


def _share(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
