"""Runs to report on, made without Ray in a second or two: one that loses images in several ways, one under another prompt."""

import io
import shutil
from pathlib import Path
from typing import Any

import webdataset
import yaml
from PIL import Image, ImageDraw

from pipeline.api import open_job
from pipeline.config.registry import DEMO_PROMPTS, STAGES
from pipeline.corpus.update import read_rows
from schemas.rows import CaptionRow
from tests.support.in_process import carry_all
from tests.support.rehearsal_job import job_content

HOSTILE = (
    "</script><script>window.ran = 1</script> <img src=x onerror='window.ran = 2'> \u2028 \u202eright to left\u202c \"quoted\" & \U0001f41f"
)
PHRASE = "a large red plain wooden mug"
LONG = f"{HOSTILE} shows {PHRASE}. It seems to stand on a table"


def picture(number: int, size: tuple[int, int] = (96, 72)) -> bytes:
    """A JPEG of a few shapes, different for each number."""
    image = Image.new("RGB", size, (200, 190, 170 + number % 60))
    draw = ImageDraw.Draw(image)
    draw.ellipse((8 + number, 20, 40 + number, 52), fill=(180, 40 + 9 * number, 50))
    draw.rectangle((60, 14, 84, 34), fill=(40, 90, 150 + 5 * number))
    sink = io.BytesIO()
    image.save(sink, "JPEG", quality=88)
    return sink.getvalue()


def write_corpus(path: Path) -> None:
    """One tar: 18 images, of which one cannot be read and one has the bytes of another; hostile alt texts."""
    path.mkdir(parents=True)
    with webdataset.TarWriter(str(path / "00000.tar"), mtime=0) as tar:
        for number in range(18):
            data = {7: b"\xff\xd8 no picture", 9: picture(3)}.get(number, picture(number))
            tar.write({"__key__": f"p{number:02d}", "jpg": data, "txt": f"{HOSTILE} {number}"})


def whole_content(corpus: str, /, **blocks: Any) -> dict[str, Any]:
    """The configuration of a run through every stage there is, whose captioner refuses some images."""
    content = job_content(corpus, captioner={"error_rate": 0.15}, **blocks)
    content["corpus"] |= {"duplicates": "filter", "unit_size": 6}
    content["engines"]["judge"] = {"kind": "rehearsal"}
    later = {"verify": {"prompt": "demo"}, "mine": {}, "balance": {}}
    content["stages"] |= {name: params for name, params in later.items() if name in STAGES}
    content["stages"]["export"] = {"finehard": True}
    return content


def write_lossy_run(folder: Path, name: str = "a.yaml", *, until: str | None = None, **blocks: Any) -> Path:
    """Carry a run in `folder`, whose first readable image has a caption that attacks the page; returns the configuration."""
    if not (folder / "corpus").exists():
        write_corpus(folder / "corpus")
    content = whole_content("corpus", **blocks)
    path = folder / name
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    carry_all(path, "caption")
    _attack(path)
    carry_all(path, until)
    return path


def write_other_prompt(folder: Path) -> Path:
    """A second run over the same corpus and workdir under another caption prompt."""
    task = folder / "prompts" / "caption"
    task.mkdir(parents=True)
    shutil.copy(DEMO_PROMPTS / "caption" / "demo.yaml", task / "terse.yaml")
    prompt = yaml.safe_load((task / "terse.yaml").read_text())
    (task / "terse.yaml").write_text(yaml.safe_dump({**prompt, "user": "Describe the image in one sentence."}))
    content = whole_content("corpus", prompts_dir="prompts", export_to="other")
    content["stages"]["caption"] = {"prompt": "terse"}
    path = folder / "b.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    carry_all(path)
    return path


def _attack(config: Path) -> None:
    """Commit the first unit's captions anew, as a retry would, with a hostile text in the place of the first that is ok."""
    job = open_job(config, "caption")
    state = job.state()
    item = state.items("caption")[0]
    state.ask_retry("caption", item)
    inputs = state.inputs("caption", item)
    earlier = state.table("caption", item, retry=0)
    assert inputs is not None
    assert earlier is not None
    rows = job.ledger.read(earlier, CaptionRow)
    first = next(place for place, row in enumerate(rows) if row.status == "ok")
    words = {"long": LONG, "short": HOSTILE, "num_words_long": len(LONG.split()), "num_words_short": len(HOSTILE.split())}
    rows[first] = rows[first].model_copy(update=words)
    assert read_rows(job.ledger.workdir, item.units[0])[first].key == rows[first].key
    job.ledger.commit("caption", state.nodes["caption"].fingerprint, item.id, inputs, rows, CaptionRow)
