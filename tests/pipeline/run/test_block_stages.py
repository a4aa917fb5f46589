"""A barrier stage in a run: what is sealed, what a growing corpus touches, what a retry and a kill cost."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from pipeline.api import open_job
from pipeline.cli import app
from pipeline.commands.upkeep import ask_retries
from pipeline.config.model import ConfigError
from pipeline.ledger.state import State
from pipeline.ledger.status import count_statuses
from pipeline.ledger.why import plan_of
from schemas.dataset import ShardStats
from schemas.rows import BalanceRow, BlindFigures, HardNegativeRow, MineRow, Row
from tests.support.in_process import carry_all
from tests.support.rehearsal_job import job_content, times, write_job, write_tar
from tests.support.upkeep import stale_paths

STAGES = ["caption", "ground", "select", "region_caption", "hard_negative", "mine", "verify"]


def _job(folder: Path, **blocks: Any) -> Path:
    """Two shards, 20 images in units of four, one block; the judge looks at what was mined too."""
    folder.mkdir(exist_ok=True)
    write_tar(folder / "corpus" / "a.tar", [f"a{i}" for i in range(12)], tint=10)
    write_tar(folder / "corpus" / "b.tar", [f"b{i}" for i in range(8)], tint=200)
    engines = job_content("corpus")["engines"]
    engines["captioner"] |= blocks.pop("captioner", {})
    engines["judge"] = {"kind": "rehearsal"}
    prompts = ("caption", "region_caption", "hard_negative", "verify")
    stages = {name: {"prompt": "demo"} if name in prompts else {} for name in STAGES}
    placement = {"schedule": "streaming", "stages": {name: {"cpus": 0.1} for name in [*STAGES, "balance", "export"]}}
    return write_job(folder, **{"stages": stages, "engines": engines, "placement": placement, **blocks})


def _pending(config: Path) -> dict[str, dict[str, int]]:
    return {plan.name: dict(plan.why) for plan in plan_of(open_job(config).state()) if plan.pending}


def _rows(state: State, stage: str, row_type: type[Row]) -> dict[str, Row]:
    rows = {}
    for _, table in state.current_tables(stage):
        assert table is not None
        rows |= {row.key: row for row in state.ledger.read(table, row_type)}
    return rows


def _tables(folder: Path, stage: str) -> dict[str, int]:
    return {name: when for name, when in times(folder / "work" / stage).items() if name.endswith(".parquet")}


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = _job(tmp_path_factory.mktemp("once"))
    carry_all(config)
    return config.parent


@pytest.fixture
def done(once: Path, tmp_path: Path) -> Path:
    """A job all of whose stages are committed, in a folder of the test's own."""
    shutil.copytree(once, tmp_path / "job")
    return tmp_path / "job" / "job.yaml"


def test_a_plan_and_a_run_that_ends_earlier_seal_nothing(tmp_path: Path) -> None:
    config = _job(tmp_path)
    assert _pending(config)["mine"] == {"new": 5}
    carry_all(config, until="region_caption")
    assert _pending(config)["mine"] == {"new": 5}
    assert not (tmp_path / "work" / "blocks").exists()


def test_every_unit_of_a_block_has_a_table_and_every_image_a_row(done: Path) -> None:
    assert _pending(done) == {}
    assert [path.name for path in (done.parent / "work" / "blocks").iterdir()] == ["00000.json"]
    state = open_job(done).state()
    assert {stage.name: sum(stage.images.values()) for stage in count_statuses(state)} == dict.fromkeys(STAGES, 20)
    rows = _rows(state, "mine", MineRow)
    assert sum(len(row.regions) for row in rows.values() if isinstance(row, MineRow)) > 0


def test_a_new_shard_forms_a_block_and_leaves_all_that_is_there_untouched(done: Path) -> None:
    before = {name: when for name, when in times(done.parent / "work").items() if not name.startswith("corpus/")}
    write_tar(done.parent / "corpus" / "0-first.tar", [f"c{i}" for i in range(8)], tint=90)
    assert _pending(done) == {name: {"new": 2} for name in STAGES}
    carried = carry_all(done)
    assert carried == {**dict.fromkeys(STAGES, 2), "mine": 1}
    after = times(done.parent / "work")
    assert [name for name, when in before.items() if after[name] != when] == []
    assert {name for name in after if name.startswith("blocks/")} == {"blocks/00000.json", "blocks/00001.json"}


def test_another_limit_changes_no_block_that_is_sealed_and_no_fingerprint(done: Path) -> None:
    done.write_text(done.read_text().replace("unit_size: 4", "unit_size: 4\n  block_images: 12"))
    assert _pending(done) == {}


def test_a_shard_that_leaves_the_corpus_leaves_its_block(done: Path) -> None:
    (done.parent / "corpus" / "b.tar").unlink()
    assert _pending(done)["mine"] == {"upstream_changed": 3}
    carry_all(done)
    assert _pending(done) == {}


def test_blocks_do_not_look_at_each_other(tmp_path: Path) -> None:
    config = _job(tmp_path / "two", corpus={"path": "corpus", "unit_size": 4, "block_images": 12})
    carried = carry_all(config)
    assert carried["mine"] == 2
    alone = _job(tmp_path / "one")
    (tmp_path / "one" / "corpus" / "b.tar").unlink()
    carry_all(alone)
    first = {key: row for key, row in _rows(open_job(config).state(), "mine", MineRow).items() if key.startswith("a")}
    assert first == _rows(open_job(alone).state(), "mine", MineRow)


class TestRetry:
    def test_below_a_block_only_units_whose_candidates_changed_are_run_again(self, tmp_path: Path) -> None:
        config = _job(tmp_path, captioner={"bad_json_rate": 0.1, "seed": 4})
        config.write_text(config.read_text().replace("prompt: demo", "prompt: demo\n    attempts: 1", 1))
        carry_all(config)
        before, tables = _rows(open_job(config).state(), "mine", MineRow), _tables(tmp_path, "verify")
        asked = ask_retries(open_job(config).state(), "caption", None)["caption"]
        assert 0 < asked <= 2
        carried = carry_all(config)
        assert carried["caption"] == asked
        assert carried["mine"] == 1
        after = _rows(open_job(config).state(), "mine", MineRow)
        changed = {_unit_of(open_job(config).state(), key) for key in after if after[key] != before[key]}
        assert asked <= carried["verify"] == len(changed)
        assert tables.items() <= _tables(tmp_path, "verify").items()

    def test_a_block_that_failed_is_run_again_whole(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        config = _job(tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr("stages.mine.group_members", None)
            carry_all(config)
        status = {stage.name: stage for stage in count_statuses(open_job(config).state())}
        assert status["mine"].reasons == {"stage_error": 20}
        assert status["verify"].images == {"skipped": 20}
        assert ask_retries(open_job(config).state(), "mine", None) == {"mine": 5}
        assert _pending(config) == {"mine": {"retry": 5}, "verify": {"upstream_changed": 5}}
        carry_all(config)
        assert count_statuses(open_job(config).state())[-1].images == {"ok": 20}


def test_a_block_of_which_some_tables_were_committed_is_completed_and_those_stay(done: Path) -> None:
    before = _tables(done.parent, "mine")
    (folder,) = (path for path in (done.parent / "work" / "mine").iterdir())
    lost = sorted(folder.glob("*.parquet"))[2:4]
    for path in lost:
        path.unlink()
    assert _pending(done)["mine"] == {"new": 2}
    assert carry_all(done) == {**dict.fromkeys(STAGES, 0), "mine": 1}
    after = _tables(done.parent, "mine")
    assert set(after) == set(before)
    assert [name for name in before if after[name] != before[name]] == sorted(f"{folder.name}/{path.name}" for path in lost)


def test_gc_removes_what_a_block_no_longer_reads_and_no_block(done: Path) -> None:
    assert stale_paths(open_job(done).state()) == []
    (done.parent / "corpus" / "b.tar").unlink()
    carry_all(done)
    stale = stale_paths(open_job(done).state())
    assert {path.split("/")[0] for path in stale} >= {"mine", "caption"}
    for path in stale:
        (done.parent / "work" / path).unlink()
    assert _pending(done) == {}


def test_what_is_not_ok_upstream_is_skipped_in_a_block_and_its_neighbours_are_not(tmp_path: Path) -> None:
    config = _job(tmp_path, captioner={"error_rate": 0.2, "seed": 4})
    carry_all(config)
    status = {stage.name: stage.images for stage in count_statuses(open_job(config).state())}
    assert status["mine"]["skipped"] == 20 - status["region_caption"]["ok"] > 0


def test_another_driver_that_seals_first_decides_the_blocks(tmp_path: Path) -> None:
    config = _job(tmp_path)
    slow = open_job(config).state()
    other = open_job(config)
    other.ledger.workdir.write("blocks/00000.json", json.dumps({"units": [item.id for item in slow.items("caption")][:3]}).encode())
    (only,) = slow.items("mine")
    assert not slow.seal(only)
    assert [len(item.units) for item in slow.items("mine")] == [3, 2]
    assert all(map(slow.seal, slow.items("mine")))


def _unit_of(state: State, key: str) -> str:
    for item, table in state.current_tables("mine"):
        assert table is not None
        if any(row.key == key for row in state.ledger.read(table, MineRow)):
            return item.id
    raise AssertionError(key)


WHOLE = [*STAGES, "balance", "export"]


def _whole(folder: Path, **export: Any) -> Path:
    """The same job down to its export."""
    prompts = ("caption", "region_caption", "hard_negative", "verify")
    stages = {name: {"prompt": "demo"} if name in prompts else {} for name in WHOLE}
    return _job(folder, stages={**stages, "export": export})


def test_every_candidate_is_accounted_for_from_the_proposal_to_the_data_set(tmp_path: Path) -> None:
    config = _whole(tmp_path)
    carry_all(config)
    state = open_job(config).state()
    proposed = sum(
        region.num_proposed
        for stage, row_type in (("hard_negative", HardNegativeRow), ("mine", MineRow))
        for row in _rows(state, stage, row_type).values()
        for region in row.regions  # type: ignore[attr-defined]  # both have them
    )
    balanced = [region for row in _rows(state, "balance", BalanceRow).values() for region in row.regions]  # type: ignore[attr-defined]
    assert sum(region.num_proposed for region in balanced) == proposed > 0
    assert all(region.num_proposed == len(region.negatives) + sum(region.rejects.values()) for region in balanced)
    stats = [ShardStats.model_validate_json(path.read_bytes()) for path in (tmp_path / "dataset").glob("*_stats.json")]
    assert sum(shard.negatives_proposed for shard in stats) == proposed
    assert sum(shard.negatives + sum(shard.negatives_rejected.values()) for shard in stats) == proposed
    assert {figures.of for shard in stats for figures in shard.audits} <= {"regions", "captions"}


def _let_the_audit_fail(config: Path) -> None:
    """Say in the balance tables that a probe found a leak."""
    state = open_job(config).state()
    failed = BlindFigures(of="regions", items=900, chance=0.1, leaks=("length",), verdict="fail")
    for item, table in state.current_tables("balance"):
        assert table is not None
        rows = [row.model_copy(update={"audits": [failed]}) for row in state.ledger.read(table, BalanceRow)]
        state.ledger.workdir.delete(table.path)
        state.ledger.commit("balance", table.fingerprint, item.id, table.inputs, rows, BalanceRow)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local")
def test_a_set_whose_audit_failed_is_not_exported_unless_the_user_says_so(tmp_path: Path) -> None:
    config = _whole(tmp_path)
    carry_all(config, until="balance")
    _let_the_audit_fail(config)
    answer = CliRunner().invoke(app, ["run", str(config)])
    assert answer.exit_code == 3
    assert "2 shards are not exported: the blind audit of their negatives failed (regions/length)" in answer.output
    assert not list((tmp_path / "dataset").glob("*.tar"))
    allowing = config.read_text().replace("export: {}", "export: {allow_leaks: true}")
    assert allowing != config.read_text()
    config.write_text(allowing)
    assert CliRunner().invoke(app, ["run", str(config)]).exit_code == 0
    assert "whoever made this set exported it all the same" in (tmp_path / "dataset" / "README.md").read_text()


def test_a_configuration_that_would_export_what_nobody_verified_is_refused(tmp_path: Path) -> None:
    config = _whole(tmp_path)
    without = {name: block for name, block in yaml.safe_load(config.read_text())["stages"].items() if name != "verify"}
    for stages, message in (
        (without, "no judge has looked at"),
        ({**without, "verify": {"prompt": "demo"}, "export": {"allow_unverified": True}}, "differ: set both"),
        ({name: block for name, block in without.items() if name not in ("hard_negative", "mine")}, "nothing to choose from"),
    ):
        content = yaml.safe_load(config.read_text())
        config.write_text(yaml.safe_dump({**content, "stages": stages}))
        with pytest.raises(ConfigError, match=message):
            open_job(config)


def test_a_new_shard_leaves_exported_shards_as_they_are_and_the_data_set_names_both_audits(tmp_path: Path) -> None:
    config = _whole(tmp_path)
    carry_all(config)
    tables = {name: when for name, when in times(tmp_path / "work").items() if not name.startswith("corpus/")}
    exported = times(tmp_path / "dataset")
    write_tar(tmp_path / "corpus" / "0-first.tar", [f"c{i}" for i in range(8)], tint=90)
    assert carry_all(config) == {**dict.fromkeys(WHOLE, 2), "mine": 1, "balance": 1, "export": 1}
    assert tables.items() <= times(tmp_path / "work").items()
    assert exported.items() <= times(tmp_path / "dataset").items()
    assert {"00002.tar", "00002.parquet", "00002_stats.json"} <= set(times(tmp_path / "dataset"))
