"""The committed tables under the workdir: the only state there is. Names tell what is done; knows no Ray and no stage code."""

import hashlib
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow.parquet as pq

from pipeline.masked import masked_content
from pipeline.storage import Storage
from schemas.arrow import from_table, to_table
from schemas.rows import Row
from schemas.stage_json import StageJson

AnyRow = TypeVar("AnyRow", bound=Row)
_FOOTER = b"fgdata"


@dataclass(frozen=True)
class Table:
    """The name of one committed table: whose it is, what it read, what it holds."""

    stage: str
    fingerprint: str
    item: str
    inputs: str
    content: str

    @property
    def path(self) -> str:
        return f"{self.stage}/{self.fingerprint}/{self.item}.{self.inputs}.{self.content}.parquet"


@dataclass(frozen=True)
class Summary:
    """What a table's footer says: images by status, and by reason where the status is not ok.

    `lost`: children that got no answer for a reason that passes, by reason; None where an older version wrote the table and did not say.
    """

    statuses: Mapping[str, int]
    reasons: Mapping[str, int]
    num_images: int
    lost: Mapping[str, int] | None = None


def inputs_digest(upstream: Mapping[str, Sequence[str]], rows_digest: str | None, retry: int) -> str:
    """Digest of what an item reads: stage -> content digests in unit order, the corpus rows of a first stage, the retry."""
    read: dict[str, Any] = {"upstream": {name: list(contents) for name, contents in sorted(upstream.items())}}
    if rows_digest is not None:
        read["rows"] = rows_digest
    if retry:
        read["retry"] = retry
    return hashlib.sha256(json.dumps(read, sort_keys=True).encode()).hexdigest()[:16]


class Ledger:
    """Reads and writes committed tables, retry marks and death marks below one workdir."""

    def __init__(self, workdir: Storage) -> None:
        self.workdir = workdir

    def declare(self, description: StageJson) -> None:
        """Write stage.json unless it is there; credentials in it are masked, and its folder's name is the digest of the whole."""
        text = json.dumps(masked_content(description.as_json()), indent=1, sort_keys=True, ensure_ascii=False)
        self.workdir.write_if_absent(f"{description.stage}/{description.fingerprint()}/stage.json", text.encode())

    def descriptions(self, stage: str) -> dict[str, StageJson]:
        """Fingerprint -> stage.json of all versions of a stage."""
        descriptions = {}
        for fingerprint in self.workdir.folders(stage):
            path = f"{stage}/{fingerprint}/stage.json"
            if self.workdir.exists(path):
                descriptions[fingerprint] = StageJson.model_validate_json(self.workdir.read(path))
        return descriptions

    def tables(self, stage: str, fingerprint: str) -> dict[str, dict[str, Table]]:
        """Item -> inputs -> table. Of two tables with the same inputs the one with the smallest content digest counts."""
        tables: dict[str, dict[str, Table]] = {}
        for table in self.all_tables(stage, fingerprint):
            by_inputs = tables.setdefault(table.item, {})
            if table.inputs not in by_inputs or table.content < by_inputs[table.inputs].content:
                by_inputs[table.inputs] = table
        return tables

    def all_tables(self, stage: str, fingerprint: str) -> list[Table]:
        """Every committed table, superseded ones too, read off the names alone."""
        tables = []
        for entry in self.workdir.files(f"{stage}/{fingerprint}"):
            parts = entry.path.rsplit("/", 1)[-1].split(".")
            if len(parts) == 4 and parts[3] == "parquet":
                tables.append(Table(stage, fingerprint, *parts[:3]))
        return tables

    def commit(self, stage: str, fingerprint: str, item: str, inputs: str, rows: Sequence[Row], row_type: type[Row]) -> Table:
        """Write a table, all or nothing; its name holds the digest of its bytes."""
        data = encode(rows, row_type)
        table = Table(stage, fingerprint, item, inputs, hashlib.sha256(data).hexdigest()[:16])
        self.workdir.write(table.path, data)
        return table

    def read(self, table: Table, row_type: type[AnyRow]) -> list[AnyRow]:
        """The rows of a table, one an image, in the unit's order."""
        return from_table(pq.read_table(io.BytesIO(self.workdir.read(table.path))), row_type)

    def summary(self, table: Table) -> Summary:
        """The counts in a table's footer."""
        with self.workdir.open(table.path) as file:
            footer = json.loads(pq.ParquetFile(file).schema_arrow.metadata[_FOOTER])
        return Summary(footer["statuses"], footer["reasons"], footer["num_images"], footer.get("lost"))

    def retries(self, stage: str, fingerprint: str) -> dict[str, int]:
        """Item -> number of its latest retry."""
        return {item: int(number) for (item,), number in self._marks("retries", stage, fingerprint, (1,)).items()}

    def ask_retry(self, stage: str, fingerprint: str, item: str) -> int:
        """Mark an item to be run again; returns the retry's number."""
        number = self.retries(stage, fingerprint).get(item, 0) + 1
        self.workdir.write_if_absent(f"retries/{stage}/{fingerprint}/{item}.{number}", b"")
        return number

    def deaths(self, stage: str, fingerprint: str) -> dict[tuple[str, int], Counter[str]]:
        """(item, retry) -> how often a worker died with it in flight, by what of it was asked alone; "": other items were in flight too."""
        deaths: dict[tuple[str, int], Counter[str]] = {}
        for (item, retry, *asked), number in self._marks("deaths", stage, fingerprint, (2, 3)).items():
            deaths.setdefault((item, int(retry)), Counter())[asked[0] if asked else ""] = number
        return deaths

    def note_death(self, stage: str, fingerprint: str, item: str, retry: int, asked: str, number: int) -> None:
        """Remember that a worker died with this item in flight."""
        name = f"{item}.{retry}.{asked}.{number}" if asked else f"{item}.{retry}.{number}"
        self.workdir.write_if_absent(f"deaths/{stage}/{fingerprint}/{name}", b"")

    def _marks(self, kind: str, stage: str, fingerprint: str, fields: Sequence[int]) -> dict[tuple[str, ...], int]:
        latest: dict[tuple[str, ...], int] = {}
        for entry in self.workdir.files(f"{kind}/{stage}/{fingerprint}"):
            *parts, number = entry.path.rsplit("/", 1)[-1].split(".")
            if len(parts) in fields and number.isdigit():
                latest[tuple(parts)] = max(latest.get(tuple(parts), 0), int(number))
        return latest


def encode(rows: Sequence[Row], row_type: type[Row]) -> bytes:
    """The file of a table."""
    statuses = Counter(row.status for row in rows)
    reasons = Counter(row.reason or "unnamed" for row in rows if row.status != "ok")
    footer = {"statuses": dict(sorted(statuses.items())), "reasons": dict(sorted(reasons.items())), "num_images": len(rows)}
    if row_type.has_children:
        footer["lost"] = dict(sum((row.lost for row in rows if row.status == "ok"), Counter[str]()))
    table = to_table(rows, row_type)
    table = table.replace_schema_metadata({_FOOTER: json.dumps(footer, sort_keys=True).encode()})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()
