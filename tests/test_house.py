"""What `make check` holds the house to is found where it is broken."""

from pathlib import Path

import pytest

from bench.house import named_stages, rooms_without_layer, too_full, too_long, too_long_functions
from pipeline.config.registry import STAGES


def _file(folder: Path, name: str, content: str) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    "content",
    [
        'if node.name == "export":\n    pass\n',
        'ready = name in ("mine", "balance")\n',
        "from stages.ground import GroundParams\n",
        "from stages import ground\n",
        "import stages.ground\n",
        'match name:\n    case "verify":\n        pass\n',
    ],
)
def test_a_question_for_one_stage_is_found(content: str, tmp_path: Path) -> None:
    assert list(named_stages([_file(tmp_path, "runner.py", content)]))


def test_a_stage_that_imports_another_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in STAGES:
        other = "caption" if name != "caption" else "ground"
        _file(Path(), f"stages/{name}.py", f'from stages.{other} import Other\nmay_read = name == "{other}"\n')
        assert len(list(named_stages([f"stages/{name}.py"]))) == 1


def test_a_room_that_no_contract_holds_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[1])
    assert not list(rooms_without_layer(["stages/__init__.py", "stages/caption.py", "stages/words/nouns.py", "pipeline/cli.py"]))
    assert len(list(rooms_without_layer(["stages/new.py", "stages/room/one.py", "stages/room/two.py"]))) == 2


def test_stages_as_data_are_no_question(tmp_path: Path) -> None:
    assert not list(named_stages([_file(tmp_path, "tables.py", 'TABLES = {"caption": 1}\nreads = ("ground",)\n')]))


def test_files_functions_and_folders_above_their_limits_are_found(tmp_path: Path) -> None:
    long = _file(tmp_path, "long.py", "x = 1\n" * 401)
    function = _file(tmp_path, "function.py", "def f() -> None:\n" + "    print()\n" * 40)
    many = [_file(tmp_path, f"room/{number}.py", "") for number in range(15)]
    assert [line.split(": ")[1] for line in too_long([long, function])] == ["401 lines; split it by topic, 400 at most"]
    assert len(list(too_long_functions([long, function]))) == 1
    assert len(list(too_full(many))) == 1
    assert not list(too_full([*many[:14], _file(tmp_path, "room/__init__.py", "")]))
