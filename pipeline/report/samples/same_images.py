"""Finds images of one run in another: by the corpus's key and the digest of the bytes, whatever unit or workdir they are in."""

from collections.abc import Sequence

import pyarrow.parquet as pq

from pipeline.corpus.index import Unit
from pipeline.corpus.update import index_path
from pipeline.report.run_tables import RunTables
from pipeline.report.samples.choose import Chooser, Chosen

Identity = tuple[str, str]


def find_images(chooser: Chooser, images: Sequence[Chosen]) -> dict[Identity, Chosen]:
    """The run's own view of each image, for those that it has."""
    wanted = {image.identity: image for image in images}
    units = _units(chooser.run)
    chosen = _found_in(chooser, [units[name] for name in dict.fromkeys(image.unit.id for image in images) if name in units], wanted)
    missing = wanted.keys() - chosen.keys()
    if missing:
        chosen |= _found_in(chooser, _units_with(chooser.run, missing), {identity: wanted[identity] for identity in missing})
    return chosen


def _found_in(chooser: Chooser, units: Sequence[Unit], wanted: dict[Identity, Chosen]) -> dict[Identity, Chosen]:
    return {image.identity: image for unit in units for image in chooser.unit(unit) if image.identity in wanted}


def _units(run: RunTables) -> dict[str, Unit]:
    return {unit.id: unit for item in run.state.items(run.stages[0]) for unit in item.units}


def _units_with(run: RunTables, wanted: set[Identity]) -> list[Unit]:
    """Units that hold one of these; two columns of each shard's index are read, a shard at a time."""
    by_shard: dict[str, list[Unit]] = {}
    for unit in _units(run).values():
        by_shard.setdefault(unit.shard_id, []).append(unit)
    holders = []
    for shard_id, units in by_shard.items():
        with run.workdir.open(index_path(shard_id)) as file:
            index = pq.ParquetFile(file).read(columns=["key", "sha256"])
        pairs = zip(index.column("key").to_pylist(), index.column("sha256").to_pylist(), strict=True)
        places = [place for place, (key, digest) in enumerate(pairs) if (key, digest or "") in wanted]
        holders += [unit for unit in units if any(unit.first_row <= place < unit.first_row + unit.num_rows for place in places)]
    return holders
