"""What the judge learns from one batch: what its eye sees, and the loss of its answers.

Knows the model and the data; knows no schedule and no files. Axes: B crops, Q questions, T image tokens, L text positions.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import Idefics3ForConditionalGeneration, PreTrainedTokenizerFast

from pipeline.demo.training.captioner.eye import Eye, pixels_of
from pipeline.demo.training.judge.data import ANSWERS, VALUES, Crop, Question, answer_text
from pipeline.demo.training.judge.model import NUM_IMAGE_TOKENS, READERS
from pipeline.demo.training.vocabulary import END, FAKE, GLOBAL, IMAGE, prompt_text

IGNORED = -100
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
    """Cross-entropy of each slot on the mean token, where there is a toy; of toy or none everywhere."""
    features_BD = eye.norm(tokens_BTD.float().mean(1))
    is_toy = torch.tensor([crop.toy is not None for crop in crops])
    losses, accuracies = [], {}
    for slot, reader in eye.readers.items():
        wanted = is_toy.long() if slot == "present" else torch.tensor([_label(crop, slot) for crop in crops])
        logits = reader(features_BD)
        losses.append(nn.functional.cross_entropy(logits, wanted, ignore_index=IGNORED))
        chosen = wanted != IGNORED
        accuracies[slot] = (logits.argmax(-1) == wanted)[chosen].float().mean().item()
    return Seen(torch.stack(losses).sum(), accuracies)


def _label(crop: Crop, slot: str) -> int:
    if crop.toy is None:
        return IGNORED
    return READERS[slot].index(crop.toy.noun if slot == "object" else getattr(crop.toy, slot))


@dataclass(frozen=True)
class Spelt:
    """Ids and labels; the positions (Q) whose next tokens are the verdict and the value; and where the value is true."""

    ids_QL: Tensor
    labels_QL: Tensor
    forks_Q: Tensor
    values_Q: Tensor
    is_true_Q: Tensor


class Speller:
    """Ids of prompts and answers; each distinct question is tokenised once."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer
        self._prompts: dict[str, list[int]] = {}
        self._answers = {answer: list(tokenizer(answer_text(answer) + END)["input_ids"]) for answer in ANSWERS}
        self._pad = tokenizer.pad_token_id
        self._question_mark = tokenizer.vocab["?"]
        rows = list(self._answers.values())
        self.fork = next(place for place, ids in enumerate(zip(*rows, strict=False)) if len(set(ids)) > 1)
        self.verdict_ids = torch.tensor([row[self.fork] for row in rows])

    def spell(self, questions: list[Question]) -> "Spelt":
        """The questions with their answers, padded on the right."""
        rows, lengths, values = [], [], []
        for question in questions:
            prompt = self._prompt(question.text)
            rows.append(prompt + self._answers[question.answer])
            lengths.append(len(prompt))
            values.append(prompt.index(self._question_mark) - 2)
        width = max(len(row) for row in rows)
        ids_QL = torch.tensor([row + [self._pad] * (width - len(row)) for row in rows])
        labels_QL = ids_QL.clone()
        for place, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            labels_QL[place, :length] = IGNORED
            labels_QL[place, len(row) :] = IGNORED
        is_true_Q = torch.tensor([question.answer == "yes" for question in questions])
        return Spelt(ids_QL, labels_QL, torch.tensor(lengths) + self.fork - 1, torch.tensor(values), is_true_Q)

    def _prompt(self, text: str) -> list[int]:
        if text not in self._prompts:
            spelt = prompt_text(text, True).replace(IMAGE, _SPELT_IMAGE)
            self._prompts[text] = list(self._tokenizer(spelt)["input_ids"])
        return self._prompts[text]


@dataclass(frozen=True)
class Told:
    """Loss of the answers, its parts, and (Q, 3) logits of yes, no and cannot_tell where the answer forks."""

    loss: Tensor
    verdict: float
    value: float
    logits_Q3: Tensor


def tell(model: Idefics3ForConditionalGeneration, speller: Speller, tokens_BTD: Tensor, questions: list[list[Question]]) -> Told:
    """Teacher-forced answers to each crop's questions; the crop was encoded once.

    A true value is to be expected before it is read: without that the answers stay at the base rate for long, for
    nothing else makes the text model look for the value that it compares.
    """
    owners = torch.tensor([place for place, asked in enumerate(questions) for _ in asked])
    spelt = speller.spell([question for asked in questions for question in asked])
    ids_QL, labels_QL = spelt.ids_QL, spelt.labels_QL
    embedded = model.model.inputs_merger(ids_QL, model.get_input_embeddings()(ids_QL), tokens_BTD[owners])
    hidden_QLD = model.model.text_model(inputs_embeds=embedded, use_cache=False).last_hidden_state
    rows = torch.arange(len(ids_QL))
    fork_logits = model.lm_head(hidden_QLD[rows, spelt.forks_Q]).float()
    verdict = nn.functional.cross_entropy(fork_logits, ids_QL[rows, spelt.forks_Q + 1])
    wanted = labels_QL[:, 1:] != IGNORED
    every = nn.functional.cross_entropy(model.lm_head(hidden_QLD[:, :-1][wanted]).float(), labels_QL[:, 1:][wanted])
    true, before = rows[spelt.is_true_Q], spelt.values_Q[spelt.is_true_Q]
    value = nn.functional.cross_entropy(model.lm_head(hidden_QLD[true, before]).float(), ids_QL[true, before + 1])
    loss = VERDICT_SHARE * verdict + (1 - VERDICT_SHARE) * every + VALUE_SHARE * value
    return Told(loss, verdict.item(), value.item(), fork_logits[:, speller.verdict_ids])


assert set(VALUES) < set(READERS)
