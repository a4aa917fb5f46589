"""ray_cluster.yaml against Ray's own rules, and against the configuration that it is meant to hold."""

import tomllib
import warnings
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.config.read import load_config

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    content = yaml.safe_load((ROOT / "ray_cluster.yaml").read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


@pytest.fixture(scope="module")
def prepared(cluster: dict[str, Any]) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own, at import
        from ray.autoscaler._private.util import prepare_config
    filled: dict[str, Any] = prepare_config(cluster)
    return filled


def test_ray_accepts_the_cluster_file(prepared: dict[str, Any]) -> None:
    from ray.autoscaler._private.util import validate_config

    validate_config(prepared)


def test_ray_refuses_it_with_a_misspelt_key(prepared: dict[str, Any]) -> None:
    import jsonschema
    from ray.autoscaler._private.util import validate_config

    with pytest.raises(jsonschema.ValidationError, match="max_wrokers"):
        validate_config(prepared | {"max_wrokers": 1})


def test_the_nodes_that_a_run_may_wait_for_hold_all_stages(cluster: dict[str, Any]) -> None:
    config = load_config(ROOT / "configs" / "cluster.yaml")
    wanted = [config.resources(stage) for stage in config.stages]
    nodes = [node for name, node in cluster["available_node_types"].items() if name != cluster["head_node_type"]]
    assert sum(node["max_workers"] for node in nodes) <= cluster["max_workers"]
    assert config.placement.wait_for_nodes
    for kind, amount in (("CPU", sum(r.cpus * r.actors for r in wanted)), ("GPU", sum(r.gpus * r.actors for r in wanted))):
        assert amount <= sum(node["max_workers"] * node["resources"].get(kind, 0) for node in nodes)


def test_every_gpu_worker_fits_every_gpu_node(cluster: dict[str, Any]) -> None:
    """Ray chooses among GPU nodes as it likes: a worker that fits only some of them could wait for ever."""
    config = load_config(ROOT / "configs" / "cluster.yaml")
    on_gpus = [config.resources(stage) for stage in config.stages if config.resources(stage).gpus]
    for node in cluster["available_node_types"].values():
        if node["resources"].get("GPU"):
            assert all(r.gpus.is_integer() and r.gpus <= node["resources"]["GPU"] for r in on_gpus)
            assert all(r.cpus / r.gpus <= node["resources"]["CPU"] / node["resources"]["GPU"] for r in on_gpus)


def test_nodes_that_can_be_taken_away_are_workers_alone(cluster: dict[str, Any]) -> None:
    spot = {name for name, node in cluster["available_node_types"].items() if "InstanceMarketOptions" in node["node_config"]}
    assert spot == {"cpu", "gpu_large", "gpu_light"}


def test_nodes_install_the_wheel_of_this_version(cluster: dict[str, Any]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wheel = f"/dist/fgdata-{project['version']}-py3-none-any.whl"
    setups = [
        cluster["setup_commands"],
        *(n["worker_setup_commands"] for n in cluster["available_node_types"].values() if "GPU" in n["resources"]),
    ]
    assert all(any(wheel in command for command in commands) for commands in setups)
    for extra in ("s3", "vllm", "grounding-dino"):
        assert extra in project["optional-dependencies"]
        assert any(extra in command for command in setups[-1])


def test_files_that_are_mounted_are_in_the_checkout_or_built_by_the_first_command(cluster: dict[str, Any]) -> None:
    assert {source for source in cluster["file_mounts"].values() if not (ROOT / source).is_dir()} <= {"dist"}
