"""`fgdata demo --photographs`: photographs with boxes through all stages, answered by what a reader answered. No model, no download."""

from pathlib import Path

from pipeline.demo.photographs.pictures import Picture, write_photographs
from pipeline.demo.photographs.replay import MODEL

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
export: {{to: dataset}}
"""


def write_job(out: Path, chosen: tuple[Picture, ...], url: str) -> Path:
    """The corpus, the boxes and the configuration in `out`; the configuration's path."""
    write_photographs(out, chosen)
    config = out / "config.yaml"
    config.write_text(_CONFIG.format(url=url, model=MODEL), encoding="utf-8")
    return config
