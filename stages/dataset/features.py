"""What the datasets library is told of the columns, so that it need not guess: part of the card's front matter. Pure."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from schemas.arrow import arrow_schema
from schemas.dataset import ExportRecord, ShardStats, TableRecord

_STRING = "string"


def loading(shards: Sequence[ShardStats]) -> dict[str, Any]:
    """`configs` and `dataset_info`: one way to load a set, because that library takes one file format for all of a folder.

    Its tars; its Parquet files where those hold the images too, or there are none.
    """
    suffixes = sorted({suffix for shard in shards for suffix in shard.suffixes})
    in_tables = not suffixes or all(shard.holds_images for shard in shards)
    if in_tables:
        name, files = "records", "[0-9]*.parquet"
        features = _struct(arrow_schema(TableRecord))
        features += [{"name": "image", "dtype": "image"}] if suffixes else []
    else:
        name, files = "images", "[0-9]*.tar"
        features = [{"name": suffix, "dtype": "image"} for suffix in suffixes]
        features.append({"name": "json", "struct": _struct(arrow_schema(ExportRecord))})
        features += [{"name": "txt", "dtype": _STRING}] if any(shard.text for shard in shards) else []
        features += [{"name": name, "dtype": _STRING} for name in ("__key__", "__url__")]
    return {
        "configs": [{"config_name": name, "default": True, "data_files": files}],
        "dataset_info": [{"config_name": name, "features": features}],
    }


def _struct(fields: Any) -> list[dict[str, Any]]:
    return [{"name": field.name, **_feature(field.type)} for field in fields]


def _feature(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_struct(kind):
        return {"struct": _struct(kind)}
    if not (pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind)):
        return {"dtype": "float64" if pa.types.is_float64(kind) else str(kind)}
    inner = _feature(kind.value_type)
    length = {"length": kind.list_size} if pa.types.is_fixed_size_list(kind) else {}
    return {"list": inner.get("struct") or inner["dtype"], **length}
