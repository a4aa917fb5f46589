"""The exported data set: what is said of one image, of one shard and of the whole. No I/O, no times, no machine's paths."""

from pydantic import Field

from schemas.boxes import Box
from schemas.rows import Attribute, BlindFigures, Negative, Record

FORMAT_VERSION = 1
_SHORT_INDEX, _LONG_INDEX = 4, 9


class ExportRegion(Record):
    """A region of an image with all that the run said of it; what a stage did not say is null or empty."""

    xyxy: Box | None = Field(None, description="Pixels of the upright image; null where phrases were given without boxes.")
    bbox: Box | None = Field(
        None, description="xyxy in shares of the upright image's sides, clipped to 0..1; null where nothing is inside."
    )
    score: float | None = Field(None, description="The detector's, 0..1; null for given boxes.")
    phrase: str = Field(description="`long[start:end]`, the words of the long caption that name it; else a given name.")
    start: int | None = Field(None, description="Null, as `end`, where the phrase is a given name and no span of the long caption.")
    end: int | None = None
    head: str
    short: str | None = Field(None, description="Short expression: the positive of the negatives.")
    long: str | None = None
    attributes: list[Attribute] = Field(default_factory=list)
    negatives: list[Negative] = Field(default_factory=list, description="Reciprocal ones first.")
    group: str | None = Field(
        None, description="Names the texts that its reciprocal negatives and its positive are: each is the positive equally often."
    )


class ExportRecord(Record):
    """What is said of one exported image: the json beside it in the tar, and its row in the Parquet file."""

    key: str = Field(description="Name of the image in the exported tar, without suffix.")
    source_key: str = Field(description="Name of the image in the corpus.")
    source_shard: str = Field(description="Where the bytes came from, relative to the corpus.")
    sha256: str = Field(description="Of the image's bytes; empty where the corpus holds none.")
    width: int | None = Field(None, description="Pixels of the upright image.")
    height: int | None = None
    alt: str | None = None
    long: str | None = None
    short: str | None = None
    negatives: list[Negative] = Field(default_factory=list, description="Of the long caption.")
    regions: list[ExportRegion] = Field(default_factory=list, description="Best score first.")


class Maker(Record):
    """What a text, a box or a verdict of a record came from."""

    of: str = Field(description="alt, long, short, boxes, regions, negatives or verdicts.")
    kind: str = Field(description="The engine's kind; `given`: the user's own data; `corpus`: it came with the image.")
    model: str | None = None
    revision: str | None = Field(None, description="Commit or tag, or `weights <digest>` of a local checkpoint.")


class TableRecord(ExportRecord):
    """A row of the Parquet file: the record as the tar has it, and whence image and texts came. A reader of the tar has no need of it."""

    source_url: str | None = Field(None, description="Where the image was found, as the corpus says.")
    licence: str | None = Field(None, description="Of the image, as the corpus says.")
    source_status: str | None = Field(None, description="What img2dataset's or another tool's field `status` says of the image.")
    made_by: list[Maker] = Field(default_factory=list, description="Which engine each kind of text came from; none of what is not there.")


class FileDigest(Record):
    """One written file: its path in the data set, its length and digest."""

    path: str
    bytes: int
    sha256: str


class ShardStats(Record):
    """`NNNNN_stats.json`: what became of one shard's images, and the files that hold them."""

    name: str
    label: str = Field("", description="Fingerprint and inputs of the export that wrote the shard.")
    statuses: dict[str, int] = Field(description="Images in, by the export's status.")
    reasons: dict[str, int] = Field(description="Images that were not exported, by reason.")
    images: int = Field(description="Images exported.")
    regions: int
    negatives: int
    negatives_by_type: dict[str, int]
    negatives_by_verdict: dict[str, int]
    negatives_by_source: dict[str, int] = Field(default_factory=dict)
    negatives_by_level: dict[str, int] = Field(default_factory=dict, description="By the number of slots changed.")
    caption_negatives: int = Field(0, description="Those of `negatives` that are of a long caption.")
    negatives_proposed: int = Field(0, description="Candidates of the exported images: those exported and those rejected.")
    negatives_rejected: dict[str, int] = Field(default_factory=dict, description="Candidates that were not exported, by reason.")
    audits: list[BlindFigures] = Field(default_factory=list, description="Of the blocks that the shard's images are in.")
    captions: dict[str, int] = Field(description="How many images have a text, by its name: alt, long, short.")
    caption_words: dict[str, int] = Field(description="Words in all of them, by the same names.")
    region_checks: dict[str, int] = Field(
        default_factory=dict, description="Captioned regions: how many, unique in their image, probed with another crop, leaked."
    )
    suffixes: dict[str, int] = Field(default_factory=dict, description="Images in the tar by the suffix of their member.")
    text: str | None = Field(None, description="Which caption the `.txt` members hold; null where there are none.")
    licences: dict[str, int] = Field(default_factory=dict, description="Images by the licence that the corpus names, `unnamed` among them.")
    made_by: dict[str, int] = Field(
        default_factory=dict, description="Images by what a text of theirs came from: `long: kind model revision`."
    )
    holds_images: bool = Field(False, description="The Parquet file holds the images too.")
    tar: FileDigest
    parquet: FileDigest
    coco: list[FileDigest] = Field(default_factory=list, description="The shard's COCO files; empty where none were asked for.")
    finehard: FileDigest | None = Field(None, description="The shard's FineHARD records; null where none were asked for.")
    finehard_records: int = Field(0, description="Fewer than `images` where an image has no caption or no usable region.")
    finehard_flagged: int = Field(0, description="Regions in them that have ten negatives, which alone its trainer reads.")


class EngineDescription(Record):
    """The engine behind a role of the configuration."""

    role: str
    kind: str
    model: str | None = None
    revision: str | None = Field(None, description="Commit or tag, or `weights <digest>` of a local checkpoint.")


class PromptDescription(Record):
    task: str
    version: str
    answered_by: list[str] = Field(default_factory=list, description="Models whose answers to it were looked at.")
    unanswered: bool = Field(description="No model's answers to it have been looked at yet.")


class StageDescription(Record):
    """One stage of the run that the data set came from, with its yield."""

    name: str
    version: int
    fingerprint: str
    engines: list[EngineDescription] = Field(default_factory=list)
    prompts: list[PromptDescription] = Field(default_factory=list)
    statuses: dict[str, int] = Field(default_factory=dict, description="Images by status; empty where they were not counted.")
    given: str | None = Field(None, description="Format of the user's own data that its rows were taken from.")
    is_computed: bool = Field(True, description="False where all of its rows were given.")


class ShardEntry(Record):
    """One shard in the manifest. `bytes` and `sha256` are the tar's; paths are relative to the manifest."""

    name: str
    tar: str
    parquet: str
    stats: str
    finehard: str | None = None
    coco: list[str] = Field(default_factory=list)
    images: int
    regions: int
    negatives: int
    bytes: int
    sha256: str


class Totals(Record):
    shards: int
    images_in: int
    images: int
    regions: int
    negatives: int
    bytes: int = Field(description="Of the tars.")
    finehard_records: int = 0


class AuditSummary(Record):
    """The blind audits of all blocks together, of the regions' texts or of the long captions."""

    items: int
    chance: float | None = Field(None, description="Mean over all items, as `image_disjoint` and `noun_disjoint`.")
    image_disjoint: float | None = None
    image_disjoint_high: float | None = Field(None, description="The largest upper bound of a block, as `noun_disjoint_high`.")
    noun_disjoint: float | None = None
    noun_disjoint_high: float | None = None
    leaks: list[str] = Field(default_factory=list)
    verdicts: dict[str, int] = Field(description="Blocks by verdict.")


class Manifest(Record):
    """`manifest.json`: which ledger the data set is a function of, and its shards. Same ledger, same bytes."""

    format_version: int = FORMAT_VERSION
    fgdata_version: str
    rehearsal: bool = Field(description="Some engine only rehearsed: the texts or boxes are canned and worth nothing.")
    stages: dict[str, str] = Field(description="Stage -> fingerprint.")
    engines: dict[str, EngineDescription] = Field(description="By role.")
    prompts: list[PromptDescription]
    shards: list[ShardEntry]
    audits: dict[str, AuditSummary] = Field(
        default_factory=dict, description="Blind audit of `regions` and `captions`; empty without balance."
    )
    totals: Totals


def shard_name(shard_number: int) -> str:
    """At least five digits, as img2dataset names shards."""
    return f"{shard_number:05d}"


def image_key(shard_number: int, index_in_shard: int) -> str:
    """The shard's name and four digits, as img2dataset names images; nine digits from the 10,000th image of a shard on.

    No two images of a corpus share a key: with five digits, image 67890 of shard 12345 would be 7890 of shard 123456.
    """
    digits = _SHORT_INDEX if index_in_shard < 10**_SHORT_INDEX else _LONG_INDEX
    return f"{shard_name(shard_number)}{index_in_shard:0{digits}d}"
