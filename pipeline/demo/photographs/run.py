"""`fgdata demo --photographs`: photographs with boxes through all stages, answered by what a reader answered. No model, no download."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pipeline import api
from pipeline.config.model import ConfigError
from pipeline.demo.photographs.pictures import LICENCES, Picture, pictures, write_photographs
from pipeline.demo.photographs.replay import MODEL, Replay, serving
from pipeline.report.command import report
from pipeline.run.watch.progress import Watcher

PACKAGE = "skimage"  # scikit-learn's two are for the tests: they want an attribution beside each copy

_CONFIG = """\
# Written by `fgdata demo --photographs`. The answers are a reader's, replayed by a server that ends with the command: to ask a model
# instead, set base_url and model of the engines to those of a server of your own.
workdir: work
corpus: {{path: corpus, format: folder, unit_size: 4}}
given:
  ground: {{format: jsonl, path: boxes.jsonl, missing: skip}}
engines:
  captioner: &reader {{kind: openai, model: {model}, base_url: "{url}"}}
  writer: *reader
  judge: *reader
stages:
  caption: {{prompt: v2}}
  ground: {{}}
  select: {{}}
  region_caption: {{prompt: v2, probe_share: 0}}   # a replay cannot be shown another region's crop
  hard_negative: {{prompt: v2}}
  mine: {{}}
  verify: {{prompt: v2, ask: choose, outline: true, upscale_side_px: 336}}
  balance: {{method: none}}                        # ten images are too few to balance
  export: {{finehard: true, txt: short}}
export_to: dataset
"""


def write_job(out: Path, chosen: tuple[Picture, ...], url: str) -> Path:
    """The corpus, the boxes and the configuration in `out`; the configuration's path."""
    write_photographs(out, chosen)
    config = out / "config.yaml"
    config.write_text(_CONFIG.format(url=url, model=MODEL), encoding="utf-8")
    return config


def run_photographs(out: Path, watch: Callable[[Sequence[str]], Watcher] | None) -> tuple[api.Outcome, dict[str, Any]]:
    """Run the photographs that scikit-image carries, write the report, and say whose pictures they are.

    Raises: ConfigError where scikit-image is missing, or `out` holds something else.
    """
    chosen = pictures(PACKAGE)
    corpus = out / "corpus"
    wanted = {f"{picture.key}{picture.path.suffix}" for picture in chosen}
    if corpus.exists() and {path.name for path in corpus.iterdir()} - wanted:
        raise ConfigError(f"{corpus} holds files that are not the photographs; choose another --out")
    with serving(Replay(chosen)) as url:
        job = api.open_job(write_job(out, chosen, url))
        outcome = api.run(job, watch)
    record, _ = report(out / "config.yaml", None, out / "report", len(chosen), len(chosen))
    return outcome, {"run": record["runs"][0], "licences": {picture.key: LICENCES[picture.key] for picture in chosen}}


def photographs_text(out: Path) -> str:
    """Where to look, and whose the pictures are."""
    where = f"the report is {out / 'report' / 'index.html'}, the configuration {out / 'config.yaml'}"
    whose = [f"  {picture.key:<16} {LICENCES[picture.key]}" for picture in pictures(PACKAGE)]
    return "\n".join([where, "The photographs, all of them in scikit-image:", *whose])
