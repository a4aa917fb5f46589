"""The formats of foreign sets of positives and negatives: what an entry must hold, and the items in it. Opens no file."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel, model_validator

from schemas.audit import AuditItem
from stages.audit.readings import guessed_types, head_noun
from stages.train.evaluation.fgovd_file import FgOvdTexts

NOT_VALIDATED = "not_validated"  # the set's own annotators did not agree that the caption is the true one
_VALSE_VOTES = 2  # of three, as its authors' evaluation takes them


class _SugarCrepe(BaseModel):
    filename: str | None = None
    caption: str
    caption2: str | None = None
    negative_caption: str


class _Line(BaseModel):
    positive: str
    negatives: list[str] = Field(min_length=1)
    image: str | int | None = None
    noun: str | None = None
    types: list[str | None] | None = None

    @model_validator(mode="after")
    def _one_type_each(self) -> "_Line":
        if self.types is not None and len(self.types) != len(self.negatives):
            raise ValueError(f"{len(self.types)} types for {len(self.negatives)} negatives; give one each, or none")
        return self


class _Votes(BaseModel):
    caption: int = 0


class _Valse(BaseModel):
    caption: str
    foil: str
    image_file: str | None = None
    linguistic_phenomena: str | None = None
    mturk: _Votes | None = None


class _Texts(BaseModel):
    POS: list[str] = Field(min_length=1)
    NEG: list[str] = Field(min_length=1)


class _VlChecklist(RootModel[tuple[str, _Texts]]):
    pass


class _Negbench(BaseModel):
    """`captions`: caption_0, caption_1, ... in their order, however many there are."""

    model_config = ConfigDict(extra="allow")
    correct_answer: int
    caption_0: str
    caption_1: str
    image_path: str | None = None
    correct_answer_template: str | None = None

    @model_validator(mode="after")
    def _has_answer(self) -> "_Negbench":
        if not 0 <= self.correct_answer < len(self.captions) or not self.captions[self.correct_answer]:
            raise ValueError(f"correct_answer is {self.correct_answer} of {sum(map(bool, self.captions))} captions")
        return self

    @property
    def captions(self) -> list[str]:
        """By number; an empty one keeps its place."""
        more = self.model_extra or {}
        numbers = [int(name[8:]) for name in more if name.startswith("caption_") and name[8:].isdecimal()]
        rest = (more.get(f"caption_{number}") for number in range(2, max(numbers, default=1) + 1))
        return [self.caption_0, self.caption_1, *(text if isinstance(text, str) else "" for text in rest)]


class _Winoground(BaseModel):
    caption_0: str
    caption_1: str
    image_0: str | int | None = None
    image_1: str | int | None = None
    tag: str | None = None


class _Cola(RootModel[tuple[str, str, str, str]]):
    pass


@dataclass(frozen=True)
class ForeignFormat:
    """One format: how its files hold entries, what an entry must be, and the items in one.

    `items` is given the entry and the name of its file; of one that its makers discarded it gives the reason.
    """

    suffixes: tuple[str, ...]
    holds: Literal["lines", "document", "csv"]
    shape: type[BaseModel]
    described: str
    items: Callable[[Any, str], Iterator[AuditItem | str]]


def _from_fgovd(entry: FgOvdTexts, _name: str) -> Iterator[AuditItem | str]:
    yield _item(entry.positive, entry.neg_expression, entry.img_path if entry.img_path is not None else entry.image_id)


def _from_sugarcrepe(entry: _SugarCrepe, name: str) -> Iterator[AuditItem | str]:
    """Its files are one type each. SugarCrepe++ has two captions that are true: two items."""
    for caption in (entry.caption, entry.caption2):
        if caption is not None:
            yield _item(caption, [entry.negative_caption], entry.filename, types=[PurePosixPath(name).stem])


def _from_line(entry: _Line, _name: str) -> Iterator[AuditItem | str]:
    yield _item(entry.positive, entry.negatives, entry.image, entry.noun, entry.types)


def _from_valse(entry: _Valse, name: str) -> Iterator[AuditItem | str]:
    if entry.mturk is not None and entry.mturk.caption < _VALSE_VOTES:
        yield NOT_VALIDATED
    else:
        yield _item(entry.caption, [entry.foil], entry.image_file, types=[entry.linguistic_phenomena or PurePosixPath(name).stem])


def _from_vlchecklist(entry: _VlChecklist, name: str) -> Iterator[AuditItem | str]:
    """Texts of one place belong together; where there are more of one kind, each true one goes with all false ones."""
    image, texts = entry.root
    pairs = zip(texts.POS, ([text] for text in texts.NEG), strict=True) if len(texts.POS) == len(texts.NEG) else None
    for positive, negatives in pairs or ((text, texts.NEG) for text in texts.POS):
        yield _item(positive, negatives, image, types=[PurePosixPath(name).stem] * len(negatives))


def _from_negbench(entry: _Negbench, _name: str) -> Iterator[AuditItem | str]:
    others = [text for place, text in enumerate(entry.captions) if text and place != entry.correct_answer]
    kind = entry.correct_answer_template
    yield _item(entry.captions[entry.correct_answer], others, entry.image_path, types=[kind] * len(others) if kind else None)


def _from_winoground(entry: _Winoground, _name: str) -> Iterator[AuditItem | str]:
    """A pair is two items: each text is true of its own image and false of the other."""
    types = [entry.tag] if entry.tag else None
    yield _item(entry.caption_0, [entry.caption_1], entry.image_0, types=types)
    yield _item(entry.caption_1, [entry.caption_0], entry.image_1, types=types)


def _from_cola(entry: _Cola, _name: str) -> Iterator[AuditItem | str]:
    first_image, first, second_image, second = entry.root
    yield _item(first, [second], first_image)
    yield _item(second, [first], second_image)


def _item(
    positive: str, negatives: Sequence[str], image: str | int | None, noun: str | None = None, types: Sequence[str | None] | None = None
) -> AuditItem:
    return AuditItem(
        positive=positive,
        negatives=tuple(negatives),
        image=None if image is None else str(image),
        noun=noun.lower() if noun else head_noun(positive),
        types=tuple(types or guessed_types(positive, negatives)),
    )


FOREIGN: dict[str, ForeignFormat] = {
    "fgovd": ForeignFormat(
        (".jsonl", ".json"), "lines", FgOvdTexts, '{"pos_expression": [str], "neg_expression": [str, ...], "img_path": str}', _from_fgovd
    ),
    "sugarcrepe": ForeignFormat(
        (".json",), "document", _SugarCrepe,
        '{"filename": str, "caption": str, "negative_caption": str} and, of SugarCrepe++, "caption2"', _from_sugarcrepe,
    ),
    "jsonl": ForeignFormat(
        (".jsonl", ".json", ".ndjson"), "lines", _Line,
        '{"positive": str, "negatives": [str, ...]} and optionally "image", "noun", "types": [str, ...]', _from_line,
    ),
    "valse": ForeignFormat(
        (".json",), "document", _Valse, '{"caption": str, "foil": str, "image_file": str, "mturk": {"caption": int}}', _from_valse
    ),
    "vlchecklist": ForeignFormat(
        (".json",), "document", _VlChecklist, '[image, {"POS": [str, ...], "NEG": [str, ...]}]', _from_vlchecklist
    ),
    "negbench": ForeignFormat(
        (".csv",), "csv", _Negbench, "a row of image_path, correct_answer (a number), caption_0, caption_1, ...", _from_negbench
    ),
    "winoground": ForeignFormat(
        (".jsonl", ".json"), "lines", _Winoground, '{"caption_0": str, "caption_1": str, "image_0": str, "image_1": str}', _from_winoground
    ),
    "cola": ForeignFormat((".json",), "document", _Cola, "[image, caption, image, caption]", _from_cola),
}  # fmt: skip
