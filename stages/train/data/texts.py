"""Texts to tokens, and many texts of unequal length packed into few rows. Knows no images and no losses.

Axes: N texts, P rows (packs), L tokens a row.
"""

import itertools
from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch

_ROW_MULTIPLE = 8


@dataclass(frozen=True)
class PackedTexts:
    """Texts one behind the other in rows; each attends to itself alone and counts its positions from 0."""

    ids_PL: torch.Tensor
    positions_PL: torch.Tensor  # counted in the joint table: the short one, and the long one behind it
    segments_PL: torch.Tensor  # which text of the row a token belongs to; -1: padding
    ends_N: torch.Tensor  # place of each text's end token in the flattened rows, ascending
    is_long_N: torch.Tensor

    def __len__(self) -> int:
        return int(self.ends_N.shape[0])

    def to(self, device: torch.device) -> "PackedTexts":
        return PackedTexts(**{field.name: getattr(self, field.name).to(device, non_blocking=True) for field in fields(self)})

    def parts(self, num_parts: int) -> list["PackedTexts"]:
        """The same texts in at most that many groups of whole rows, in order."""
        num_rows, length = self.ids_PL.shape
        bounds = [num_rows * part // num_parts for part in range(num_parts + 1)]
        parts = []
        for first, last in itertools.pairwise(bounds):
            is_in_N = (self.ends_N >= first * length) & (self.ends_N < last * length)
            if first < last:
                rows = slice(first, last)
                ends_N = self.ends_N[is_in_N] - first * length
                parts.append(
                    PackedTexts(self.ids_PL[rows], self.positions_PL[rows], self.segments_PL[rows], ends_N, self.is_long_N[is_in_N])
                )
        return parts


class TextPacker:
    """Tokens of short texts (positions of the original table) and of long ones (positions of the stretched table)."""

    def __init__(self, tokenizer: Any, num_short_positions: int, num_long_positions: int) -> None:
        self._tokenizer = tokenizer
        self._limits = {False: num_short_positions, True: num_long_positions}
        self._end = tokenizer.eos_token_id

    def pack(self, texts: Sequence[tuple[bool, str]]) -> tuple[PackedTexts, list[int]]:
        """(is long, text) packed, and where each of the given texts went: indices into the packed order."""
        tokens = self._encode(texts)
        rows, length = _rows([len(ids) for ids in tokens])
        ids_PL = torch.full((len(rows), length), self._end, dtype=torch.long)
        positions_PL = torch.zeros((len(rows), length), dtype=torch.long)
        segments_PL = torch.full((len(rows), length), -1, dtype=torch.long)
        ends: list[int] = []
        places = [0] * len(texts)
        for row, members in enumerate(rows):
            at = 0
            for segment, number in enumerate(members):
                ids = tokens[number]
                first = self._limits[False] if texts[number][0] else 0
                span = slice(at, at + len(ids))
                ids_PL[row, span] = torch.tensor(ids)
                positions_PL[row, span] = torch.arange(first, first + len(ids))
                segments_PL[row, span] = segment
                at += len(ids)
                places[number] = len(ends)
                ends.append(row * length + at - 1)
        order = sorted(range(len(texts)), key=places.__getitem__)
        is_long_N = torch.tensor([texts[number][0] for number in order], dtype=torch.bool)
        return PackedTexts(ids_PL, positions_PL, segments_PL, torch.tensor(ends, dtype=torch.long), is_long_N), places

    def _encode(self, texts: Sequence[tuple[bool, str]]) -> list[list[int]]:
        """Token ids of each text, the first end token last: what stands behind it is never seen by the model."""
        encoded: list[list[int]] = [[] for _ in texts]
        for is_long, limit in self._limits.items():
            numbers = [number for number, (long, _) in enumerate(texts) if long == is_long]
            if numbers:
                found = self._tokenizer([texts[number][1] for number in numbers], truncation=True, max_length=limit)["input_ids"]
                for number, ids in zip(numbers, found, strict=True):
                    encoded[number] = self._ended(ids, limit)
        return encoded

    def _ended(self, ids: list[int], limit: int) -> list[int]:
        if self._end in ids:
            return ids[: ids.index(self._end) + 1]
        return [*ids[: limit - 1], self._end]


def _rows(lengths: Sequence[int]) -> tuple[list[list[int]], int]:
    """Members of each row, and the rows' length. Longest first, each into the fullest row that still has room."""
    if not lengths:
        return [], 0
    length = -(-max(lengths) // _ROW_MULTIPLE) * _ROW_MULTIPLE
    rows: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (tokens free, row), ascending
    for number in sorted(range(len(lengths)), key=lambda one: (-lengths[one], one)):
        at = bisect_left(room, (lengths[number], -1))
        if at == len(room):
            rows.append([])
            free, row = length, len(rows) - 1
        else:
            free, row = room.pop(at)
        rows[row].append(number)
        if free > lengths[number]:
            insort(room, (free - lengths[number], row))
    return rows, length
