"""What a plan says: which units of which stage are pending, and why."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.api import open_job
from pipeline.commands.upkeep import ask_retries
from pipeline.config.graph import build_graph
from pipeline.config.read import load_config
from pipeline.config.registry import DEMO_PROMPTS
from pipeline.ledger.why import REASONS, StagePlan, plan_of
from stages.select import Select
from tests.support.in_process import carry_all
from tests.support.rehearsal_job import job_content, write_job, write_tar

STAGES = ["caption", "ground", "select", "region_caption", "hard_negative", "export"]


def _plans(config: Path) -> dict[str, StagePlan]:
    plans = {plan.name: plan for plan in plan_of(open_job(config).state())}
    for plan in plans.values():
        assert sum(plan.why.values()) == plan.pending
        assert set(plan.why) <= set(REASONS)
    return plans


def _why(config: Path) -> dict[str, dict[str, int]]:
    """Stage -> reasons, of the stages that have something to run."""
    return {name: dict(plan.why) for name, plan in _plans(config).items() if plan.pending}


def _each(stages: list[str], reason: str, units: int) -> dict[str, dict[str, int]]:
    return {name: {reason: units} for name in stages}


def _fingerprints(config: Path) -> dict[str, str]:
    return {node.name: node.fingerprint for node in build_graph(load_config(config))}


def _rewrite(config: Path, *path: str, value: Any) -> None:
    """Set one field of the configuration."""
    content = yaml.safe_load(config.read_text())
    block = content
    for name in path[:-1]:
        block = block[name]
    block[path[-1]] = value
    config.write_text(yaml.safe_dump(content, sort_keys=False))


@pytest.fixture
def done(tmp_path: Path) -> Path:
    """A job all of whose stages are committed, four units each."""
    config = write_job(tmp_path)
    assert carry_all(config) == {name: 2 if name == "export" else 4 for name in STAGES}
    return config


def test_all_units_are_new_before_the_first_run_and_none_are_pending_after_it(tmp_path: Path) -> None:
    config = write_job(tmp_path)
    assert list(_plans(config)) == STAGES
    assert _why(config) == _each(STAGES, "new", 4)
    carry_all(config)
    assert [(plan.done, plan.pending, plan.why) for plan in _plans(config).values()] == [(4, 0, {})] * 6


def test_a_part_that_is_committed_is_counted_as_done(tmp_path: Path) -> None:
    config = write_job(tmp_path)
    carry_all(config, until="ground")
    assert _why(config) == _each(STAGES[2:], "new", 4)
    assert [plan.done for plan in _plans(config).values()] == [4, 4, 0, 0, 0, 0]


def test_the_units_of_a_new_shard_are_new_and_no_others(done: Path) -> None:
    write_tar(done.parent / "corpus" / "aa.tar", [f"n{i}" for i in range(5)], tint=50)
    assert _why(done) == _each(STAGES, "new", 2)


def test_another_version_of_a_stage(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Select, "version", Select.version + 1)
    assert _why(done) == {"select": {"version_changed": 4}} | _each(STAGES[3:], "upstream_changed", 4)


@pytest.mark.parametrize(
    "old,new",
    [("user: Describe", "user: Please describe"), ("minLength: 1", "minLength: 2"), ("max_tokens: 240", "max_tokens: 241")],
)
def test_an_edited_prompt_its_answer_schema_or_its_decoding(done: Path, old: str, new: str) -> None:
    original = (DEMO_PROMPTS / "caption" / "demo.yaml").read_text()
    path = done.parent / "prompts" / "caption" / "demo.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(original)
    _rewrite(done, "prompts_dir", value="prompts")
    assert _why(done) == {}
    path.write_text(original + "notes: looked at twice\n")
    assert _why(done) == {}
    path.write_text(original.replace(old, new))
    assert _why(done) == {"caption": {"prompt_changed": 4}} | _each(STAGES[1:], "upstream_changed", 4)


def test_another_prompt_of_the_same_stage_is_named_as_such_not_as_a_parameter(done: Path) -> None:
    _rewrite(done, "stages", "hard_negative", "prompt", value="v1")
    assert _why(done) == {"hard_negative": {"prompt_changed": 4}, "export": {"upstream_changed": 4}}


def test_another_parameter(done: Path) -> None:
    _rewrite(done, "stages", "select", "min_score", value=0.8)
    assert _why(done) == {"select": {"params_changed": 4}} | _each(STAGES[3:], "upstream_changed", 4)


def test_another_model_reruns_every_stage_that_asks_it(done: Path) -> None:
    _rewrite(done, "engines", "captioner", "seed", value=1)
    upstream = {"upstream_changed": 4}
    assert _why(done) == {
        "caption": {"model_changed": 4},
        "ground": upstream,
        "select": upstream,
        "region_caption": {"model_changed": 4},
        "hard_negative": upstream,
        "export": upstream,
    }


def test_another_detector_leaves_the_captions(done: Path) -> None:
    _rewrite(done, "engines", "detector", "seed", value=1)
    assert _why(done) == {"ground": {"model_changed": 4}} | _each(STAGES[2:], "upstream_changed", 4)


def test_a_model_is_known_by_its_weights_not_by_where_they_lie(tmp_path: Path) -> None:
    weights = tmp_path / "model" / "model.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(b"first training")
    config = write_job(tmp_path, captioner={"kind": "transformers", "model": "./model"}, stages={"caption": {"prompt": "demo"}})
    before = _fingerprints(config)
    (tmp_path / "elsewhere").mkdir()
    moved = write_job(
        tmp_path / "elsewhere", captioner={"kind": "transformers", "model": "../model"}, stages={"caption": {"prompt": "demo"}}
    )
    assert _fingerprints(moved) == before
    # A digest is kept for the life of a process; another file makes another digest without one.
    copy = tmp_path / "other" / "model"
    copy.mkdir(parents=True)
    (copy / "model.safetensors").write_bytes(b"other training")
    _rewrite(config, "engines", "captioner", "model", value="./other/model")
    assert _fingerprints(config)["caption"] != before["caption"]


def test_going_back_to_what_was_run_before_leaves_nothing_to_run(done: Path) -> None:
    before = done.read_text()
    _rewrite(done, "stages", "select", "min_score", value=0.8)
    carry_all(done)
    assert _why(done) == {}
    done.write_text(before)
    assert _why(done) == {}


def test_of_several_older_versions_the_nearest_says_why(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Select, "version", Select.version + 1)
    carry_all(done)
    _rewrite(done, "stages", "select", "min_score", value=0.8)
    assert _why(done)["select"] == {"params_changed": 4}


class TestRetry:
    def _failed(self, tmp_path: Path) -> Path:
        config = write_job(tmp_path, captioner={"error_rate": 0.3, "seed": 5})
        carry_all(config)
        return config

    def test_units_asked_for_again_are_pending_and_what_reads_them_waits(self, tmp_path: Path) -> None:
        config = self._failed(tmp_path)
        number = ask_retries(open_job(config).state(), "caption", None)["caption"]
        assert 0 < number < 4
        why = _why(config)
        assert why["caption"] == {"retry": number}
        assert why["ground"] == {"upstream_changed": number}

    def test_a_retry_that_changes_nothing_leaves_all_below_as_it_was(self, tmp_path: Path) -> None:
        config = self._failed(tmp_path)
        number = ask_retries(open_job(config).state(), "caption", None)["caption"]
        carried = carry_all(config)
        assert carried == {"caption": number} | dict.fromkeys(STAGES[1:], 0)
        assert _why(config) == {}

    def test_what_is_still_pending_cannot_be_asked_for_again(self, tmp_path: Path) -> None:
        config = self._failed(tmp_path)
        assert ask_retries(open_job(config).state(), "caption", None)["caption"] > 0
        assert ask_retries(open_job(config).state(), "caption", None)["caption"] == 0

    def test_only_units_with_the_reason_are_asked_for(self, tmp_path: Path) -> None:
        config = self._failed(tmp_path)
        assert ask_retries(open_job(config).state(), "caption", "timeout") == {"caption": 0}
        assert ask_retries(open_job(config).state(), "caption", "bad_request")["caption"] > 0


class TestFingerprints:
    def test_placement_changes_none(self, tmp_path: Path) -> None:
        config = write_job(tmp_path)
        before = _fingerprints(config)
        _rewrite(
            config,
            "placement",
            value={
                "schedule": "stages",
                "address": "10.0.0.1:6379",
                "stages": {name: {"actors": 3, "cpus": 2, "gpus": 1, "in_flight": 9, "gpu_memory_share": 0.5} for name in STAGES},
            },
        )
        assert _fingerprints(config) == before

    @pytest.mark.parametrize("field,value", [("delay_s", 0.5), ("crash_on", "a5"), ("crash_once_dir", "memory")])
    def test_what_an_engine_does_not_answer_by_changes_none(self, tmp_path: Path, field: str, value: Any) -> None:
        config = write_job(tmp_path)
        before = _fingerprints(config)
        _rewrite(config, "engines", "captioner", field, value=value)
        assert _fingerprints(config) == before

    def test_the_corpus_and_the_places_change_none(self, tmp_path: Path) -> None:
        config = write_job(tmp_path)
        before = _fingerprints(config)
        elsewhere = tmp_path / "elsewhere" / "job.yaml"
        elsewhere.parent.mkdir()
        content = job_content("/no/such/corpus", workdir="other", export_to="other-set")
        content["corpus"] |= {"unit_size": 99, "format": "parquet"}
        elsewhere.write_text(yaml.safe_dump(content))
        assert _fingerprints(elsewhere) == before

    def test_a_threshold_that_the_detector_gives_is_a_parameter_of_select_alone(self, tmp_path: Path) -> None:
        config = write_job(tmp_path)
        before = _fingerprints(config)
        _rewrite(config, "engines", "detector", "default_min_score", value=0.7)
        after = _fingerprints(config)
        assert [name for name in STAGES if after[name] != before[name]] == STAGES[2:]
