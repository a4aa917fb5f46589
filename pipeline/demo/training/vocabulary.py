"""The demo's words: prompts, answers and the byte-level tokenizer that the captioner and the writer share.

Knows the world's texts; knows no model and no pixels.
"""

import json
import random
from collections.abc import Iterable, Iterator

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from pipeline.demo.world import COLOURS, MATERIALS, NOUNS, PATTERNS, SIZES_PX, Scene, Toy, scene

VOCABULARY_SIZE = 640
IGNORED = -100  # a label that no loss is taken of, as transformers and torch have it
START, PAD, UNKNOWN, END = "<|im_start|>", "<pad>", "<unk>", "<end_of_utterance>"
IMAGE, FAKE, GLOBAL = "<image>", "<fake_token_around_image>", "<global-img>"
SPECIALS = ["<|endoftext|>", START, PAD, UNKNOWN, END, IMAGE, FAKE, GLOBAL]
TILES = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
WHOLE_PROMPT = "Describe the image."
# SmolVLM's template; a plain string is accepted as content too.
CHAT_TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}"
    "{% if message['content'] is string %}{{ ': ' + message['content'] }}{% else %}"
    "{% if message['content'][0]['type'] == 'image' %}{{ ':' }}{% else %}{{ ': ' }}{% endif %}"
    "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{ line['text'] }}"
    "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}{% endif %}"
    "<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)


def region_prompt(noun: str) -> str:
    return f"Describe the {noun}."


def whole_answer(truth: Scene) -> str:
    return json.dumps({"long": truth.long_caption, "short": truth.short_caption})


def region_answer(toy: Toy) -> str:
    attributes = [{"type": slot, "value": getattr(toy, slot)} for slot in ("colour", "pattern", "material")]
    return json.dumps({"short": toy.expression, "long": toy.long_expression, "attributes": attributes})


def edit_prompt(phrase: str) -> str:
    return f"Edit: {phrase}"


def phrase_words(phrase: str) -> dict[str, str]:
    """The slot words of "a red striped metal car" or "a large red striped metal car"."""
    colour, pattern, material, noun = phrase.split()[-4:]
    return {"colour": colour, "pattern": pattern, "material": material, "object": noun}


def edit_answer(phrase: str) -> str:
    """The 14 one-word edits, slot by slot; within a slot in cyclic order after the phrase's own word."""
    own = phrase_words(phrase)
    edits = []
    for slot, words in (("colour", COLOURS), ("pattern", PATTERNS), ("material", MATERIALS), ("object", NOUNS)):
        first = words.index(own[slot])
        for word in words[first + 1 :] + words[:first]:
            text = " ".join(word if old == own[slot] else old for old in phrase.split())
            edits.append({"type": slot, "old": own[slot], "new": word, "text": text})
    return json.dumps({"edits": edits})


def phrases() -> list[str]:
    """Each expression of the world, plain and with each size word."""
    sizes = ("", *(f"{size} " for size in SIZES_PX))
    return [
        f"a {size}{colour} {pattern} {material} {noun}"
        for size in sizes
        for colour in COLOURS
        for pattern in PATTERNS
        for material in MATERIALS
        for noun in NOUNS
    ]


def _texts(num_scenes: int = 1200) -> Iterator[str]:
    for index in range(num_scenes):
        truth = scene(index % 900, index)
        yield f"User: {WHOLE_PROMPT}\nAssistant:{whole_answer(truth)}"
        yield f"User: {region_prompt(truth.toys[0].noun)}\nAssistant:{region_answer(truth.toys[0])}"
    for phrase in random.Random(0).sample(phrases(), 120):
        yield f"User: {edit_prompt(phrase)}\nAssistant:{edit_answer(phrase)}"


def train_tokenizer(texts: Iterable[str] | None = None) -> PreTrainedTokenizerFast:
    """A byte-level BPE in which every frequent word of the texts (the demo's own) is one token and any other text still encodes."""
    tokenizer = Tokenizer(models.BPE(unk_token=None))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=[*SPECIALS, *TILES],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts() if texts is None else texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=START,
        eos_token=END,
        pad_token=PAD,
        unk_token=UNKNOWN,
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )


def prompt_text(user_text: str, with_image: bool) -> str:
    """The prompt as the chat template renders it, one <image> for the image."""
    return f"{START}User:{IMAGE if with_image else ' '}{user_text}{END}\nAssistant:"
