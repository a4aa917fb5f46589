"""fgdata from Python: `open` a configuration and run it, iterate a `dataset`. Everything else is loaded when it is asked for."""

import importlib

TYPE_CHECKING = False  # typing itself would take longer to import than all else here
if TYPE_CHECKING:
    from typing import Any

    from fgdata.datasets import Dataset as Dataset
    from fgdata.datasets import DatasetError as DatasetError
    from fgdata.datasets import Sample as Sample
    from fgdata.datasets import dataset as dataset
    from fgdata.runs import Run as Run
    from fgdata.runs import open as open
    from pipeline.config.model import ConfigError as ConfigError
    from pipeline.corpus.params import CorpusError as CorpusError
    from pipeline.given.source import GivenError as GivenError
    from pipeline.storage import StorageError as StorageError

__all__ = [
    "ConfigError",
    "CorpusError",
    "Dataset",
    "DatasetError",
    "GivenError",
    "Run",
    "Sample",
    "StorageError",
    "__version__",
    "dataset",
    "open",
]

_HOMES = {
    "Dataset": "fgdata.datasets",
    "DatasetError": "fgdata.datasets",
    "Sample": "fgdata.datasets",
    "dataset": "fgdata.datasets",
    "Run": "fgdata.runs",
    "open": "fgdata.runs",
    "ConfigError": "pipeline.config.model",
    "CorpusError": "pipeline.corpus.params",
    "GivenError": "pipeline.given.source",
    "StorageError": "pipeline.storage",
}


def __getattr__(name: str) -> "Any":
    if name == "__version__":
        from importlib.metadata import version

        return version("fgdata")
    if name not in _HOMES:
        raise AttributeError(f"module 'fgdata' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
