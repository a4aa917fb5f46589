"""The judge as Hugging Face objects: its configuration, its tokenizer, its processor, and its eye.

Knows shapes and file formats; knows no training. Its class is the captioner's, its weights and its words are its own.
"""

from itertools import pairwise
from pathlib import Path

import torch
from torch import nn
from transformers import Idefics3Config, Idefics3ForConditionalGeneration, Idefics3Processor, PreTrainedTokenizerFast
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

from pipeline.demo.training.captioner.eye import PATCH_PX, Eye, see_neighbours
from pipeline.demo.training.judge.data import ANSWERS, JUDGE_PX, ORDERS, VALUES, Choice, Question, answer_text
from pipeline.demo.training.small_idefics3 import WIDTH, TextTower, small_idefics3
from pipeline.demo.training.vocabulary import CHAT_TEMPLATE, train_tokenizer
from pipeline.demo.world import NOUNS

SCALE_FACTOR = 4
NUM_IMAGE_TOKENS = (JUDGE_PX // PATCH_PX // SCALE_FACTOR) ** 2
TEXT_LAYERS = 3
READERS = {"present": ("no", "yes"), **VALUES}


def judge_tokenizer() -> PreTrainedTokenizerFast:
    """Every word of the questions and answers is one token."""
    asked = [
        Question(kind, value, noun, order, "")
        for kind, words in VALUES.items()
        for value in words
        for noun in NOUNS
        for order in range(len(ORDERS))
    ]
    texts = [f"User: {question.text}\nAssistant:{answer_text(answer)}" for question in asked for answer in ANSWERS]
    chosen = [
        Choice(kind, options, noun, ticked)
        for kind, words in VALUES.items()
        for noun in NOUNS
        for options in (words, words[::-1])
        for ticked in ((), *((word,) for word in words), *(pair for pair in pairwise(words)))
    ]
    return train_tokenizer([*texts, *(f"User: {choice.text}\nAssistant:{choice.written_answer}" for choice in chosen)])


def judge_config(tokenizer: PreTrainedTokenizerFast) -> Idefics3Config:
    """1.3 M parameters: 64 patches of 8 px, 4 x 128 vision and 3 x 128 text layers, 4 image tokens."""
    return small_idefics3(
        tokenizer, side_px=JUDGE_PX, patch_px=PATCH_PX, scale_factor=SCALE_FACTOR, text=TextTower(TEXT_LAYERS, 2 * WIDTH, 256)
    )


def new_judge(tokenizer: PreTrainedTokenizerFast) -> Idefics3ForConditionalGeneration:
    """A judge from scratch; its vision tower starts as convolutions, as the captioner's did, from numbers of its own."""
    torch.manual_seed(7)
    model = Idefics3ForConditionalGeneration(judge_config(tokenizer))
    see_neighbours(model.model.vision_model)
    return model


def begin_from(model: Idefics3ForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, checkpoint: Path) -> None:
    """Takes over an earlier judge's weights; words that it did not know begin as the mean of those that it did."""
    earlier = Idefics3ForConditionalGeneration.from_pretrained(checkpoint)
    known = PreTrainedTokenizerFast.from_pretrained(checkpoint).get_vocab()
    words = model.get_input_embeddings().weight
    table = earlier.get_input_embeddings().weight
    mean = table.mean(0)
    with torch.no_grad():
        rows = [table[known[word]] if word in known else mean for word in sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)]
        kept = {name: value for name, value in earlier.state_dict().items() if value.shape != table.shape}
        model.load_state_dict(kept, strict=False)
        words.copy_(torch.stack(rows))


def new_eye(model: Idefics3ForConditionalGeneration) -> Eye:
    """The judge's eye with fresh readers: one linear layer a slot on the mean token."""
    readers = nn.ModuleDict({slot: nn.Linear(WIDTH, len(words)) for slot, words in READERS.items()})
    return Eye(model.model.vision_model, model.model.connector, nn.LayerNorm(WIDTH), readers)


def judge_processor(tokenizer: PreTrainedTokenizerFast) -> Idefics3Processor:
    """Squares a crop to 64 px, never splits it, and spells it as 4 image tokens."""
    images = Idefics3ImageProcessorPil(size={"longest_edge": JUDGE_PX}, max_image_size={"longest_edge": JUDGE_PX}, do_image_splitting=False)
    return Idefics3Processor(images, tokenizer, image_seq_len=NUM_IMAGE_TOKENS, chat_template=CHAT_TEMPLATE)
