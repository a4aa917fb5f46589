"""`fgdata audit` reads each format, says what is wrong with a bad one, and its exit code is its verdict."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipeline.api import open_job
from pipeline.cli import app
from pipeline.commands.audit_sets import LeftOut, read_set
from pipeline.run.dataset import write_dataset_files
from schemas.audit import PROBES, AuditItem
from stages.audit.readings import guessed_types, head_noun
from tests.support.audit_sets import reciprocal_blocks, skewed_values
from tests.support.in_process import carry_all
from tests.support.rehearsal_job import write_job
from tests.support.training_data import save_tiny_clip, toys, write_dataset

FIGURES = ["pairwise", "top1", "top1_high", "top1_low"]


def _audit(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["audit", *(str(argument) for argument in arguments)])


def _refused(*arguments: object) -> str:
    result = _audit(*arguments)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert result.stderr.count("\n") == 1, result.stderr
    return str(result.stderr)


def _lines(path: Path, items: list[AuditItem]) -> Path:
    lines = [{"positive": item.positive, "negatives": item.negatives, "image": item.image, "noun": item.noun} for item in items]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    return path


def test_a_leaking_set_exits_3_and_its_json_has_the_names_that_machines_read(tmp_path: Path) -> None:
    result = _audit(_lines(tmp_path / "set.jsonl", skewed_values()), "--format", "jsonl", "--json")
    assert result.exit_code == 3
    report = json.loads(result.stdout)
    assert {"items", "positives", "chance", "probes", "by_type", "leaks", "verdict"} <= set(report)
    assert sorted(report["probes"]) == sorted(PROBES)
    assert all(sorted(figures) == FIGURES for figures in report["probes"].values())
    assert (report["items"], report["chance"], report["verdict"]) == (360, 0.25, "fail")
    assert set(report["by_type"]["colour"]["marginal"]) == set(FIGURES)
    assert 0.25 < report["by_type"]["colour"]["top1_low"] < report["by_type"]["colour"]["top1"]


def test_a_given_model_is_asked_about_first_sentences(tmp_path: Path) -> None:
    shard = [toy.model_copy(update={"long": f"{toy.long}. It is a toy."}) for toy in toys(24)[0]]
    dataset, model = write_dataset(tmp_path / "dataset", [shard]), save_tiny_clip(tmp_path / "clip")
    result = _audit(dataset, "--model", model, "--json")
    content = json.loads(result.stdout)["first_sentence"]
    assert (content["model"], content["images"]) == (str(model), 24)
    assert set(content["first"]) == {"r1", "r1_low", "r1_high"}
    assert f"by the model {model}, by the whole caption" in _audit(dataset, "--model", model).stdout
    assert "no such folder" in _refused(dataset, "--model", tmp_path / "none")
    path = _lines(tmp_path / "set.jsonl", skewed_values())
    assert "--model needs images" in _refused(path, "--format", "jsonl", "--model", model)


def test_a_set_at_chance_exits_0_and_one_too_small_4(tmp_path: Path) -> None:
    assert _audit(_lines(tmp_path / "set.jsonl", reciprocal_blocks()), "--format", "jsonl").exit_code == 0
    assert _audit(_lines(tmp_path / "small.jsonl", reciprocal_blocks(num_blocks=4)), "--format", "jsonl").exit_code == 4


def test_the_table_says_what_is_counted_what_leaks_and_what_to_do(tmp_path: Path) -> None:
    path = _lines(tmp_path / "set.jsonl", [*skewed_values(), *skewed_values()])
    table = " ".join(_audit(path, "--format", "jsonl").stdout.split())
    assert "720 entries read; counted are the 360 distinct (positive, negatives) items" in table
    assert "FAIL: the lower bound of marginal, ngram_image_disjoint, ngram_noun_disjoint exceeds chance + 0.05 = 0.300" in table
    assert "marginal: draw each value as often for negatives as positives have it" in table


def test_a_large_set_is_sampled_by_content_whatever_its_order(tmp_path: Path) -> None:
    forth = _lines(tmp_path / "forth.jsonl", skewed_values())
    back = _lines(tmp_path / "back.jsonl", skewed_values()[::-1])
    first, second = (json.loads(_audit(path, "--format", "jsonl", "--max-items", 100, "--json").stdout) for path in (forth, back))
    assert (first["items"], first["entries"], first["is_sample"]) == (100, 360, True)
    assert first["probes"] == second["probes"]


def test_fgovd_lines_are_read_with_nouns_and_types_from_their_texts(tmp_path: Path) -> None:
    rows = [
        {"img_path": f"{number}.jpg", "pos_expression": [item.positive], "neg_expression": item.negatives, "image_id": number}
        for number, item in enumerate(skewed_values())
    ]
    path = tmp_path / "hard.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    report = json.loads(_audit(path, "--format", "fgovd", "--json").stdout)
    assert (report["items"], list(report["by_type"])) == (360, ["colour"])
    assert report["probes"]["ngram_noun_disjoint"]["top1"] is not None


def test_sugarcrepe_files_are_read_from_a_folder_and_each_is_a_type(tmp_path: Path) -> None:
    for name, items in (("swap_att", skewed_values()[:180]), ("replace_att", skewed_values()[180:])):
        entries = {
            str(number): {"filename": f"{number}.jpg", "caption": f"{name} {item.positive}", "negative_caption": item.negatives[0]}
            for number, item in enumerate(items)
        }
        (tmp_path / f"{name}.json").write_text(json.dumps(entries))
    folder = json.loads(_audit(tmp_path, "--format", "sugarcrepe", "--json").stdout)
    single = json.loads(_audit(tmp_path / "swap_att.json", "--format", "sugarcrepe", "--json").stdout)
    assert folder["chance"] == single["chance"] == 0.5
    assert {name: figures["items"] for name, figures in folder["by_type"].items()} == {
        "replace_att": folder["items"] - single["items"],
        "swap_att": single["items"],
    }


def _json(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("format", "name", "content", "expected"),
    [
        ("sugarcrepe", "swap.json", [{"filename": "a.jpg", "caption": "a b", "caption2": "a c", "negative_caption": "a d"}],
         {("a b", ("a d",), "a.jpg", ("swap",)), ("a c", ("a d",), "a.jpg", ("swap",))}),
        ("valse", "actions.json", {"1": {"caption": "a b", "foil": "a c", "image_file": "a.jpg", "mturk": {"caption": 3, "foil": 0}},
                                   "2": {"caption": "x", "foil": "y", "image_file": "b.jpg", "mturk": {"caption": 1, "foil": 2}}},
         {("a b", ("a c",), "a.jpg", ("actions",))}),
        ("vlchecklist", "colour.json", [["a.jpg", {"POS": ["a b", "x"], "NEG": ["a c", "y"]}]],
         {("a b", ("a c",), "a.jpg", ("colour",)), ("x", ("y",), "a.jpg", ("colour",))}),
        ("winoground", "examples.jsonl", {"id": 1, "caption_0": "a b", "caption_1": "b a", "image_0": "0", "image_1": "1", "tag": "Object"},
         {("a b", ("b a",), "0", ("Object",)), ("b a", ("a b",), "1", ("Object",))}),
        ("cola", "pairs.json", [["a.jpg", "a b", "b.jpg", "b a"]],
         {("a b", ("b a",), "a.jpg", ("swap",)), ("b a", ("a b",), "b.jpg", ("swap",))}),
    ],
)  # fmt: skip
def test_public_sets_are_read_as_their_authors_wrote_them(format: str, name: str, content: Any, expected: Any, tmp_path: Path) -> None:
    left_out = LeftOut()
    _, items = read_set(str(_json(tmp_path / name, content)), format, left_out)
    assert {(item.positive, item.negatives, item.image, item.types) for item in items} == expected
    assert dict(left_out.dropped) == ({"not_validated": 1} if format == "valse" else {})


def test_negbench_rows_are_read_from_csv(tmp_path: Path) -> None:
    (tmp_path / "mcq.csv").write_text(
        'image_path,correct_answer,caption_0,caption_1,caption_2,correct_answer_template\na.jpg,1,a,"b, c",d,negative\n'
    )
    _, items = read_set(str(tmp_path / "mcq.csv"), "negbench")
    (item,) = items
    assert (item.positive, item.negatives, item.image, item.types) == ("b, c", ("a", "d"), "a.jpg", ("negative", "negative"))


def test_negbench_captions_are_taken_by_number_however_many_and_whichever_are_empty(tmp_path: Path) -> None:
    names = "correct_answer,caption_0,caption_1,caption_2,caption_3,caption_4"
    (tmp_path / "mcq.csv").write_text(f"{names}\n3,a,b,,c,d\n0,{'x' * 200_000},y\n1,a,b,,,,more\n")
    _, items = read_set(str(tmp_path / "mcq.csv"), "negbench")
    assert [(item.positive[:3], item.negatives) for item in items] == [("c", ("a", "b", "d")), ("xxx", ("y",)), ("b", ("a",))]


def test_names_that_no_terminal_shows_and_numbers_that_json_refuses_crash_nothing(tmp_path: Path) -> None:
    lines = [{"positive": i.positive, "negatives": i.negatives, "types": ["[/red] \ud800"] * 3} for i in reciprocal_blocks(num_blocks=6)]
    path = tmp_path / "set.jsonl"
    path.write_text("\n".join([*map(json.dumps, lines), f'{{"positive": 1{"0" * 5000}}}']))
    assert "a number of thousands of digits" in _refused(path, "--format", "jsonl")
    result = _audit(path, "--format", "jsonl", "--skip-bad")
    assert result.exit_code == 4
    assert "[/red] \\ud800" in result.stdout
    (tmp_path / "all.jsonl").write_text("{\n")
    assert "nothing can be audited. Skipped 1: not JSON" in _refused(tmp_path / "all.jsonl", "--format", "jsonl", "--skip-bad")


def test_bad_entries_can_be_left_out_and_are_counted_with_their_places(tmp_path: Path) -> None:
    lines = [json.dumps({"positive": item.positive, "negatives": item.negatives}) for item in reciprocal_blocks()]
    path = tmp_path / "set.jsonl"
    path.write_bytes("\n".join([*lines[:5], "{", '{"positive": "a"}', "[1", *lines[5:]]).encode() + b'\n{"positive": "caf\xe9"}\n')
    assert "set.jsonl line 6: not JSON" in _refused(path, "--format", "jsonl")
    result = _audit(path, "--format", "jsonl", "--skip-bad", "--json")
    report = json.loads(result.stdout)
    assert report["items"] == len(lines)
    assert report["skipped"]["negatives: Field required"] == {"count": 1, "places": ["set.jsonl line 7"]}
    assert report["skipped"]["not UTF-8"] == {"count": 1, "places": [f"set.jsonl line {len(lines) + 4}"]}
    assert sum(reason["count"] for reason in report["skipped"].values()) == 4
    assert "Skipped 1: not UTF-8" in _audit(path, "--format", "jsonl", "--skip-bad").stdout


def test_what_was_dropped_and_how_texts_were_read_is_said(tmp_path: Path) -> None:
    items = [item.model_copy(update={"negatives": (*item.negatives, item.positive)}) for item in reciprocal_blocks(num_blocks=8)]
    path = _lines(tmp_path / "set.jsonl", items)
    report = json.loads(_audit(path, "--format", "jsonl", "--json").stdout)
    assert (report["tokens"], report["dropped"]) == ("words", {"negative_is_positive": 32})
    assert "Left out: 32 negatives that are their own positive." in _audit(path, "--format", "jsonl").stdout


def test_our_own_exported_data_set_needs_no_format(tmp_path: Path) -> None:
    config = write_job(tmp_path)
    carry_all(config)
    job = open_job(config)
    write_dataset_files(job.config, job.state())
    result = _audit(tmp_path / "dataset", "--json")
    report = json.loads(result.stdout)
    assert report["format"] == "fgdata"
    assert set(report["first_sentence"]) >= {"images"}
    assert report["items"] > 0
    assert result.exit_code == {"pass": 0, "fail": 3, "insufficient": 4}[report["verdict"]]


@pytest.mark.parametrize(
    ("format", "content", "message"),
    [
        ("jsonl", '{"positive": "a", "negatives": ["b"]}\n{"positive": "a"', "set line 2: not JSON"),
        ("jsonl", '{"positive": "a", "negatives": []}', "set line 1: negatives: List should have at least 1 item"),
        ("jsonl", '{"positive": "a", "negatives": "b"}', "set line 1: negatives: Input should be a valid list; it must be {"),
        ("jsonl", '\n\n{"positive": "a", "negatives": ["b"], "types": ["x", "y"]}', "set line 3: 2 types for 1 negatives; give one each"),
        ("jsonl", "[]", "set line 1: Input should be"),
        ("jsonl", "", "no item with a negative in it"),
        ("fgovd", '{"positive": "a", "negatives": ["b"]}', "set line 1: pos_expression: Field required; it must be {"),
        ("sugarcrepe", '{"7": {"filename": "a.jpg", "caption": "a"}}', "set entry 7: negative_caption: Field required"),
        ("sugarcrepe", '"a"', 'set: must be an object {"0": {...}, ...}, not str'),
        ("coco", "{}", "--format coco: must be one of fgdata, fgovd, sugarcrepe, jsonl"),
    ],
)
def test_bad_input_is_one_line_with_its_place_and_exit_2(format: str, content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "set").write_text(content)
    assert message in _refused(tmp_path / "set", "--format", format)


def test_what_is_not_there_or_not_ours_is_said(tmp_path: Path) -> None:
    assert "nowhere.jsonl: no such file or folder" in _refused(tmp_path / "nowhere.jsonl", "--format", "jsonl")
    assert "no data set of ours (no manifest.json in it); say what it is: --format" in _refused(tmp_path)
    assert "no file that ends in .json in it" in _refused(tmp_path, "--format", "sugarcrepe")
    (tmp_path / "latin").write_bytes('{"positive": "caf\xe9"}'.encode("latin-1"))
    assert "latin: not UTF-8 at byte 17" in _refused(tmp_path / "latin", "--format", "jsonl")


def test_head_nouns_and_types_are_read_off_texts() -> None:
    assert head_noun("A black plastic telephone with red buttons.") == "telephone"
    assert head_noun("red boats on water") == "boat"
    assert head_noun("?") is None
    assert guessed_types("a red metal cup", ["a blue metal cup", "a red plastic cup"]) == ["colour", "material"]
    assert guessed_types("a red cup on a blue plate", ["a blue cup on a red plate"]) == ["swap"]
    assert guessed_types("a dog", ["a cat"]) == ["other"]


@pytest.mark.real
def test_the_figures_of_fgovd_hard_are_those_known(tmp_path: Path) -> None:
    path = os.environ.get("FGDATA_FGOVD", "")
    assert Path(path).is_file(), "FGDATA_FGOVD must name FG-OVD's hard.jsonl"
    result = _audit(path, "--format", "fgovd", "--json")
    report = json.loads(result.stdout)
    assert (report["items"], report["positives"]) == (2343, 1858)
    assert report["chance"] == pytest.approx(0.092, abs=0.001)
    assert report["probes"]["ngram_image_disjoint"]["top1"] == pytest.approx(0.56, abs=0.015)
    assert report["over_positives"]["top1"] == pytest.approx(0.50, abs=0.015)
    assert report["probes"]["ngram_shuffled"]["top1"] == pytest.approx(report["chance"], abs=0.03)
    assert (report["verdict"], result.exit_code) == ("fail", 3)
    assert "marginal" in report["leaks"]
