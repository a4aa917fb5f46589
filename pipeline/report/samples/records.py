"""Draws the sample and makes the sample browser's records of it. Knows no page."""

import hashlib
from collections.abc import Sequence

from pipeline.report.funnel import Funnel
from pipeline.report.run_tables import RunTables
from pipeline.report.samples.choose import Chooser, Chosen
from pipeline.report.samples.pictures import pictures
from pipeline.report.samples.same_images import Identity, find_images
from pipeline.report.samples.unit_rows import rows_of
from pipeline.report.samples.views import View, view
from schemas.rows import Record, Row


class Sample(Record):
    """One image: what each run says of it (null: it does not have it), and the file of its picture, or why there is none."""

    id: int
    key: str
    path: str
    width: int | None
    height: int | None
    alt: str | None
    runs: list[View | None]
    picture: str | None
    missing: str | None


def draw_samples(counted: Sequence[tuple[RunTables, Funnel]], num: int) -> tuple[list[Sample], dict[str, bytes]]:
    """At most `num` images, as many from each run, and the picture files that they name."""
    choosers = [Chooser(run, funnel) for run, funnel in counted]
    drawn: dict[Identity, tuple[int, Chosen]] = {}  # with the number of the run that it was first drawn from
    for number, chooser in enumerate(choosers):
        for image in chooser.choose(num // len(choosers)):
            drawn.setdefault(image.identity, (number, image))
    images = [image for _, image in drawn.values()]
    views = [_views(chooser.run, find_images(chooser, images)) for chooser in choosers]
    looks: dict[Identity, bytes | str] = {}
    for number, chooser in enumerate(choosers):
        own = [image for origin, image in drawn.values() if origin == number]
        looks |= {image.identity: look for image, look in pictures(chooser.run, own)}
    samples = []
    for number, image in enumerate(images):
        own_views = [of_run.get(image.identity) for of_run in views]
        samples.append(_sample(number, image, own_views, looks[image.identity]))
    return samples, {_picture_path(identity): look for identity, look in looks.items() if isinstance(look, bytes)}


def _views(run: RunTables, chosen: dict[Identity, Chosen]) -> dict[Identity, View]:
    """Of each image found in the run what is to be shown of it; one unit's rows in memory at a time."""
    views: dict[Identity, View] = {}
    by_unit: dict[str, list[tuple[Identity, Chosen]]] = {}
    for identity, image in chosen.items():
        by_unit.setdefault(image.unit.id, []).append((identity, image))
    for members in by_unit.values():
        unit = members[0][1].unit
        rows = {stage: rows_of(run, stage, unit) for stage in run.stages}
        for identity, image in members:
            own: dict[str, Row] = {stage: table[image.position] for stage, table in rows.items() if table is not None}
            views[identity] = view(image.steps, own)
    return views


def _sample(number: int, image: Chosen, views: list[View | None], look: bytes | str) -> Sample:
    row = image.row
    return Sample(
        id=number,
        key=row.key,
        path=row.member or row.path.rsplit("/", 1)[-1],
        width=row.width,
        height=row.height,
        alt=row.alt,
        runs=views,
        picture=_picture_path(image.identity) if isinstance(look, bytes) else None,
        missing=look if isinstance(look, str) else None,
    )


def _picture_path(identity: Identity) -> str:
    return f"images/{hashlib.sha256('/'.join(identity).encode()).hexdigest()[:20]}.webp"
