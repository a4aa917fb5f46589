"""A run on real Ray with rehearsal engines: what is committed, what resumes, what a change touches."""

import json
import shutil
from pathlib import Path

import pytest

from pipeline import api
from pipeline.commands.upkeep import ask_retries
from pipeline.config.registry import DEMO_PROMPTS, STAGES
from pipeline.ledger.state import State
from pipeline.ledger.status import count_statuses
from pipeline.ledger.why import plan_of
from pipeline.run.lane import StageStopped
from schemas.rows import CaptionRow
from tests.support.in_process import carry_all
from tests.support.rehearsal_job import files, times, write_job, write_tar
from tests.support.upkeep import stale_paths

pytestmark = pytest.mark.ray


def _pending(config: Path) -> dict[str, dict[str, int]]:
    return {plan.name: dict(plan.why) for plan in plan_of(api.open_job(config).state())}


def _status(state: State) -> list[dict[str, dict[str, int]]]:
    return [stage.as_json() for stage in count_statuses(state)]


@pytest.mark.usefixtures("ray_local")
class TestRun:
    def test_every_image_is_accounted_for_in_every_stage(self, tmp_path: Path) -> None:
        config = write_job(tmp_path)
        api.run(api.open_job(config))
        for stage in _status(api.open_job(config).state()):
            assert stage["images"] == {"ok": 14}
        assert {"00000.tar", "00000.parquet", "00000_stats.json", "00001.tar", "manifest.json", "README.md"} <= set(
            files(tmp_path / "dataset")
        )

    def test_a_second_run_does_nothing_and_starts_nothing(self, tmp_path: Path) -> None:
        config = write_job(tmp_path)
        api.run(api.open_job(config))
        before = times(tmp_path / "work")
        outcome = api.run(api.open_job(config))
        assert outcome.run_id is None
        assert {name: when for name, when in times(tmp_path / "work").items() if not name.startswith("corpus/")} == {
            name: when for name, when in before.items() if not name.startswith("corpus/")
        }

    def test_both_schedules_give_the_same_ledger_and_the_same_export(self, tmp_path: Path) -> None:
        trees = []
        original = tmp_path / "original"
        write_job(original)
        for schedule in ("stages", "streaming"):
            folder = tmp_path / schedule
            shutil.copytree(original, folder)
            config = write_job(folder, placement={"schedule": schedule, "stages": {stage: {"cpus": 0.1} for stage in STAGES}})
            api.run(api.open_job(config))
            trees.append((files(folder / "dataset"), sorted(files(folder / "work", "*/*/*.parquet"))))
        assert trees[0] == trees[1]

    def test_a_prompt_edit_reruns_its_stage_and_those_below_and_touches_nothing_else(self, tmp_path: Path) -> None:
        prompts = tmp_path / "prompts" / "hard_negative"
        prompts.mkdir(parents=True)
        config = write_job(tmp_path, prompts_dir="prompts")
        api.run(api.open_job(config))
        before = times(tmp_path / "work")
        original = DEMO_PROMPTS / "hard_negative" / "demo.yaml"
        (prompts / "demo.yaml").write_text(original.read_text().replace("Edit:", "Please edit:"))
        assert _pending(config) == {
            "caption": {},
            "ground": {},
            "select": {},
            "region_caption": {},
            "hard_negative": {"prompt_changed": 4},
            "export": {"upstream_changed": 4},
        }
        api.run(api.open_job(config))
        after = times(tmp_path / "work")
        assert all(after[name] == when for name, when in before.items())
        new = {name.split("/")[0] for name in after if name not in before}
        assert new == {"hard_negative", "export", "runs"}

    def test_new_shards_run_alone(self, tmp_path: Path) -> None:
        config = write_job(tmp_path)
        api.run(api.open_job(config))
        before = times(tmp_path)
        write_tar(tmp_path / "corpus" / "0-first-in-order.tar", ["n0", "n1"], tint=77)
        assert set(_pending(config).values().__iter__().__next__().items()) == {("new", 1)}
        api.run(api.open_job(config))
        after = times(tmp_path)
        whole_set = {f"dataset/{name}" for name in ("manifest.json", "README.md", "croissant.json", "sizes.json")}
        assert [name for name, when in before.items() if after[name] != when and name not in whole_set] == []
        assert "dataset/00002.tar" in after

    def test_a_changed_parameter_of_select_reruns_no_detector(self, tmp_path: Path) -> None:
        config = write_job(tmp_path)
        api.run(api.open_job(config))
        before = times(tmp_path / "work" / "ground")
        config.write_text(config.read_text().replace("select: {}", "select: {min_score: 0.8}"))
        assert _pending(config)["ground"] == {}
        assert _pending(config)["select"] == {"params_changed": 4}
        api.run(api.open_job(config))
        assert times(tmp_path / "work" / "ground") == before

    def test_a_run_that_stopped_at_captions_is_continued(self, tmp_path: Path) -> None:
        config = write_job(tmp_path)
        api.run(api.open_job(config, "caption"))
        assert not (tmp_path / "work" / "ground").exists()
        api.run(api.open_job(config))
        assert _status(api.open_job(config).state())[-1]["images"] == {"ok": 14}


@pytest.mark.usefixtures("ray_local")
class TestFailures:
    def test_a_failed_row_is_retried_and_what_was_ok_is_kept(self, tmp_path: Path) -> None:
        config = write_job(tmp_path, captioner={"error_rate": 0.3, "seed": 5})
        api.run(api.open_job(config))
        state = api.open_job(config).state()
        caption = _status(state)[0]
        assert caption["images"]["failed"] > 0
        assert caption["reasons"] == {"bad_request": caption["images"]["failed"]}
        assert _status(state)[1]["images"]["skipped"] == caption["images"]["failed"]
        kept = _captions(state)
        asked = ask_retries(state, "caption", None)
        assert _pending(config)["caption"] == {"retry": asked["caption"]}
        api.run(api.open_job(config))
        again = _captions(api.open_job(config).state())
        assert all(again[key] == row for key, row in kept.items() if row.status == "ok")
        assert _pending(config) == {name: {} for name in _pending(config)}

    def test_the_image_that_ends_its_engine_is_quarantined_and_its_unit_is_done(self, tmp_path: Path) -> None:
        config = write_job(tmp_path, captioner={"crash_on": "a5"})
        outcome = api.run(api.open_job(config))
        assert 2 <= outcome.figures["caption"].deaths <= 2 * 2 + 4
        stages = _status(api.open_job(config).state())
        assert stages[0]["images"] == {"ok": 13, "quarantined": 1}
        assert stages[0]["reasons"] == {"engine_death": 1}
        assert stages[-1]["images"] == {"ok": 13, "skipped": 1}
        (tmp_path / "other").mkdir()
        undisturbed = write_job(tmp_path / "other")
        carry_all(undisturbed, "caption")
        with_it, without = _by_key(undisturbed), _by_key(config)
        assert {key for key, row in without.items() if row != with_it[key]} == {"a5"}

        config.write_text(config.read_text().replace("crash_on: a5", "crash_on: null"))  # the engine is mended
        assert ask_retries(api.open_job(config).state(), None, None, "quarantined")["caption"] == 1
        api.run(api.open_job(config))
        assert _by_key(config) == with_it
        assert _status(api.open_job(config).state())[-1]["images"] == {"ok": 14}

    def test_an_engine_that_ends_on_everything_stops_the_run_and_blames_no_image(self, tmp_path: Path) -> None:
        write_tar(tmp_path / "corpus" / "a.tar", [f"zz{i}" for i in range(8)])
        config = write_job(tmp_path, captioner={"crash_on": "zz"})
        with pytest.raises(StageStopped, match="no image is to blame"):
            api.run(api.open_job(config))
        assert _status(api.open_job(config).state())[0]["images"] == {"pending": 8}

    def test_a_unit_whose_engine_died_once_is_run_again_alone(self, tmp_path: Path) -> None:
        memory = tmp_path / "memory"
        memory.mkdir()
        config = write_job(tmp_path, captioner={"crash_on": "a5", "crash_once_dir": str(memory)})
        api.run(api.open_job(config))
        assert _status(api.open_job(config).state())[0]["images"] == {"ok": 14}

    def test_a_stage_whose_first_units_fail_alike_is_stopped_and_commits_nothing(self, tmp_path: Path) -> None:
        config = write_job(tmp_path, captioner={"bad_json_rate": 1.0})
        config.write_text(config.read_text().replace("prompt: demo", "prompt: demo\n    attempts: 2", 1))
        with pytest.raises(StageStopped, match=r"invalid_output 1[02], such as"):
            api.run(api.open_job(config))
        assert _status(api.open_job(config).state())[0]["images"] == {"pending": 14}

    def test_what_fails_alike_is_committed_where_another_image_came_back_well(self, tmp_path: Path) -> None:
        config = write_job(tmp_path)
        api.run(api.open_job(config, "caption"))
        write_tar(tmp_path / "corpus" / "c.tar", [f"zz{i}" for i in range(12)], tint=30)
        config.write_text(config.read_text().replace("kind: rehearsal\n", "kind: rehearsal\n    raise_on: zz\n", 1))
        api.run(api.open_job(config, "caption"))
        assert _status(api.open_job(config).state())[0]["images"] == {"ok": 14, "failed": 12}

    def test_an_image_that_makes_an_engine_raise_fails_with_the_exceptions_name_and_its_unit_stands(self, tmp_path: Path) -> None:
        config = write_job(tmp_path, captioner={"raise_on": "a5"})
        carry_all(config, "caption")
        (tmp_path / "other").mkdir()
        undisturbed = write_job(tmp_path / "other")
        carry_all(undisturbed, "caption")
        with_it, without = _by_key(undisturbed), _by_key(config)
        assert {key for key, row in without.items() if row != with_it[key]} == {"a5"}
        (failed,) = (row for row in without.values() if row.status != "ok")
        assert (failed.status, failed.reason, failed.detail) == ("failed", "stage_error", "ValueError: rehearsed bug on a5")

    def test_a_broken_image_is_failed_and_its_neighbours_are_not(self, tmp_path: Path) -> None:
        folder = tmp_path / "corpus"
        write_tar(tmp_path / "shards" / "a.tar", ["x"])
        folder.mkdir()
        good = files(tmp_path / "shards")["a.tar"]
        (folder / "broken.jpg").write_bytes(good[600:700])
        from PIL import Image

        for name in ("one", "two"):
            Image.new("RGB", (40, 40), (9, len(name) * 20, 3)).save(folder / f"{name}.png")
        config = write_job(tmp_path)
        api.run(api.open_job(config))
        stages = _status(api.open_job(config).state())
        assert stages[0]["images"] == {"failed": 1, "ok": 2}
        assert stages[-1]["images"] == {"ok": 2, "skipped": 1}


@pytest.mark.usefixtures("ray_local")
class TestUpkeep:
    def test_gc_names_only_what_is_superseded(self, tmp_path: Path) -> None:
        config = write_job(tmp_path)
        api.run(api.open_job(config))
        assert stale_paths(api.open_job(config).state()) == []
        config.write_text(config.read_text().replace("select: {}", "select: {min_score: 0.8}"))
        api.run(api.open_job(config))
        stale = stale_paths(api.open_job(config).state())
        assert {path.split("/")[0] for path in stale} == {"select", "region_caption", "hard_negative", "export"}
        for path in stale:
            (tmp_path / "work" / path).unlink()
        assert api.run(api.open_job(config)).run_id is None

    def test_a_lost_export_folder_is_written_again_the_same(self, tmp_path: Path) -> None:
        config = write_job(tmp_path)
        api.run(api.open_job(config))
        before = files(tmp_path / "dataset")
        shutil.rmtree(tmp_path / "dataset")
        api.run(api.open_job(config))
        assert files(tmp_path / "dataset") == before

    def test_a_folder_that_another_configuration_overwrote_is_exported_again(self, tmp_path: Path) -> None:
        config = write_job(tmp_path)
        api.run(api.open_job(config))
        before, mine = files(tmp_path / "dataset"), config.read_text()
        config.write_text(mine.replace("select: {}", "select: {min_score: 0.8}"))
        api.run(api.open_job(config))
        assert files(tmp_path / "dataset") != before
        config.write_text(mine)
        api.run(api.open_job(config))
        after = files(tmp_path / "dataset")
        assert all(after[name] == content for name, content in before.items())

    def test_the_runs_record_holds_figures_by_stage(self, tmp_path: Path) -> None:
        config = write_job(tmp_path)
        outcome = api.run(api.open_job(config))
        record = json.loads((tmp_path / "work" / "runs" / f"{outcome.run_id}.json").read_text())
        assert record["stages"]["caption"]["images"] == 14
        assert record["stages"]["caption"]["tokens"] > 0
        assert record["versions"]["ray"]


def _captions(state: State) -> dict[str, CaptionRow]:
    rows = {}
    for item, table in state.current_tables("caption"):
        assert table is not None
        for row in state.ledger.read(table, CaptionRow):
            rows[f"{item.id}/{row.key}"] = row
    return rows


def _by_key(config: Path) -> dict[str, CaptionRow]:
    return {row.key: row for row in _captions(api.open_job(config).state()).values()}
