"""The fixed sentences of the data set card, for readers who never saw fgdata. Text only."""

FRONT_MATTER = """---
license: other
task_categories:
- image-to-text
- zero-shot-image-classification
- object-detection
size_categories:
- {size}
tags:
{tags}
configs:
- config_name: images
  default: true
  data_files: "[0-9]*.tar"
- config_name: records
  data_files: "[0-9]*.parquet"
---"""

REHEARSAL = """> **REHEARSAL. Do not train on this.** At least one engine of this run only rehearsed: its captions, boxes or negatives are
> canned answers that have nothing to do with the images. The export exists to try the pipeline."""

UNANSWERED = """**No real model has answered these prompts yet: {prompts}.** Nobody has looked at what a model makes of them. Sample and
read the texts that came of them before use."""

UNVERIFIED = """Negatives marked `unverified` passed the rules (one slot changed, object kept, nothing that the region's own texts say) and
were judged against the image by no model: some may be true of it."""

LAYOUT = """## Files

- `NNNNN.tar`: WebDataset; for each image its source bytes, untouched, and `<key>.json`.
- `NNNNN.parquet`: the same records as the json files, one row an image.
- `NNNNN_stats.json`: what became of the shard's images, with digests of its files.
- `manifest.json`: engines, prompts and fingerprints that this is a function of, and all shards.

A record holds `key`, where the image came from (`source_key`, `source_shard`, `sha256`), `width`, `height`, the captions `alt`,
`long`, `short`, and `regions`. A region has its box (`xyxy` in pixels, `bbox` in shares of the sides), `score`, the `phrase` of
the long caption that names it (`long[start:end]`), its `head` noun, a `short` and a `long` expression, `attributes`, and
`negatives`: texts that are false of it, each with its type, its replayable edits of `short`, its source and its verdict. Sizes and
boxes are those of the **upright** image: apply EXIF orientation, as below, since the bytes are the source's own."""

READING = """## Reading

```python
import glob, io, json, webdataset
from PIL import Image, ImageOps
for sample in webdataset.WebDataset(sorted(glob.glob("[0-9]*.tar")), shardshuffle=False, empty_check=False):
    record = json.loads(sample.pop("json"))
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(next(v for k, v in sample.items() if not k.startswith("_")))))
```

```python
import glob
import pandas
images = pandas.concat(map(pandas.read_parquet, sorted(glob.glob("[0-9]*.parquet"))), ignore_index=True)
regions = images.explode("regions").dropna(subset="regions")
expressions = regions.regions.str["short"]
```"""

FINEHARD = """## FineHARD records

`finehard/NNNNN.json` holds the records that FG-CLIP's published trainer reads: give it `finehard` both as data path and as image
folder. Images without a caption or without a usable region are absent there. Loose images that their source stores turned by EXIF
are encoded anew, upright, since that trainer ignores EXIF; all others are the source's bytes. A region is flagged only where it
has ten negatives. The trainer fails on a batch in which fewer than two regions are flagged among the first four of their images:
take a batch size that makes this impossible."""
