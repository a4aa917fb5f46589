"""The run's figures are scraped as Prometheus scrapes them, and its record says with what it ran."""

import json
import re
import tarfile
import time
import urllib.request
from collections import defaultdict
from pathlib import Path

import pytest
import ray

from pipeline import api
from tests.support.rehearsal_job import write_job

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local"), pytest.mark.timeout(300)]


def _scraped(workdir: Path) -> dict[tuple[str, str], float]:
    """(name, status or reason) -> what the counters of a run in this workdir hold by now."""
    (node,) = [node for node in ray.nodes() if node["Alive"]]
    address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    with urllib.request.urlopen(address, timeout=10) as answer:
        text = str(answer.read().decode())
    counters: dict[tuple[str, str], float] = defaultdict(float)
    for name, tags, value in re.findall(r"^ray_(fgdata_\w+?)(?:_total)?\{([^}]*)\} (\S+)$", text, re.M):
        if 'stage="caption"' in tags and f'workdir="{workdir}"' in tags:
            counters[name, next(iter(re.findall(r'(?:status|reason)="(\w+)"', tags)), "")] += float(value)
    return counters


def test_figures_are_scraped_and_the_record_holds_versions_and_machine(tmp_path: Path) -> None:
    stages = {"caption": {"prompt": "demo"}}
    wanted = {"stages": {"caption": {"cpus": 0.1}}}
    config = write_job(tmp_path, stages=stages, export=None, placement=wanted)
    with tarfile.open(tmp_path / "corpus" / "broken.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("nothing.jpg"))
    outcome = api.run(api.open_job(config))
    assert outcome.statuses[0].images == {"ok": 14, "failed": 1}
    ((reason, _),) = outcome.statuses[0].losses.items()
    until, figures = time.monotonic() + 60, dict[tuple[str, str], float]()
    while sum(value for (name, _), value in figures.items() if name == "fgdata_images") < 15:
        assert time.monotonic() < until, figures
        time.sleep(1)
        figures = _scraped(tmp_path / "work")
    assert figures["fgdata_images", "failed"] == figures["fgdata_rejects", reason] == 1
    assert figures["fgdata_images", "ok"] == 14
    assert figures["fgdata_units", ""] == 5
    assert figures["fgdata_tokens", ""] > 0
    assert figures["fgdata_seconds", ""] > 0
    (record,) = [json.loads(path.read_text()) for path in (tmp_path / "work" / "runs").glob("*.json")]
    assert record["versions"].keys() >= {"python", "fgdata", "ray", "pyarrow", "pillow"}
    assert record["machine"]["cores"] >= 1
    assert record["stages"]["caption"]["reasons"] == {reason: 1}
