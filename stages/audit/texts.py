"""Many texts in few bytes: marshalled in blocks, each text made as it is asked for. Knows no probe."""

import marshal
from collections.abc import Iterable, Iterator
from itertools import islice

_TEXTS_IN_BLOCK = 4096


class Texts:
    """Texts in order. As `str` objects each takes 49 bytes more, and they keep the memory of what lay between them from being freed."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._blocks: list[bytes] = []
        self._num = 0
        left = iter(texts)
        while block := list(islice(left, _TEXTS_IN_BLOCK)):
            self._blocks.append(marshal.dumps(block))
            self._num += len(block)

    def __len__(self) -> int:
        return self._num

    def __iter__(self) -> Iterator[str]:
        for block in self.blocks():
            yield from block

    def blocks(self) -> Iterator[list[str]]:
        """The texts in runs."""
        for block in self._blocks:
            yield marshal.loads(block)  # noqa: S302  # packed here
