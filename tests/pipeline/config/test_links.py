"""Links that lead into what is written are found at whatever depth the listing finds them, before anything is written."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.api import open_job, run
from pipeline.cli import app
from pipeline.commands.doctor import examine
from pipeline.config.model import ConfigError
from pipeline.ledger.why import plan_of
from tests.support.given_job import write_lines
from tests.support.pictures import png
from tests.support.rehearsal_job import files, write_job


def _job(folder: Path, corpus: str = "corpus", /, **blocks: object) -> Path:
    for number in range(3):
        path = folder / "corpus" / "a" / "b" / "c" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(number))
    return write_job(folder, corpus={"path": corpus}, **blocks)


LINKS = {
    "the workdir": "work",
    "a folder in it": "work/caption",
    "the folder that holds it": "outside",
    "the export": "dataset",
    "a file of the export": "dataset/00000.tar",
    "a file that is not written yet, through a second link": "second",
}


@pytest.mark.parametrize("target", LINKS)
@pytest.mark.parametrize("is_there", [False, True])
def test_a_deep_link_into_what_is_written_is_refused_before_anything_is(tmp_path: Path, target: str, is_there: bool) -> None:
    places: dict[str, object] = {"workdir": "outside/work", "export_to": "outside/dataset"} if "outside" in LINKS[target] else {}
    config = _job(tmp_path, **places)
    (tmp_path / "second").symlink_to("dataset/00001.tar")
    if is_there or "outside" in LINKS[target]:
        (tmp_path / "dataset").mkdir()
        (tmp_path / "dataset" / "00000.tar").write_bytes(b"")
        (tmp_path / LINKS[target]).parent.mkdir(exist_ok=True, parents=True)
        if not (tmp_path / LINKS[target]).exists() and "." not in LINKS[target] and LINKS[target] != "second":
            (tmp_path / LINKS[target]).mkdir(parents=True)
    link = tmp_path / "corpus" / "a" / "b" / "c" / "link.png"
    link.symlink_to(tmp_path / LINKS[target])
    before = files(tmp_path)
    for command in (lambda: run(open_job(config)), lambda: plan_of(open_job(config).state()), lambda: examine(config)):
        with pytest.raises(ConfigError, match=r"corpus\.path: the link a/b/c/link\.png leads to") as caught:
            command()
        assert "\n" not in str(caught.value)
    assert files(tmp_path) == before


def test_a_link_in_given_rows_is_refused_too(tmp_path: Path) -> None:
    rows = tmp_path / "rows" / "x" / "y"
    rows.mkdir(parents=True)
    write_lines(rows / "rows.jsonl", [{"key": "a/b/c/0", "long": "A cup."}])
    (rows / "more").symlink_to("../../../dataset")
    (tmp_path / "dataset").mkdir()
    config = _job(tmp_path, given={"caption": {"format": "jsonl", "path": "rows"}})
    with pytest.raises(ConfigError, match=r"given\.caption\.path: the link x/y/more leads to .*/dataset, the same as export_to"):
        run(open_job(config))
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("corpus", ["corpus", "corpus/**/*.png", "corpus/a"])
def test_links_elsewhere_and_those_that_the_path_does_not_name_are_allowed(tmp_path: Path, corpus: str) -> None:
    config = _job(tmp_path, corpus)
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "d.png").write_bytes(png(9))
    (tmp_path / "work").mkdir()
    for name, target in (("d.png", "../else/d.png"), ("folder", "../else"), ("e.png", "../e.png"), ("up", "..")):
        (tmp_path / "corpus" / name).symlink_to(target)
    if corpus != "corpus":
        (tmp_path / "corpus" / "work").symlink_to("../work")
        (tmp_path / "work" / "note.txt").write_text("no image")
    assert open_job(config).look().listed.shards


def test_a_list_of_hashes_is_not_written_among_its_images_nor_over_another_file(tmp_path: Path) -> None:
    _job(tmp_path)
    (tmp_path / "mine.txt").write_text("dear diary\n")
    (tmp_path / "corpus" / "a" / "deep").symlink_to(tmp_path / "lists")
    (tmp_path / "lists").mkdir()
    for out in ("corpus/a/b/list.txt", "corpus/a/b/c/0.png", "mine.txt", "lists/list.txt", "lists"):
        before = files(tmp_path)
        result = CliRunner().invoke(app, ["hashes", str(tmp_path / "corpus"), "--out", str(tmp_path / out)])
        assert result.exit_code == 2, out
        assert result.output.count("\n") == 1, result.output
        assert files(tmp_path) == before
    for _ in range(2):  # a list of ours is written anew
        result = CliRunner().invoke(app, ["hashes", str(tmp_path / "corpus"), "--out", str(tmp_path / "new" / "list.txt")])
        assert result.exit_code == 0, result.output
    assert len((tmp_path / "new" / "list.txt").read_text().splitlines()) == 3


def test_a_report_and_a_list_of_shares_are_not_written_where_a_deep_link_leads(tmp_path: Path) -> None:
    config = _job(tmp_path)
    (tmp_path / "pages").mkdir()
    (tmp_path / "corpus" / "a" / "b" / "pages").symlink_to(tmp_path / "pages")
    for words in (("report", "--out", "pages"), ("report", "--out", "pages/new"), ("shares", "--out", "pages/shares.json")):
        result = CliRunner().invoke(app, [words[0], str(config), words[1], str(tmp_path / words[2])])
        assert (result.exit_code, result.output.count("\n")) == (2, 1), result.output
        assert "corpus.path: the link a/b/pages leads to" in result.output
    assert not [*(tmp_path / "pages").iterdir()]


@pytest.mark.parametrize("place", ["job.yaml", "mine.txt", "mine.txt/below/it"])
@pytest.mark.parametrize("name", ["workdir", "export"])
def test_a_file_where_a_folder_is_to_be_is_refused_as_the_configuration_is_read(tmp_path: Path, name: str, place: str) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    config = _job(tmp_path, **({"workdir": place} if name == "workdir" else {"export_to": place}))
    with pytest.raises(ConfigError, match=r"line \d+: (workdir|export_to) is .* is a file: name a folder"):
        open_job(config)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_shares_and_a_demo_replace_nothing_of_others(tmp_path: Path) -> None:
    config = _job(tmp_path)
    for out in ("corpus/shares.json", "work/shares.json", "job.yaml"):
        result = CliRunner().invoke(app, ["shares", str(config), "--out", str(tmp_path / out)])
        assert (result.exit_code, result.output.count("\n")) == (2, 1), result.output
        assert "--out is" in result.output
    for name, content in (("config.yaml", b"mine"), ("corpus/photo.jpg", b"mine")):
        path = tmp_path / name.replace("/", "-") / name
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        result = CliRunner().invoke(app, ["demo", "--out", str(tmp_path / name.replace("/", "-"))])
        assert (result.exit_code, path.read_bytes()) == (2, content), result.output


def test_a_demo_of_another_size_leaves_alone_what_lies_in_its_corpus(tmp_path: Path) -> None:
    from pipeline.demo.corpus import write_corpus

    write_corpus(tmp_path / "corpus", 2, 1000)
    (tmp_path / "corpus" / "photo.jpg").write_bytes(b"mine")
    with pytest.raises(ConfigError, match=r"photo\.jpg beside a demo's corpus"):
        write_corpus(tmp_path / "corpus", 3, 1000)
    assert (tmp_path / "corpus" / "photo.jpg").read_bytes() == b"mine"
    (tmp_path / "corpus" / "photo.jpg").unlink()
    write_corpus(tmp_path / "corpus", 3, 1000)
