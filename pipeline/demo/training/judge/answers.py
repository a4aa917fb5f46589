"""What the judge learns from one batch: what its eye sees, and the loss of its answers.

Knows the model and the data; knows no schedule and no files. Axes: B crops, Q questions, T image tokens, L text positions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import Idefics3ForConditionalGeneration, PreTrainedTokenizerFast

from pipeline.demo.training.captioner.eye import Eye, pixels_of
from pipeline.demo.training.judge.data import ANSWERS, VALUES, Asked, Choice, Crop, Question, answer_text
from pipeline.demo.training.judge.model import NUM_IMAGE_TOKENS, READERS
from pipeline.demo.training.vocabulary import END, FAKE, GLOBAL, IGNORED, IMAGE, prompt_text

_SPELT_IMAGE = f"{FAKE}{GLOBAL}{IMAGE * NUM_IMAGE_TOKENS}{FAKE}"
VERDICT_SHARE = 0.7  # of the answer's loss, on the one token that is not always the same
VALUE_SHARE = 0.5


@dataclass(frozen=True)
class Seen:
    """Loss of the readers, and the share that each has right."""

    loss: Tensor
    accuracies: dict[str, float]


def see(eye: Eye, crops: list[Crop]) -> Tensor:
    """(B, T, D) image tokens."""
    pixels = pixels_of([crop.pixels for crop in crops])
    num_patches = eye.vision.embeddings.position_embedding.weight.shape[0]
    return eye.tokens(pixels, torch.arange(num_patches).expand(len(crops), -1))


def read(eye: Eye, tokens_BTD: Tensor, crops: list[Crop]) -> Seen:
    """Cross-entropy of each slot on the mean token, where there is a toy, half of it for each of two values; of toy or none everywhere.

    Right is what names one of a toy's values.
    """
    features_BD = eye.norm(tokens_BTD.float().mean(1))
    there = torch.tensor([crop.toy is not None for crop in crops])
    losses, accuracies = [], {}
    for slot, reader in eye.readers.items():
        chosen = torch.ones_like(there) if slot == "present" else there
        shares = torch.stack([_shares(crop, slot) for crop in crops])[chosen]
        logits = reader(features_BD[chosen])
        losses.append(nn.functional.cross_entropy(logits, shares))
        accuracies[slot] = (shares[torch.arange(len(shares)), logits.argmax(-1)] > 0).float().mean().item()
    return Seen(torch.stack(losses).sum(), accuracies)


def _shares(crop: Crop, slot: str) -> Tensor:
    words = READERS[slot]
    own = ("no" if crop.toy is None else "yes",) if slot == "present" else crop.toy.values(slot) if crop.toy is not None else ()
    return torch.tensor([1 / len(own) if word in own else 0.0 for word in words])


@dataclass(frozen=True)
class Spelt:
    """Ids, and labels of the answers and of what in them is not always the same. (Q) positions whose next tokens are the verdict
    and the value, and where a value that is asked about is true."""

    ids_QL: Tensor
    labels_QL: Tensor
    telling_QL: Tensor
    forks_Q: Tensor
    values_Q: Tensor
    is_true_Q: Tensor


class Speller:
    """Ids of prompts and answers; each distinct text is tokenised once."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer
        self._known: dict[str, list[int]] = {}
        self._pad = tokenizer.pad_token_id
        self._question_mark = tokenizer.vocab["?"]
        rows = [self._ids(answer_text(answer) + END) for answer in ANSWERS]
        self.fork = next(place for place, ids in enumerate(zip(*rows, strict=False)) if len(set(ids)) > 1)
        self.verdict_ids = torch.tensor([row[self.fork] for row in rows])

    def spell(self, questions: Sequence[Asked]) -> "Spelt":
        """The questions with their answers, padded on the right. A choice tells with all that follows its first bracket."""
        prompts = [self._ids(prompt_text(question.text, True).replace(IMAGE, _SPELT_IMAGE)) for question in questions]
        answers = [self._ids(question.written_answer + END) for question in questions]
        width = max(len(prompt) + len(answer) for prompt, answer in zip(prompts, answers, strict=True))
        ids_QL = torch.full((len(questions), width), self._pad)
        labels_QL, telling_QL = torch.full_like(ids_QL, IGNORED), torch.full_like(ids_QL, IGNORED)
        for place, (question, prompt, answer) in enumerate(zip(questions, prompts, answers, strict=True)):
            first, end = len(prompt), len(prompt) + len(answer)
            ids_QL[place, :end] = torch.tensor(prompt + answer)
            labels_QL[place, first:end] = ids_QL[place, first:end]
            fork, last = first + self.fork, end if isinstance(question, Choice) else first + self.fork + 1
            telling_QL[place, fork:last] = ids_QL[place, fork:last]
        forks_Q = torch.tensor([len(prompt) + self.fork - 1 for prompt in prompts])
        values_Q = torch.tensor([prompt.index(self._question_mark) - 2 for prompt in prompts])
        is_true_Q = torch.tensor([isinstance(question, Question) and question.answer == "yes" for question in questions])
        return Spelt(ids_QL, labels_QL, telling_QL, forks_Q, values_Q, is_true_Q)

    def _ids(self, text: str) -> list[int]:
        if text not in self._known:
            self._known[text] = list(self._tokenizer(text)["input_ids"])
        return self._known[text]


@dataclass(frozen=True)
class Answered:
    """Loss of the answers, its parts, (Q, 3) logits of yes, no and cannot_tell where the answer forks, and (Q) whether each answer
    would be written as it should be."""

    loss: Tensor
    verdict: float
    value: float
    logits_Q3: Tensor
    is_right_Q: Tensor


def tell(model: Idefics3ForConditionalGeneration, speller: Speller, tokens_BTD: Tensor, questions: Sequence[Sequence[Asked]]) -> Answered:
    """Teacher-forced answers to each crop's questions; the crop was encoded once.

    A true value is to be expected before it is read: without that the answers stay at the base rate for long, for
    nothing else makes the text model look for the value that it compares.
    """
    owners = torch.tensor([place for place, asked in enumerate(questions) for _ in asked])
    spelt = speller.spell([question for asked in questions for question in asked])
    ids_QL = spelt.ids_QL
    embedded = model.model.inputs_merger(ids_QL, model.get_input_embeddings()(ids_QL), tokens_BTD[owners])
    hidden_QLD = model.model.text_model(inputs_embeds=embedded, use_cache=False).last_hidden_state
    rows = torch.arange(len(ids_QL))
    wanted, telling = spelt.labels_QL[:, 1:], spelt.telling_QL[:, 1:]
    told_QLD = hidden_QLD[:, :-1]
    verdict_logits = model.lm_head(told_QLD[telling != IGNORED]).float()
    verdict = nn.functional.cross_entropy(verdict_logits, telling[telling != IGNORED])
    every = nn.functional.cross_entropy(model.lm_head(told_QLD[wanted != IGNORED]).float(), wanted[wanted != IGNORED])
    true, before = rows[spelt.is_true_Q], spelt.values_Q[spelt.is_true_Q]
    value = nn.functional.cross_entropy(model.lm_head(hidden_QLD[true, before]).float(), ids_QL[true, before + 1])
    loss = VERDICT_SHARE * verdict + (1 - VERDICT_SHARE) * every + VALUE_SHARE * value
    is_right = torch.ones(telling.shape, dtype=torch.bool)
    is_right[telling != IGNORED] = verdict_logits.argmax(-1) == telling[telling != IGNORED]
    fork_logits = model.lm_head(hidden_QLD[rows, spelt.forks_Q]).float()
    return Answered(loss, verdict.item(), value.item(), fork_logits[:, speller.verdict_ids], is_right.all(1))


assert set(VALUES) < set(READERS)
