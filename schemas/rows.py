"""One row an image and stage: what each stage writes. Children (regions, negatives) are nested lists in that row."""

from collections import Counter
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.boxes import Box

Status = Literal["ok", "filtered", "failed", "quarantined", "skipped"]
STATUSES: tuple[Status, ...] = ("ok", "filtered", "failed", "quarantined", "skipped")

AttributeType = Literal["colour", "material", "pattern", "transparency", "size", "state", "shape", "parts", "count", "text"]
EditType = Literal[
    "colour", "material", "pattern", "transparency", "size", "state", "shape",
    "object", "part", "relation", "position", "count", "existence", "swap", "untyped",
]  # fmt: skip
Verdict = Literal["false", "true", "unsure", "unverified"]
# Why an image or one of its children has no answer though nothing is wrong with the question: what `retry` asks again.
PASSING: frozenset[str] = frozenset({"rate_limit", "timeout", "server_error"})
TEXT_FORMAT = "text"  # in place of an image's format where a corpus names images and holds none
CAPTION = -1  # in place of a region's index: the long caption of the whole image
# The attribute types that are edit types too. A region's parts, count and text are described and not edited as attributes.
ATTRIBUTE_TYPES: tuple[str, ...] = ("colour", "material", "pattern", "transparency", "size", "state", "shape")
# Proved by boxes, without a model.
COMPUTED_TYPES: tuple[str, ...] = ("position", "count", "existence")


class Record(BaseModel):
    """Base of all that is stored: frozen, and no field that is not declared."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Row(Record):
    """What every stage says of every image."""

    key: str
    status: Status = "ok"
    reason: str | None = Field(None, description="Why the status is not ok; a word from docs/formats.md.")
    detail: str | None = Field(None, description="The error's own message, shortened.")
    has_children: ClassVar[bool] = False

    @property
    def lost(self) -> Counter[str]:
        """Children (regions, values) that got no answer for a reason that passes, by reason. The row may be ok for all that."""
        return Counter()


class GivableRow(Row):
    """A row that a stage computes, or that the user gave. Refusals are counted here, never repaired."""

    origin: Literal["computed", "given"] = Field("computed", description="`given`: taken from the user's own data, not from an engine.")
    given_rejects: dict[str, int] = Field(
        default_factory=dict, description="Boxes, expressions and negatives of a given row that were refused, by reason."
    )


class Usage(Record):
    """What the answers of one image cost."""

    attempts: int = Field(0, description="Questions asked, those asked again among them.")
    prompt_tokens: int = 0
    completion_tokens: int = 0
    rungs: list[str] = Field(default_factory=list, description="Per question: parsed, asked_again, or the error that ended it.")


class CorpusRow(Row):
    """One member of a shard, as indexed. `offset` and `size` are bytes in the shard; -1: not addressable, read by `row`."""

    path: str = Field(description="Where the bytes lie: the shard, or the image's own file in a folder.")
    offset: int
    size: int
    row: int = Field(-1, description="Row number in a Parquet shard, else -1.")
    member: str = Field("", description="The member's name in its tar, or the file's name.")
    width: int | None = Field(None, description="Pixels of the upright image; null where no header could be read.")
    height: int | None = None
    format: str | None = Field(None, description="Pillow's name of the format: JPEG, PNG, WEBP; `text` where no pixels are at hand.")
    sha256: str | None = None
    alt: str | None = Field(None, description="Alt text that came with the image.")
    url: str | None = Field(None, description="Where the image was found, as its sidecar or column `url` says.")
    licence: str | None = Field(None, description="Its licence, as its sidecar or column `license` or `licence` says.")
    source_status: str | None = Field(None, description="What its sidecar or column `status` says, as img2dataset writes it: `success`.")
    duplicate_of: str | None = Field(None, description="`<shard id>/<key>` of the first image with the same bytes.")
    near_duplicate_of: str | None = Field(None, description="`<shard id>/<key>` of the image that stays and that it resembles.")
    phash: str | None = Field(None, description="Perceptual hash, 64 bits in hexadecimal; null where no rule of the corpus asks for it.")
    pixels: int = Field(0, description="Version in which its pixels changed last; 0 where they are what 0.1.0 made of them.")
    unit: int = Field(0, description="Which unit of the shard the member belongs to; units are never re-cut.")
    version: str = Field("", description="Names the version of a folder's file and its sidecars; empty in a tar or Parquet shard.")

    @property
    def has_pixels(self) -> bool:
        """Whether the corpus holds this image's bytes at all: a text corpus names images alone."""
        return self.format != TEXT_FORMAT


class CaptionRow(GivableRow):
    long: str | None = None
    short: str | None = None
    alt: str | None = None
    num_words_long: int = 0
    num_words_short: int = 0
    num_tokens: int = Field(0, description="Tokens of all answers that the image took.")
    finish_reason: str | None = None
    width: int | None = Field(None, description="Pixels of the upright image.")
    height: int | None = None
    usage: Usage = Usage()


class Phrase(Record):
    """A verbatim span of the long caption: `long[start:end] == text`. A given name that is no span of it has neither."""

    text: str
    start: int | None
    end: int | None
    head: str = Field(description="Head noun, lower case, singular where the reader can tell.")
    sentence: int
    mark: str | None = Field(
        None,
        description="Why it is not asked of the detector: pronoun, scene, abstract, no_noun, light, viewer, portion, name, quoted, absent, "
        "likened, dropped.",
    )
    near_misses: list[str] = Field(default_factory=list, description="With one word changed: what the detector was asked beside it.")


class Detection(Record):
    """One box above the floor. `phrase` is an index into the row's phrases."""

    phrase: int
    xyxy: Box = Field(description="Pixels of the upright image.")
    score: float | None = Field(None, description="0..1, mean over the phrase's tokens; null for given boxes.")
    score_max: float | None = Field(None, description="0..1, maximum over the phrase's tokens (text mode's score).")
    lineup: float | None = Field(
        None, description="0..1, the phrase's score here when asked among near misses, 0 below the floor; null: it was not."
    )
    noun_control: float | None = Field(None, description="The best score here of its near misses with another noun, in the same prompt.")
    value_control: float | None = Field(None, description="The same of those with one attribute value changed.")
    agreement: float | None = Field(
        None,
        description="IoU of the second detector's best box for this phrase that overlaps by half, else its nearest; null: not asked.",
    )
    agreement_score: float | None = Field(None, description="The second detector's score of that box, 0 where it has none.")


class GroundRow(GivableRow):
    width: int | None = None
    height: int | None = None
    phrases: list[Phrase] = Field(default_factory=list)
    detections: list[Detection] = Field(default_factory=list)
    rejects: dict[str, int] = Field(default_factory=dict, description="Listed phrases that were not kept, by reason.")
    usage: Usage = Usage()


class Region(Record):
    """A box that is used, with the phrase that names it."""

    xyxy: Box
    score: float | None = None
    phrase: str
    start: int | None
    end: int | None
    head: str
    num_boxes: int = Field(1, description="How many boxes its phrase kept: more than one for a group or an ambiguous phrase.")
    rival: float | None = Field(None, description="Best score of another phrase of the image on this box, 0 without; null for given boxes.")
    margin: float | None = Field(None, description="By how much its phrase outscored its near misses there; null where none was asked.")
    agreement: float | None = Field(None, description="IoU of the second detector's box for its phrase; null where it was not asked.")


class SelectRow(Row):
    width: int | None = None
    height: int | None = None
    regions: list[Region] = Field(default_factory=list, description="Best score first.")
    rejects: dict[str, int] = Field(default_factory=dict, description="Detections dropped, by reason.")
    min_score: float | None = Field(None, description="The threshold in force.")


class Attribute(Record):
    type: AttributeType
    value: str


class RegionCaption(Record):
    """`region` is an index into the select row's regions. A region without expressions says why in `reason`."""

    region: int
    xyxy: Box | None = Field(None, description="Null where phrases alone were given, without boxes.")
    head: str
    short: str | None = None
    long: str | None = None
    attributes: list[Attribute] = Field(default_factory=list)
    reason: str | None = Field(None, description="Why there are no expressions: what the short one was refused for, or an error.")
    refused: dict[str, str] = Field(default_factory=dict, description="`short` or `long` -> the check that refused it.")
    refused_texts: dict[str, str] = Field(default_factory=dict, description="`short` or `long` -> the refused text itself.")
    is_unique: bool | None = Field(None, description="No other region of the image with this noun has the same short expression.")
    swapped: str | None = Field(None, description="Leakage probe: the short expression given for another region's crop; null: not probed.")
    leaked: bool | None = Field(None, description="The probe's text is the region's own although the crop was another's.")


class RegionCaptionRow(GivableRow):
    regions: list[RegionCaption] = Field(default_factory=list)
    usage: Usage = Usage()
    has_children: ClassVar[bool] = True

    @property
    def lost(self) -> Counter[str]:
        return Counter(region.reason for region in self.regions if region.reason in PASSING)


class Edit(Record):
    """A typed change of a positive: `positive[start:end] == old`, replaced by `new`."""

    type: EditType
    start: int
    end: int
    old: str
    new: str


class Negative(Record):
    """A text that is false of its region, as edits that can be replayed on the positive."""

    text: str
    edits: list[Edit] = Field(description="Spans refer to the positive; applied from the right.")
    type: EditType = Field(description="The first edit's type.")
    level: int = Field(1, description="How many slots are changed, 1 to 3; a swap counts as one.")
    source: Literal["written", "geometry", "reciprocal", "exchanged", "given"] = "written"
    verdict: Verdict = "unverified"


class RegionNegatives(Record):
    """The negatives of one text. Conservation: num_proposed = len(negatives) + sum of rejects, in every stage's row."""

    region: int = Field(description="Index into the select row's regions; -1: the long caption.")
    positive: str
    positive_verdict: Verdict = Field("unverified", description="`true` where the judge found every value of the positive true of it.")
    negatives: list[Negative] = Field(default_factory=list)
    num_proposed: int = 0
    rejects: dict[str, int] = Field(default_factory=dict, description="Proposals refused, by rule.")
    group: str | None = Field(
        None,
        description="Reciprocal negatives: names the k texts that are each once the positive with the k-1 others as negatives. "
        "Exchanged ones: names the k values that are each true of one region and put in its value's place at the k-1 others.",
    )


class HardNegativeRow(GivableRow):
    """Candidates that were written or computed from boxes."""

    regions: list[RegionNegatives] = Field(default_factory=list)
    usage: Usage = Usage()
    has_children: ClassVar[bool] = True

    @property
    def lost(self) -> Counter[str]:
        return Counter(reason for region in self.regions for reason in region.rejects if reason in PASSING)


class MineRow(Row):
    """Reciprocal candidates: real expressions of other regions of the block with the same head noun."""

    regions: list[RegionNegatives] = Field(default_factory=list, description="Those that are in a group.")
    rejects: dict[str, int] = Field(default_factory=dict, description="Captioned regions that are in none, by reason: no_slot, lone.")


class ExchangeRow(Row):
    """Candidates whose new values are those of other regions of the block, of the same head noun or of one of its kind."""

    regions: list[RegionNegatives] = Field(default_factory=list, description="One for each value of a region that is in a group.")
    rejects: dict[str, int] = Field(default_factory=dict, description="Captioned regions that are in none, by reason: no_slot, lone.")


class Fact(Record):
    """What the judge said of one value on one region, asked once for all texts that say it."""

    region: int
    type: EditType
    value: str
    is_positive: bool = Field(False, description="The positive itself says it.")
    verdict: Verdict
    answers: list[str] = Field(default_factory=list, description="The judge's answers: options in one order, then in the other.")


class VerifyRow(Row):
    """All candidates of hard_negative and mine with their verdicts; none is dropped here."""

    facts: list[Fact] = Field(default_factory=list)
    regions: list[RegionNegatives] = Field(default_factory=list)
    usage: Usage = Usage()
    has_children: ClassVar[bool] = True

    @property
    def lost(self) -> Counter[str]:
        return Counter(answer for fact in self.facts for answer in fact.answers if answer in PASSING)


class BlindFigures(Record):
    """What a guesser that sees texts alone gets right of all that a block releases: the blind audit in short."""

    of: Literal["regions", "captions"]
    items: int = Field(description="Distinct (positive, negatives) items.")
    chance: float | None = Field(None, description="Mean over the items of 1/options.")
    image_disjoint: float | None = Field(None, description="Top-1 of the n-gram probe, images and positives unseen; 95 % bounds beside it.")
    image_disjoint_low: float | None = None
    image_disjoint_high: float | None = None
    noun_disjoint: float | None = Field(None, description="The same, head nouns unseen; null where too few nouns are known.")
    noun_disjoint_low: float | None = None
    noun_disjoint_high: float | None = None
    leaks: tuple[str, ...] = Field((), description="Probes whose lower bound exceeds chance + 0.05.")
    verdict: Literal["pass", "fail", "insufficient"]


class BalanceRow(Row):
    """The negatives that are released; rejects count the others by reason, so that proposed = released + rejected."""

    regions: list[RegionNegatives] = Field(default_factory=list)
    audits: list[BlindFigures] = Field(default_factory=list, description="Of the whole block: the same in all of its rows.")


class ExportRow(Row):
    """Where an image's record went."""

    shard: str | None = Field(None, description="Name of the exported shard, without its suffix.")
    num_regions: int = 0
    num_negatives: int = 0
