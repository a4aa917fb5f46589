"""What differs between the families of detectors: how phrases become a prompt, and a model's logits scores. Knows no images' files."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from PIL import Image

_OWL_TEXT_TOKENS = 16


@dataclass(frozen=True)
class Pass:
    """Part of one request's phrases: what fits into one prompt. `tokens` are each phrase's ids without separators."""

    request: int
    phrases: tuple[int, ...]
    tokens: tuple[tuple[int, ...], ...]


class Head(Protocol):
    """One family over its model and tokenizer."""

    max_tokens: int
    tokens_a_phrase: int

    def phrase_ids(self, phrase: str) -> tuple[int, ...]: ...

    def forward(self, images: Any, batch: Sequence[Pass]) -> tuple[Any, Any]:
        """On the model's device: boxes (rows, queries, 4) as centre and size, and chances 0..1 (rows, queries, columns)."""
        ...

    def scores(self, batched: Pass, chances: Any) -> tuple[Any, Any]:
        """Of one pass mean and maximum scores (queries, phrases), from its row of the chances, on the host."""
        ...

    def frame(self, image: Image.Image) -> tuple[int, int]:
        """Width and height in pixels of what boxes are shares of."""
        ...


class Dino:
    """One prompt "a . b ." a row; a phrase's score is the mean over its own tokens of the sigmoid (span mode)."""

    def __init__(self, model: Any, tokenizer: Any, device: Any) -> None:
        self._model, self._tokenizer, self._device = model, tokenizer, device
        config = model.config
        self.max_tokens = min(config.max_text_len, config.text_config.max_position_embeddings) - 2
        self.tokens_a_phrase = self.max_tokens - 1
        self._dot = int(tokenizer.convert_tokens_to_ids("."))

    def phrase_ids(self, phrase: str) -> tuple[int, ...]:
        """Full stops and question marks separate phrases in this model, so that they may not stand inside one."""
        plain = phrase.lower().replace(".", " ").replace("?", " ")
        return tuple(self._tokenizer(plain, add_special_tokens=False)["input_ids"])

    def forward(self, images: Any, batch: Sequence[Pass]) -> tuple[Any, Any]:
        import torch

        prompts = [self._prompt(batched) for batched in batch]
        longest = max(len(prompt) for prompt in prompts)
        ids = torch.zeros((len(batch), longest), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, : len(prompt)] = torch.tensor(prompt)
            mask[row, : len(prompt)] = 1
        text = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
        output = self._model(**images, **{name: value.to(self._device) for name, value in text.items()})
        return output.pred_boxes, output.logits.float().sigmoid()

    def scores(self, batched: Pass, chances: Any) -> tuple[Any, Any]:
        import torch

        parts = [chances[:, first:last] for first, last in _spans(batched)]
        return torch.stack([part.mean(dim=1) for part in parts], 1), torch.stack([part.amax(dim=1) for part in parts], 1)

    def frame(self, image: Image.Image) -> tuple[int, int]:
        return image.size

    def _prompt(self, batched: Pass) -> list[int]:
        ids = [int(self._tokenizer.cls_token_id)]
        for tokens in batched.tokens:
            ids += [*tokens, self._dot]
        return [*ids, int(self._tokenizer.sep_token_id)]


class Owl:
    """One text query a phrase; mean and maximum are the same score. OWLv2 pads images to squares, OWL-ViT does not."""

    def __init__(self, model: Any, tokenizer: Any, device: Any) -> None:
        self._model, self._tokenizer, self._device = model, tokenizer, device
        self.max_tokens = 2**31
        self.tokens_a_phrase = min(_OWL_TEXT_TOKENS, model.config.text_config.max_position_embeddings) - 2

    def phrase_ids(self, phrase: str) -> tuple[int, ...]:
        return tuple(self._tokenizer(phrase.lower(), add_special_tokens=False)["input_ids"])

    def forward(self, images: Any, batch: Sequence[Pass]) -> tuple[Any, Any]:
        import torch

        most = max(len(batched.phrases) for batched in batch)
        length = self.tokens_a_phrase + 2
        ids = torch.zeros((len(batch), most, length), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, batched in enumerate(batch):
            for column, tokens in enumerate(batched.tokens):
                query = [int(self._tokenizer.bos_token_id), *tokens, int(self._tokenizer.eos_token_id)]
                ids[row, column, : len(query)] = torch.tensor(query)
                mask[row, column, : len(query)] = 1
        text = {"input_ids": ids.flatten(0, 1), "attention_mask": mask.flatten(0, 1)}
        output = self._model(**images, **{name: value.to(self._device) for name, value in text.items()})
        return output.pred_boxes, output.logits.float().sigmoid()

    def scores(self, batched: Pass, chances: Any) -> tuple[Any, Any]:
        own = chances[:, : len(batched.phrases)]
        return own, own

    def frame(self, image: Image.Image) -> tuple[int, int]:
        side = max(image.size)
        return (side, side) if self._model.config.model_type == "owlv2" else image.size


HEADS: dict[str, type[Dino] | type[Owl]] = {"grounding-dino": Dino, "mm-grounding-dino": Dino, "owlv2": Owl, "owlvit": Owl}


def _spans(batched: Pass) -> list[tuple[int, int]]:
    """Each phrase's first and last position (exclusive) in the prompt: after [CLS], a separator after each."""
    spans, first = [], 1
    for tokens in batched.tokens:
        spans.append((first, first + len(tokens)))
        first += len(tokens) + 1
    return spans
