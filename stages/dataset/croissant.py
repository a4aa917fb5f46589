"""The data set's Croissant metadata (mlcommons.org/croissant, 1.0): its files and the columns of its records. Pure."""

import json
from typing import Any

from schemas.dataset import Manifest, ShardStats

_VERSION = "http://mlcommons.org/croissant/1.0"
_CONTEXT = {
    "@language": "en", "@vocab": "https://schema.org/", "citeAs": "cr:citeAs", "column": "cr:column", "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/", "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"}, "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty", "samplingRate": "cr:samplingRate",
    "examples": {"@id": "cr:examples", "@type": "@json"}, "extract": "cr:extract", "field": "cr:field", "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty", "fileSet": "cr:fileSet", "format": "cr:format", "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset", "jsonPath": "cr:jsonPath", "key": "cr:key", "md5": "cr:md5", "parentField": "cr:parentField",
    "path": "cr:path", "rai": "http://mlcommons.org/croissant/RAI/", "recordSet": "cr:recordSet", "references": "cr:references",
    "regex": "cr:regex", "repeated": "cr:repeated", "replace": "cr:replace", "sc": "https://schema.org/", "separator": "cr:separator",
    "source": "cr:source", "subField": "cr:subField", "transform": "cr:transform",
}  # fmt: skip
_RECORDS, _TARS = "records", "tars"
_COLUMNS = {
    "key": ("sc:Text", "Name of the image in the tar, without suffix."),
    "source_key": ("sc:Text", "Name of the image in the corpus."),
    "source_url": ("sc:URL", "Where the image was found, as the corpus says."),
    "licence": ("sc:Text", "Of the image, as the corpus says."),
    "source_status": ("sc:Text", "What the corpus' field `status` says of the image."),
    "sha256": ("sc:Text", "Of the image's bytes."),
    "width": ("sc:Integer", "Pixels of the upright image."),
    "height": ("sc:Integer", "Pixels of the upright image."),
    "alt": ("sc:Text", "Alt text that came with the image."),
    "long": ("sc:Text", "Long caption."),
    "short": ("sc:Text", "Short caption."),
}
_REGION = {
    "xyxy": ("sc:Float", "Left, top, right and bottom in pixels of the upright image."),
    "head": ("sc:Text", "Head noun."),
    "phrase": ("sc:Text", "The words of the long caption that name the region."),
    "short": ("sc:Text", "Short expression: the positive of the negatives."),
    "long": ("sc:Text", "Long expression."),
}


def croissant(manifest: Manifest, shards: list[ShardStats], name: str, description: str) -> bytes:
    """The content of `croissant.json`."""
    licences = sorted({licence for shard in shards for licence in shard.licences} - {"unnamed"})
    content = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": _VERSION,
        "name": name,
        "description": description,
        "license": licences or "Of each image that of its source",
        "version": f"{manifest.format_version}.0.0",
        "distribution": [
            _files(_RECORDS, "[0-9]*.parquet", "application/x-parquet", "One row an image."),
            _files(_TARS, "[0-9]*.tar", "application/x-tar", "WebDataset: each image with its record."),
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "images",
                "name": "images",
                "description": "Images with their captions, regions and negatives.",
                "key": {"@id": "images/key"},
                "field": [*(_field(column, *about) for column, about in _COLUMNS.items()), _regions()],
            }
        ],
    }
    return f"{json.dumps(content, indent=1, ensure_ascii=False)}\n".encode()


def _files(identifier: str, pattern: str, encoding: str, description: str) -> dict[str, Any]:
    about = {"name": identifier, "description": description, "encodingFormat": encoding, "includes": pattern}
    return {"@type": "cr:FileSet", "@id": identifier, **about}


def _field(column: str, data_type: str, description: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"images/{column}",
        "name": column,
        "description": description,
        "dataType": data_type,
        "source": {"fileSet": {"@id": _RECORDS}, "extract": {"column": column}},
    }


def _regions() -> dict[str, Any]:
    inner = [
        {
            "@type": "cr:Field",
            "@id": f"images/regions/{name}",
            "name": name,
            "description": description,
            "dataType": data_type,
            "source": {"fileSet": {"@id": _RECORDS}, "extract": {"column": "regions"}, "transform": {"jsonPath": name}},
        }
        for name, (data_type, description) in _REGION.items()
    ]
    about = {"name": "regions", "description": "Regions with their expressions.", "repeated": True}
    return {"@type": "cr:Field", "@id": "images/regions", **about, "subField": inner}
