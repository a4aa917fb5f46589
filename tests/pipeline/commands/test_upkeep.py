"""What `retry` finds and `gc` leaves: nothing good is asked again, nothing that is to be read is removed."""

import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from bench.faults.hostile import HOSTILITIES, HostileServer
from pipeline.api import open_job
from pipeline.cli import app
from pipeline.ledger.presence import drivers, present
from pipeline.storage import Storage
from schemas.rows import CAPTION, HardNegativeRow, RegionCaptionRow, Row, VerifyRow
from tests.support.in_process import carry_all
from tests.support.rehearsal_job import files, write_job, write_tar

ERROR_500 = next(hostility for hostility in HOSTILITIES if hostility.name == "status 500")


def fgdata(*arguments: object) -> dict[str, Any]:
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def rows_of(config: Path, stage: str) -> list[Row]:
    state = open_job(config).state()
    tables = [table for _, table in state.current_tables(stage) if table is not None]
    return [row for table in tables for row in state.ledger.read(table, state.nodes[stage].row_type)]


def asked_of(server: HostileServer, config: Path) -> list[str]:
    """The questions that a run asks now."""
    questions: list[str] = []
    before = server.chooses
    server.chooses = lambda question: (questions.append(question), before(question))[1]
    carry_all(config)
    server.chooses = before
    return questions


class TestRetry:
    @pytest.mark.parametrize("stage", ["region_caption", "hard_negative", "verify"])
    def test_a_child_that_got_no_answer_is_asked_again_alone(self, tmp_path: Path, stage: str) -> None:
        """One question of an image fails whenever it is asked, until the server is mended: the image is ok, its child is lost."""
        with HostileServer(lambda _: None).running() as server:
            config = _judged_job(tmp_path, server.url)
            every = asked_of(server, _judged_job(tmp_path / "all", server.url))
            victim = _question_of(stage, every)
            server.chooses = lambda question: ERROR_500 if question == victim else None
            carry_all(config)
            (loser,) = [row for row in rows_of(config, stage) if row.lost]
            assert (loser.status, set(loser.lost)) == ("ok", {"server_error"})
            assert [status["lost"] for status in fgdata("status", config)["stages"] if "lost" in status] == [dict(loser.lost)]
            before = {row.key: row for row in rows_of(config, stage)}

            server.chooses = lambda _: None
            asked = fgdata("retry", config, "--reason", "server_error")["units"]
            assert {name for name, count in asked.items() if count} == {stage}
            again = asked_of(server, config)
            assert again.count(victim) == 1
            mended = {row.key: row for row in rows_of(config, stage)}
            assert not any(row.lost for row in mended.values())
            assert [key for key in before if before[key] != mended[key]] == [loser.key]
            children = _children(mended[loser.key])
            good = {name: child for name, child in _children(loser).items() if "server_error" not in json.dumps(child)}
            assert good
            assert {name: children[name] for name in good} == good
            assert not any(fgdata("retry", config)["units"].values())

    def test_quarantined_images_are_asked_for_by_name(self, tmp_path: Path) -> None:
        config = write_job(tmp_path)
        assert fgdata("retry", config, "--only", "quarantined")["units"]["caption"] == 0
        refused = CliRunner().invoke(app, ["retry", str(config), "--only", "ok"])
        assert "failed or quarantined" in refused.stderr


class TestGc:
    def test_a_pending_retry_loses_nothing(self, tmp_path: Path) -> None:
        """Neither the good rows of the units asked for, nor what was made of the others, nor what lies below."""
        config = _failing(tmp_path)
        carry_all(config)
        before = files(tmp_path / "work", "*/*/*.parquet")
        assert sum(fgdata("retry", config)["units"].values()) > 0
        assert fgdata("gc", config, "--yes")["removed"] == []
        carried = carry_all(config)
        assert carried["ground"] == 0  # the retry changed nothing, so that what lies below is what it was
        assert files(tmp_path / "work", "*/*/*.parquet").items() >= before.items()

    def test_what_is_superseded_goes_with_its_bytes_named(self, tmp_path: Path) -> None:
        config = _failing(tmp_path)
        carry_all(config)
        size = sum(len(content) for content in files(tmp_path / "work" / "select").values())
        _edit(config, select={"max_iou": 0.4})
        carry_all(config)
        removed = fgdata("gc", config, "--yes")
        assert removed["bytes"] >= size
        assert not any(fgdata("plan", config)["stages"][i]["pending"] for i in range(3))

    def test_what_another_driver_reads_stays_while_it_is_at_work(self, tmp_path: Path) -> None:
        config = _failing(tmp_path)
        carry_all(config)
        fingerprints = {node.name: node.fingerprint for node in open_job(config).graph}
        _edit(config, select={"max_iou": 0.4})
        carry_all(config)
        with present(Storage(str(tmp_path / "work")), fingerprints):
            kept = fgdata("gc", config, "--yes")
            assert (kept["removed"], len(kept["spared"])) == ([], 1)
        assert fgdata("gc", config, "--yes")["removed"]

    def test_a_marker_that_nobody_renews_is_heeded_for_ten_minutes(self, tmp_path: Path) -> None:
        config = _failing(tmp_path)
        workdir = Storage(str(tmp_path / "work"))
        marker = {"host": "elsewhere", "process": 1, "fingerprints": {"caption": "abc"}}
        for age_s, at_work in ((540, 1), (660, 0)):
            workdir.write("runs/one.driver", json.dumps({**marker, "renewed": time.time() - age_s}).encode())
            assert len(drivers(workdir)) == at_work
        assert fgdata("gc", config, "--yes")["removed"] == ["runs/one.driver"]

    def test_old_temporary_files_go_and_young_ones_stay(self, tmp_path: Path) -> None:
        config = _failing(tmp_path)
        for place in (tmp_path / "work" / "caption" / "abc", tmp_path / "dataset"):
            place.mkdir(parents=True)
            for name, age_s in ((".writing-old", 4000), (".writing-young", 10)):
                (place / name).write_bytes(b"12345")
                os.utime(place / name, (time.time() - age_s,) * 2)
        removed = fgdata("gc", config, "--yes")
        assert (removed["removed"], removed["bytes"]) == (["caption/abc/.writing-old", ".writing-old"], 10)

    def test_a_corpus_that_is_not_mounted_costs_nothing(self, tmp_path: Path) -> None:
        config = _failing(tmp_path)
        carry_all(config)
        before = files(tmp_path / "work", "*/*/*.parquet")
        (tmp_path / "corpus").rename(tmp_path / "elsewhere")
        (tmp_path / "corpus").mkdir()
        assert CliRunner().invoke(app, ["gc", str(config), "--yes"]).exit_code == 2
        assert files(tmp_path / "work", "*/*/*.parquet") == before


def _failing(folder: Path) -> Path:
    """A job up to select in which some captions fail whatever the seed."""
    config = write_job(folder, captioner={"error_rate": 0.3})
    content = yaml.safe_load(config.read_text())
    content["stages"] = {name: content["stages"][name] for name in ("caption", "ground", "select")}
    content["placement"] = {}
    config.write_text(yaml.safe_dump(content, sort_keys=False))
    return config


def _edit(config: Path, **stages: Any) -> None:
    content = yaml.safe_load(config.read_text())
    content["stages"] |= stages
    config.write_text(yaml.safe_dump(content, sort_keys=False))


def _judged_job(folder: Path, url: str) -> Path:
    """Caption to verify; the three roles that are asked about children answer from a server."""
    write_tar(folder / "corpus" / "a.tar", ["a0", "a1", "a2", "a3"])
    spec = {"kind": "openai", "model": "m", "base_url": url, "max_retries": 0}
    config = write_job(folder)
    content = yaml.safe_load(config.read_text())
    content["engines"] |= {"captioner": spec, "writer": spec, "judge": spec}
    stages = ("caption", "ground", "select", "region_caption", "hard_negative", "verify")
    content["stages"] = {name: {} if name in ("ground", "select") else {"prompt": "demo", "attempts": 1} for name in stages}
    content["stages"]["ground"] = {"min_stored_score": 0.1}
    content["placement"] = {}
    config.write_text(yaml.safe_dump(content, sort_keys=False))
    return config


def _question_of(stage: str, questions: list[str]) -> str:
    begins = {"region_caption": "Describe the ", "hard_negative": "Edit: ", "verify": "Is the "}[stage]
    counts = Counter(question for question in questions if question.startswith(begins) and "Describe the image." not in question)
    return next(question for question, count in counts.items() if count == 1)


def _children(row: Row) -> dict[Any, Any]:
    if isinstance(row, RegionCaptionRow | HardNegativeRow):
        return {region.region: region.model_dump() for region in row.regions if region.region != CAPTION}
    assert isinstance(row, VerifyRow)
    return {(fact.region, fact.type, fact.value): fact.model_dump() for fact in row.facts}
