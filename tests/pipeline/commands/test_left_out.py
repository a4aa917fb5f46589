import json
from pathlib import Path

from typer.testing import CliRunner

from pipeline.cli import app
from tests.support.pictures import png, tar_bytes, write
from tests.support.rehearsal_job import write_job


def test_plan_and_status_name_all_that_is_left_out_and_the_counts_add_up(tmp_path: Path) -> None:
    tar = tar_bytes([("1.png", png(1)), ("1.txt", b"one"), ("1.seg.png", png(2)), ("notes.md", b"-")])
    write(tmp_path / "corpus", {"0.tar": tar, "1.tar.gz": b"-", "2.cr2": b"-", ".hidden": b"-"})
    config = str(write_job(tmp_path))
    plan = json.loads(CliRunner().invoke(app, ["plan", config, "--json"]).stdout)
    assert plan["left_out"] == {"compressed": 1, "no_decoder": 1, "hidden": 1, "other_field": 1, "no_image": 1}
    assert (plan["files"], plan["shards"], plan["members"], plan["images"], plan["sidecars"]) == (4, 1, 4, 1, 1)
    assert plan["files"] - plan["shards"] + plan["members"] == plan["images"] + plan["sidecars"] + sum(plan["left_out"].values())
    assert plan["unit_size"] == 4
    for command in ("plan", "status"):
        output = CliRunner().invoke(app, [command, config]).stdout
        assert "1 .cr2 no decoder" in output
        assert "1 .tar.gz compressed" in output
        assert "1 hidden" in output
