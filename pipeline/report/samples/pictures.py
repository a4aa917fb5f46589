"""Small WebP copies of the sampled images, read from the corpus wherever it lies."""

import io
from collections.abc import Iterator, Sequence

from PIL import Image

from pipeline.corpus.images import load_images
from pipeline.report.run_tables import RunTables
from pipeline.report.samples.choose import Chosen
from pipeline.storage import remote_errors
from schemas.rows import CorpusRow

MAX_SIDE_PX, QUALITY, BATCH = 640, 78, 16


def pictures(run: RunTables, chosen: Sequence[Chosen]) -> Iterator[tuple[Chosen, bytes | str]]:
    """For each chosen image the bytes of its small copy, or why there is none."""
    for start in range(0, len(chosen), BATCH):
        part = chosen[start : start + BATCH]
        try:
            loaded = load_images(run.job.config.corpus, [_readable(image.row) for image in part])
        except remote_errors() as error:
            yield from ((image, f"the corpus cannot be read: {type(error).__name__}") for image in part)
            continue
        for image, result in zip(part, loaded, strict=True):
            problem = result.problem.reason if result.problem else None
            yield image, _small(result.image) if result.image else problem or "unreadable"


def _readable(row: CorpusRow) -> CorpusRow:
    """Filtered images are shown too: their bytes are known."""
    return row.model_copy(update={"status": "ok"}) if row.status == "filtered" and row.sha256 else row


def _small(image: Image.Image) -> bytes:
    copy = image.copy()
    copy.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX), Image.Resampling.LANCZOS)
    sink = io.BytesIO()
    copy.save(sink, "WEBP", quality=QUALITY, method=4)
    return sink.getvalue()
