"""Chooses the tokens of one batch for transformers' generate: each row has its own grammar, decoding and seed.

Knows tensors and xgrammar, no checkpoint and no request. The choice is forced on generate by a mask that leaves one
token, so that rows of one batch may differ in everything.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import xgrammar
from transformers.generation.logits_process import LogitsProcessor
from transformers.generation.stopping_criteria import StoppingCriteria

from stages.engines.base import Decoding


@dataclass
class RowState:
    """One row of a batch while it is decoded. `limit` is its own greatest number of tokens."""

    decoding: Decoding
    limit: int
    seed: int
    grammar: Any = None
    tokens: list[int] = field(default_factory=list)
    is_stopped: bool = False

    @property
    def is_closed(self) -> bool:
        return self.is_stopped or len(self.tokens) >= self.limit


class TokenChooser(LogitsProcessor):  # type: ignore[misc]  # mypy sees the base as Any
    """Masks by grammar, chooses by decoding, and remembers what it chose in `rows`."""

    def __init__(self, rows: Sequence[RowState], vocab_size: int, stop_ids: Sequence[int], pad_id: int) -> None:
        self.rows = rows
        self._stop_ids = frozenset(stop_ids)
        self._pad_id = pad_id
        self._matchers = [None if row.grammar is None else xgrammar.GrammarMatcher(row.grammar) for row in rows]
        self._generators = [torch.Generator().manual_seed(row.seed % 2**63) for row in rows]
        self._bitmask = xgrammar.allocate_token_bitmask(len(rows), vocab_size)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:  # the base's signature
        """Scores of shape (rows, vocabulary), -inf but for the one token each row has chosen."""
        logits = self._masked(scores).float()
        greedy = logits.argmax(dim=-1).tolist()
        forced = torch.full_like(scores, -torch.inf)
        for index, row in enumerate(self.rows):
            token = self._pad_id
            if not row.is_closed:
                token = greedy[index] if row.decoding.temperature <= 0 else self._sample(index, logits[index].cpu())
                self._take(index, token)
            forced[index, token] = 0
        return forced

    def _masked(self, scores: torch.Tensor) -> torch.Tensor:
        constrained = []
        for index, (row, matcher) in enumerate(zip(self.rows, self._matchers, strict=True)):
            if matcher is not None and not row.is_closed:
                matcher.fill_next_token_bitmask(self._bitmask, index)
                constrained.append(index)
        if not constrained:
            return scores
        masked = scores.float()
        xgrammar.apply_token_bitmask_inplace(masked, self._bitmask.to(scores.device), indices=constrained)
        return masked

    def _sample(self, index: int, logits: torch.Tensor) -> int:
        decoding = self.rows[index].decoding
        probabilities, order = torch.softmax(logits / decoding.temperature, dim=-1).sort(descending=True, stable=True)
        ahead = probabilities.cumsum(dim=-1) - probabilities
        probabilities = probabilities.masked_fill(ahead >= decoding.top_p, 0.0)
        return int(order[torch.multinomial(probabilities, 1, generator=self._generators[index])])

    def _take(self, index: int, token: int) -> None:
        row = self.rows[index]
        row.tokens.append(token)
        row.is_stopped = token in self._stop_ids
        matcher = self._matchers[index]
        if matcher is not None and not row.is_stopped:
            assert matcher.accept_token(token), "a token that the mask allowed was refused by its grammar"


class RowsClosed(StoppingCriteria):  # type: ignore[misc]  # mypy sees the base as Any
    """Ends each row where its chooser closed it."""

    def __init__(self, rows: Sequence[RowState]) -> None:
        self._rows = rows

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:  # the base's
        """Shape (rows,), true where the row is done."""
        return torch.tensor([row.is_closed for row in self._rows], device=input_ids.device)
