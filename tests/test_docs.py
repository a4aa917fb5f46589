"""docs/ against the code: every column and every reason is explained, links lead somewhere, named options exist."""

import ast
import re
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from pipeline.given.checks import REASONS as GIVEN_REASONS
from pipeline.given.params import GivenParams
from pipeline.ledger.why import REASONS
from schemas.dataset import ExportRecord, ExportRegion, Manifest, ShardEntry, ShardStats, Totals
from schemas.finehard import FineHardBox, FineHardRecord
from schemas.rows import (
    BalanceRow,
    BlindFigures,
    CaptionRow,
    CorpusRow,
    Detection,
    ExchangeRow,
    ExportRow,
    Fact,
    GroundRow,
    HardNegativeRow,
    MineRow,
    Negative,
    Phrase,
    Region,
    RegionCaption,
    RegionCaptionRow,
    RegionNegatives,
    SelectRow,
    Usage,
    VerifyRow,
)
from stages.engines.base import ErrorKind
from stages.words.expressions import Refusal

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
FORMATS = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
MODELS: tuple[type[BaseModel], ...] = (
    BalanceRow, BlindFigures, CorpusRow, CaptionRow, GroundRow, SelectRow, RegionCaptionRow, HardNegativeRow, MineRow, ExchangeRow,
    VerifyRow, Fact, ExportRow, Phrase, Detection, Region, RegionCaption, RegionNegatives, Negative, Usage, ExportRecord, ExportRegion,
    ShardStats, ShardEntry, Totals, Manifest, FineHardRecord, FineHardBox,
)  # fmt: skip


def words_of(text: str) -> set[str]:
    """What stands in backticks, the parts of a dotted name too."""
    quoted = re.findall(r"`([^`\n]+)`", text)
    return {part for word in quoted for part in (word, *word.split("."))}


def written_reasons() -> Iterator[str]:
    """Constants given as `reason=`, or to the functions that make rows of a problem."""
    # Reasons of given rows have a page and a test of their own; report and demo only read rows.
    elsewhere = {"given", "report", "demo"}
    sources = [path for room in ("stages", "pipeline") for path in (ROOT / room).rglob("*.py")]
    for path in (path for path in sources if not elsewhere & set(path.relative_to(ROOT).parts)):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            values = [keyword.value for keyword in node.keywords if keyword.arg == "reason"]
            if isinstance(node.func, ast.Name) and node.func.id in ("Problem", "_failed", "failed_rows"):
                values += node.args
            for value in values:
                yield from (part.value for part in ast.walk(value) if isinstance(part, ast.Constant) and isinstance(part.value, str))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_formats_explains_every_field(model: type[BaseModel]) -> None:
    assert set(model.model_fields) - words_of(FORMATS) == set()


def test_formats_explains_every_reason() -> None:
    reasons = {reason for reason in written_reasons() if re.fullmatch(r"[a-z]+(_[a-z]+)*", reason)}
    assert {"unreadable", "stage_error", "source_gone", "surplus"} <= reasons  # else the search has gone blind
    assert (reasons | set(typing.get_args(ErrorKind)) | set(typing.get_args(Refusal)) | set(REASONS)) - words_of(FORMATS) == set()


def test_every_reason_of_a_given_row_is_explained_where_given_tables_are() -> None:
    page = (ROOT / "docs" / "bring-your-own.md").read_text(encoding="utf-8")
    assert len(GIVEN_REASONS) >= 20
    assert {*GIVEN_REASONS, "not_given", "no_image", *GivenParams.model_fields} - words_of(page) == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_that_exist(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]*)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in link and link:
            assert (page.parent / link).is_file(), link


def test_options_that_docs_name_exist() -> None:
    keys = (ROOT / "tests" / "pipeline" / "config" / "config_keys.txt").read_text(encoding="utf-8").split()
    for page in PAGES:
        for block, option in re.findall(r"`(stages\.[a-z_]+|corpus|placement)\.([a-z_]+)`", page.read_text(encoding="utf-8")):
            assert f"{block}.{option}" in keys or (block, option) == ("placement", "stages"), f"{page.name}: {block}.{option}"


def test_the_index_of_decisions_lists_each_page_with_its_number() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(
        r"^\| \[[^]]+\]\(([\w-]+\.md)\) \| (\d+) \| \d{4}-\d\d-\d\d \| \d{4}-\d\d-\d\d \|$",
        (folder / "README.md").read_text(),
        re.MULTILINE,
    )
    headings = {page.name: len(re.findall(r"^## ", page.read_text(encoding="utf-8"), re.MULTILINE)) for page in folder.glob("*.md")}
    assert {name: int(number) for name, number in listed} == {name: number for name, number in headings.items() if name != "README.md"}
