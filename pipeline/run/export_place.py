"""Whose the files at export_to are: an export never replaces what another tool wrote, and what an earlier one of ours left behind is told.

A place is taken by a mark, once, before its first shard. Knows the names of an export's files, and nothing of what is in them but whose
they are.
"""

import json
import logging
import re
import tarfile
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from pipeline.config.graph import Node
from pipeline.config.model import Config, ConfigError
from pipeline.ledger.state import State
from pipeline.storage import Storage
from schemas.check import Check
from schemas.dataset import shard_name

_log = logging.getLogger(__name__)
EXPORT_MARK = ".fgdata-export.json"
_SHARD_FILE = re.compile(r"(\d{5,})(\.tar|\.parquet|_stats\.json)")
_SET_FILES = ("manifest.json", "README.md")
_SET_FOLDERS = ("finehard", "coco")
_OWNER = "fgdata"  # of the members of our tars


def shard_nodes(config: Config, graph: Sequence[Node]) -> list[Node]:
    """The stages that write shards beside the ledger."""
    return [node for node in graph if node.scope == "shard" and config.export_to is not None]


def check_export_place(config: Config, graph: Sequence[Node]) -> Iterator[Check]:
    """Whether what an export would replace is all our own. Writes nothing."""
    if shard_nodes(config, graph):
        foreign = _foreign(Storage(str(config.export_to)))
        detail = (
            f"{config.export_to} holds {', '.join(foreign[:3])}{' and more' if len(foreign) > 3 else ''}, which no export of fgdata wrote"
        )
        yield Check(
            "export_to",
            not foreign,
            detail if foreign else str(config.export_to),
            "nothing of it is replaced: name an empty or a new folder",
        )


def take_export_place(config: Config, state: State) -> None:
    """Mark the place as an export's before its first shard.

    Raises: ConfigError where a file that would be replaced is not ours.
    """
    for node in shard_nodes(config, state.graph):
        target = Storage(str(config.export_to))
        pending = {shard_name(item.units[0].shard_number) for item, table in state.current_tables(node.name) if table is None}
        foreign = _foreign(target, pending)
        if foreign:
            raise ConfigError(f"export_to: {target.url(foreign[0])} is no file of ours: nothing is replaced; name an empty or a new folder")
        content = json.dumps({"written_by": "fgdata export", "format": 1}).encode()
        if target.write_if_absent(EXPORT_MARK, content) and target.write_if_absent(EXPORT_MARK, content):
            _log.warning("export_to: %s replaces what is there although asked not to: let no other run export to it meanwhile", target.root)


def settle_stale(config: Config, state: State) -> list[str]:
    """Remove the shards that this ledger exported and that are not of the corpus any more; the names of those of other ledgers.

    A shard of another ledger is left where it is: nobody here could write it again.
    """
    others = []
    for node in shard_nodes(config, state.graph):
        target = Storage(str(config.export_to))
        current = {shard_name(item.units[0].shard_number) for item in state.items(node.name)}
        stale = sorted(name for name in _shards(target) if name not in current)
        known = _labels(state, node.name) if stale else set()
        for name, stats in _statistics(target, stale).items():
            if stats is not None and stats.get("label") in known:
                _remove(target, name, stats)
            else:
                others.append(name)
    return others


def _foreign(target: Storage, pending: Collection[str] | None = None) -> list[str]:
    """Files with names of an export that none of ours wrote. Of a place taken those of shards alone that are still to be written."""
    names = {entry.path for entry in target.files()}
    shards = _shards(target, names)
    is_taken = EXPORT_MARK in names
    looked_at = sorted(shards if not is_taken else [name for name in shards if pending is not None and name in pending])
    foreign, has_ours = [], is_taken
    for name, stats in _statistics(target, looked_at).items():
        if stats is not None or (f"{name}_stats.json" not in names and _is_our_tar(target, f"{name}.tar", names)):
            has_ours = has_ours or stats is not None
        else:
            foreign += [f"{name}{suffix}" for suffix in (".tar", ".parquet", "_stats.json") if f"{name}{suffix}" in names]
    if not has_ours:
        foreign += [name for name in _SET_FILES if name in names]
        foreign += [f"{folder}/" for folder in target.folders() if folder in _SET_FOLDERS and target.walk(folder)]
    return foreign


def _shards(target: Storage, names: Collection[str] | None = None) -> set[str]:
    listed = names if names is not None else {entry.path for entry in target.files()}
    return {match[1] for name in listed if (match := _SHARD_FILE.fullmatch(name))}


def _statistics(target: Storage, shards: Sequence[str]) -> dict[str, dict[str, Any] | None]:
    """The statistics of shards that an export of ours wrote: they have a label. None of others, and where there are none."""
    statistics: dict[str, dict[str, Any] | None] = {}
    for name, content in zip(shards, target.read_many([f"{name}_stats.json" for name in shards]), strict=True):
        try:
            stats = json.loads(content or b"null")
        except ValueError:
            stats = None
        statistics[name] = stats if isinstance(stats, dict) and isinstance(stats.get("label"), str) and stats["label"] else None
    return statistics


def _is_our_tar(target: Storage, path: str, names: Collection[str]) -> bool:
    """Whether a tar without statistics is one that an interrupted export of ours left: its members are our owner's."""
    if path not in names:
        return False
    try:
        with target.open(path) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            first = tar.next()
    except tarfile.TarError:
        return False
    return first is None or first.uname == _OWNER


def _labels(state: State, stage: str) -> set[str]:
    """The labels of all shards that this ledger has written."""
    fingerprints = state.ledger.workdir.folders(stage)
    return {f"{fingerprint}.{table.inputs}" for fingerprint in fingerprints for table in state.ledger.all_tables(stage, fingerprint)}


def _remove(target: Storage, name: str, stats: dict[str, Any]) -> None:
    """All files of a shard, the statistics last, so that an interrupted removal is taken up again."""
    parts = [stats.get("tar"), stats.get("parquet"), stats.get("finehard"), *(stats.get("coco") or [])]
    paths = [part["path"] for part in parts if isinstance(part, dict) and isinstance(part.get("path"), str) and name in part["path"]]
    paths += [entry.path for entry in target.walk(f"finehard/images/{name}")]
    for path in [*paths, f"{name}_stats.json"]:
        if target.exists(path):
            target.delete(path)
