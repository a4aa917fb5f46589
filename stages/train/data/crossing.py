"""How a batch crosses from the process that made it to the one that trains. Knows no fields."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any, ClassVar

import numpy as np
import torch


class SentInline:
    """Base of dataclasses of tensors on the CPU. Their numbers are pickled into the message; the fields in `shared` go as torch sends them.

    By itself torch gives each tensor that it sends a file in shared memory, which costs more than the numbers of most of them.
    """

    shared: ClassVar[frozenset[str]] = frozenset()

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        content = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]  # a dataclass inherits
        arrays = {name: value.numpy() for name, value in content.items() if isinstance(value, torch.Tensor) and name not in self.shared}
        return _received, (type(self), content | arrays)


def _received(kind: type, content: dict[str, Any]) -> Any:
    return kind(**{name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value for name, value in content.items()})
