"""Texts to tokens, and many texts of unequal length packed into few rows. Knows no images and no losses.

Axes: N texts, P rows (packs), L tokens a row.
"""

import itertools
from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from stages.train.data.crossing import SentInline

# Kinds of texts: short captions, long ones (positions of the stretched table), and what is said of a box.
SHORT, LONG, BOX = 0, 1, 2
_ROW_MULTIPLE = 8
# A row holds up to this many of the longest texts, within that many tokens, where less padding is left so.
_MOST_OF_LONGEST, _MOST_TOKENS = 5, 128


@dataclass(frozen=True)
class PackedTexts(SentInline):
    """Texts one behind the other in rows; each attends to itself alone and counts its positions from 0."""

    ids_PL: Int[Tensor, "P L"]
    positions_PL: Int[Tensor, "P L"]  # counted in the joint table: the short one, and the long one behind it
    segments_PL: Int[Tensor, "P L"]  # which text of the row a token belongs to; -1: padding
    ends_N: Int[Tensor, " N"]  # place of each text's last token in the flattened rows, ascending
    kind_N: Int[Tensor, " N"]
    is_cut_N: Bool[Tensor, " N"]  # whether it had more tokens than positions

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
                tokens = self.ids_PL[rows], self.positions_PL[rows], self.segments_PL[rows]
                ends_N = self.ends_N[is_in_N] - first * length
                parts.append(PackedTexts(*tokens, ends_N, self.kind_N[is_in_N], self.is_cut_N[is_in_N]))
        return parts


class TextPacker:
    """Tokens of short texts (positions of the original table) and of long ones (positions of the stretched table), as CLIP reads them:
    up to their end token. A box's text is a short text."""

    box_kind = SHORT

    def __init__(self, tokenizer: Any, num_short_positions: int, num_long_positions: int) -> None:
        self._tokenizer = tokenizer
        self._limits = {SHORT: num_short_positions, LONG: num_long_positions, BOX: num_short_positions}
        self._end = tokenizer.eos_token_id

    def normal(self, text: str) -> str:
        """The text as the family's tokenizer wants it."""
        return text

    def pack(self, texts: Sequence[tuple[int, str]]) -> tuple[PackedTexts, list[int]]:
        """(kind, text) packed, and where each of the given texts went: indices into the packed order."""
        tokens, is_cut = self._encode(texts)
        lengths = [len(ids) for ids in tokens]
        rows, length = _rows(lengths)
        order = [number for members in rows for number in members]
        counts = np.array([lengths[number] for number in order], np.int64)
        begins = np.array(_begins(rows, lengths, length), np.int64)
        ids_F = np.full(len(rows) * length, self._end, np.int64)
        positions_F, segments_F = np.zeros_like(ids_F), np.full_like(ids_F, -1)
        within = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
        where = np.repeat(begins, counts) + within
        shift = np.array([self._limits[SHORT] if texts[number][0] == LONG else 0 for number in order], np.int64)
        segment = np.array([turn for members in rows for turn in range(len(members))], np.int64)
        ids_F[where] = np.fromiter(itertools.chain.from_iterable(tokens[number] for number in order), np.int64, len(where))
        positions_F[where] = within + np.repeat(shift, counts)
        segments_F[where] = np.repeat(segment, counts)
        places = [0] * len(texts)
        for place, number in enumerate(order):
            places[number] = place
        ids_PL, positions_PL, segments_PL = (torch.from_numpy(flat.reshape(len(rows), length)) for flat in (ids_F, positions_F, segments_F))
        kind_N = torch.tensor([int(texts[number][0]) for number in order], dtype=torch.long)
        is_cut_N = torch.tensor([is_cut[number] for number in order], dtype=torch.bool)
        return PackedTexts(ids_PL, positions_PL, segments_PL, torch.from_numpy(begins + counts - 1), kind_N, is_cut_N), places

    def _encode(self, texts: Sequence[tuple[int, str]]) -> tuple[list[list[int]], list[bool]]:
        """Token ids of each text, and whether it was cut."""
        if not texts:
            return [], []
        token_ids = self._ids([self.normal(text) for _, text in texts])
        encoded, is_cut = [], []
        for (kind, text), ids in zip(texts, token_ids, strict=True):
            limit = self._limits[kind]
            is_over = len(ids) > limit
            encoded.append(self._fitted(self._cut(text, limit) if is_over else ids, limit))
            is_cut.append(is_over)
        return encoded, is_cut

    def _ids(self, texts: list[str]) -> list[list[int]]:
        """All tokens of each text. A fast tokenizer is asked for its ids alone, which takes half the time."""
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        if backend is None:
            whole: list[list[int]] = self._tokenizer(texts, truncation=False, max_length=None)["input_ids"]
            return whole
        backend.no_truncation()
        backend.no_padding()
        return [encoding.ids for encoding in backend.encode_batch_fast(texts)]

    def _cut(self, text: str, limit: int) -> list[int]:
        ids: list[int] = self._tokenizer([self.normal(text)], truncation=True, max_length=limit)["input_ids"][0]
        return ids

    def _fitted(self, ids: list[int], limit: int) -> list[int]:
        """The first end token last: what stands behind it is never seen by the model."""
        if self._end in ids:
            return ids[: ids.index(self._end) + 1]
        return [*ids[: limit - 1], self._end]


class PaddedPacker(TextPacker):
    """Texts as SigLIP reads them: in lower case, padded to all positions of their kind, the padding seen and the last token read."""

    box_kind = BOX

    def normal(self, text: str) -> str:
        return text.lower()

    def _fitted(self, ids: list[int], limit: int) -> list[int]:
        padding = [self._tokenizer.pad_token_id] * (limit - len(ids))
        return [*padding, *ids] if self._tokenizer.padding_side == "left" else [*ids, *padding]


def _begins(rows: Sequence[Sequence[int]], lengths: Sequence[int], length: int) -> list[int]:
    """Place of each text's first token in the flattened rows."""
    begins = []
    for row, members in enumerate(rows):
        at = row * length
        for number in members:
            begins.append(at)
            at += lengths[number]
    return begins


def _rows(lengths: Sequence[int]) -> tuple[list[list[int]], int]:
    """Members of each row, and the rows' length: of some lengths the one that leaves least padding, the shortest of equal ones."""
    if not lengths:
        return [], 0
    longest = max(lengths)
    most = max(1, min(_MOST_OF_LONGEST, _MOST_TOKENS // longest))
    options = [-(-longest * times // _ROW_MULTIPLE) * _ROW_MULTIPLE for times in range(1, most + 1)]
    packed = [(_filled(lengths, length), length) for length in options]
    return min(packed, key=lambda rows_and_length: len(rows_and_length[0]) * rows_and_length[1])


def _filled(lengths: Sequence[int], length: int) -> list[list[int]]:
    """Members of rows of that length. Longest first, each into the fullest row that still has room."""
    rows: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (tokens free, row), ascending
    for number in sorted(range(len(lengths)), key=lambda number: (-lengths[number], number)):
        at = bisect_left(room, (lengths[number], -1))
        if at == len(room):
            rows.append([])
            free, row = length, len(rows) - 1
        else:
            free, row = room.pop(at)
        rows[row].append(number)
        if free > lengths[number]:
            insort(room, (free - lengths[number], row))
    return rows
