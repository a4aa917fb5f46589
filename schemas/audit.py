"""The blind audit: the items it asks about and the report that it gives. No computation, no I/O."""

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from schemas.rows import Record

MARGIN = 0.05  # how far above chance a probe's lower bound may lie before it counts as a leak
ProbeName = Literal[
    "length", "article", "spacing", "case", "vocabulary", "marginal", "surface", "order", "ngram_image_disjoint", "ngram_noun_disjoint",
    "ngram_shuffled",
]  # fmt: skip
PROBES: tuple[ProbeName, ...] = (
    "length", "article", "spacing", "case", "vocabulary", "marginal", "surface", "order", "ngram_image_disjoint", "ngram_noun_disjoint",
    "ngram_shuffled",
)  # fmt: skip
AuditVerdict = Literal["pass", "fail", "insufficient"]


class AuditItem(Record):
    """One text that is true of something and the texts that are false of it: one question of a blind guesser."""

    positive: str
    negatives: tuple[str, ...] = Field(min_length=1)
    image: str | None = Field(None, description="Names the image; items of one image stay in one fold and one bootstrap cluster.")
    noun: str | None = Field(None, description="Head noun of the positive, lower case; null: its folds are not noun-disjoint.")
    types: tuple[str | None, ...] = Field((), description="Type of each negative, or empty.")

    @model_validator(mode="after")
    def _types_match(self) -> "AuditItem":
        if self.types and len(self.types) != len(self.negatives):
            raise ValueError(f"{len(self.types)} types for {len(self.negatives)} negatives")
        return self


class _Measured(Record):
    """Null values are written, their `<name>_why` beside them; a `_why` of what was measured is not."""

    @model_serializer(mode="wrap")
    def _without_empty_whys(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in dump(self).items() if not (name.endswith("_why") and value is None)}


class ProbeFigures(_Measured):
    """What a guesser that sees texts alone gets right, over items. Ties never count as right in `top1`."""

    top1: float | None = Field(None, description="Share of the items whose positive it scores above every negative.")
    top1_low: float | None = Field(None, description="95 % bounds, bootstrap over images.")
    top1_high: float | None = None
    pairwise: float | None = Field(None, description="Share of (positive, negative) pairs told apart; a tie counts half, 0.5 is chance.")
    top1_why: str | None = None
    top1_low_why: str | None = None
    top1_high_why: str | None = None
    pairwise_why: str | None = None

    @classmethod
    def unmeasured(cls, why: str) -> "ProbeFigures":
        """Four nulls with one reason."""
        return cls(top1_why=why, top1_low_why=why, top1_high_why=why, pairwise_why=why)


class Probes(_Measured):
    """One guesser each. All learn on other folds than they are asked on."""

    length: ProbeFigures = Field(description="Longer or shorter, in letters or words, articles aside.")
    article: ProbeFigures = Field(description="Wrong articles (a orange), more or fewer articles.")
    spacing: ProbeFigures = Field(description="Doubled, missing and stray spaces, spaces before punctuation, the final full stop.")
    case: ProbeFigures = Field(description="Capital letters.")
    vocabulary: ProbeFigures = Field(description="Words that no other positive has.")
    marginal: ProbeFigures = Field(description="Values that are commoner among negatives than among positives, or the other way round.")
    surface: ProbeFigures = Field(
        description="Lengths, marks, capitals, digits, odd characters together; it guesses where it knows nothing."
    )
    order: ProbeFigures = Field(description="In which half of a text each word stands; taught by negatives of the positive's words.")
    ngram_image_disjoint: ProbeFigures = Field(description="Logistic regression on words and word pairs; images and positives unseen.")
    ngram_noun_disjoint: ProbeFigures = Field(description="The same; head nouns unseen.")
    ngram_shuffled: ProbeFigures = Field(description="Control: the same on random labels; anything but chance is a fault of the audit.")


class TypeFigures(Probes):
    """The same guessers on the negatives of one type; `top1` and the like at this level are those of `ngram_image_disjoint`."""

    items: int
    chance: float
    top1: float | None = None
    top1_low: float | None = None
    top1_high: float | None = None
    pairwise: float | None = None
    top1_why: str | None = None
    top1_low_why: str | None = None
    top1_high_why: str | None = None
    pairwise_why: str | None = None


class AuditReport(_Measured):
    """What can be told of a set without looking at an image."""

    items: int = Field(description="Distinct (positive, negatives) items, which all figures count.")
    positives: int = Field(description="Distinct positive texts.")
    images: int = Field(description="Clusters of the bootstrap: images, or positives where no image is named.")
    chance: float | None = Field(description="Mean over the items of 1/options.")
    chance_why: str | None = None
    probes: Probes
    over_positives: ProbeFigures = Field(description="`ngram_image_disjoint` on one item for each distinct positive.")
    consensus: ProbeFigures = Field(
        description="A guesser that sees all options at once and takes the one that shares most words with the others. No scorer of single "
        "texts, so no dual encoder, can learn it; a model that is shown the options together can. Never a leak, not in the verdict."
    )
    by_type: dict[str, TypeFigures] = Field(default_factory=dict)
    leaks: list[ProbeName] = Field(description="Probes whose `top1_low` exceeds chance + 0.05.")
    leaks_by_type: dict[str, list[ProbeName]] = Field(
        default_factory=dict, description="What leaks among the negatives of one type, by four standard errors; no part of the verdict."
    )
    leaks_by_options: dict[str, list[ProbeName]] = Field(
        default_factory=dict, description="The same among items of so many options, where a set has several sizes."
    )
    verdict: AuditVerdict
    folds: str = Field(description="How folds were kept apart: joined, crossed or positives; docs/audit.md.")
    tokens: Literal["words", "characters"] = Field(
        "words", description="How most texts were read: by words, or by characters where a script puts no spaces between words."
    )
    texts_by_tokens: dict[str, int] = Field(default_factory=dict, description="Distinct texts read each way; a mixed set has both.")
    dropped: dict[str, int] = Field(
        default_factory=dict,
        description="Negatives equal to their positive (`negative_is_positive`) or to another one (`repeated_negative`), and items that "
        "were left no negative (`all_options_equal`).",
    )


class Retrieval(Record):
    """How often the right image is found first, with 95 % bounds."""

    r1: float
    r1_low: float
    r1_high: float


FIRST_SENTENCE_MOST, FIRST_SENTENCE_LEAST = 2_000, 20  # images that are asked about; of more those of the smallest ranks


class FirstSentence(_Measured):
    """How far a long caption's first sentence alone finds its image: by a model that sees it, else by a retriever that sees texts alone.

    For the latter the image is stood for by what else is said of it: its regions' expressions, else its alt text, else its short caption.
    """

    images: int = Field(description="Those with a long caption of several sentences (and other texts, without a model); at most 2,000.")
    model: str | None = Field(None, description="The checkpoint that saw the images; null: shared words, no model.")
    chance: float | None = None
    share_of_letters: float | None = Field(None, description="Mean share of the caption that the first sentence is.")
    whole: Retrieval | None = Field(None, description="By the whole caption.")
    first: Retrieval | None = Field(None, description="By its first sentence alone. Near `whole`: the rest need not be read.")
    rest: Retrieval | None = Field(None, description="By all but the first sentence.")
    whole_why: str | None = None
    first_why: str | None = None
    rest_why: str | None = None
