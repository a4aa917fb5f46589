"""What the bench asks about: tars of large JPEGs, a checkpoint that renders as large ones do, prompts with answers of one length."""

import io
import multiprocessing
import random
import tarfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from prompts.loader import Prompt, load_prompt
from tests.support.tiny_models import IDEFICS_CHAT, IDEFICS_SPECIAL, byte_bpe

SIZE = (1024, 768)
_WORDS = "lamp house river table green white small large stone glass paper round metal wooden window garden road bird child boat".split()


def write_tars(folder: Path, num_parts: int, num_images: int) -> list[Path]:
    """One tar a part, no two images are alike."""
    paths = []
    for part in range(num_parts):
        paths.append(folder / f"{part:05d}.tar")
        if paths[-1].exists():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        seeds = range(part * num_images, (part + 1) * num_images)
        with tarfile.open(paths[-1], "w") as tar, ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
            for number, content in enumerate(map(jpeg, seeds) if num_images < 64 else pool.map(jpeg, seeds, chunksize=8)):
                member = tarfile.TarInfo(f"{part:03d}_{number:05d}.jpg")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return paths


def jpeg(seed: int) -> bytes:
    """A smooth picture with a little noise, about 150 KB."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (SIZE[1] // 32, SIZE[0] // 32, 3), dtype=np.uint8)).resize(SIZE, Image.Resampling.BICUBIC)
    noisy = np.asarray(coarse).astype(np.int16) + rng.integers(-8, 9, (SIZE[1], SIZE[0], 3), dtype=np.int16)
    buffer = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def save_model(folder: Path) -> Path:
    """A random Idefics3 whose processor cuts an image into 364 px tiles (13 of 1024 x 768: 5 million values), and whose network is tiny."""
    if (folder / "config.json").exists():
        return folder
    import torch
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration, Idefics3ImageProcessorPil, Idefics3Processor, LlamaConfig

    torch.manual_seed(0)
    tokenizer = _tokenizer()
    pixels = Idefics3ImageProcessorPil(do_image_splitting=True, size={"longest_edge": 1456}, max_image_size={"longest_edge": 364})
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 364}
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        tie_word_embeddings=False,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        initializer_range=0.3,
    )
    config = Idefics3Config(
        vision_config={**vision, "patch_size": 26, "initializer_range": 0.3},
        text_config=text.to_dict(),
        scale_factor=7,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=0,
    )
    Idefics3ForConditionalGeneration(config).to(torch.bfloat16).save_pretrained(folder)
    Idefics3Processor(pixels, tokenizer, image_seq_len=4, chat_template=IDEFICS_CHAT).save_pretrained(folder)
    return folder


def _tokenizer() -> Any:
    from transformers import PreTrainedTokenizerFast

    texts = [text for task in ("caption", "region_caption", "hard_negative") for text in prompt_texts(task)] + [" ".join(_WORDS)]
    tiles = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    return PreTrainedTokenizerFast(
        tokenizer_object=byte_bpe(texts, 2000, [*IDEFICS_SPECIAL, *tiles]),
        pad_token="<pad>",
        bos_token="<|im_start|>",
        eos_token="<end_of_utterance>",
        additional_special_tokens=[*IDEFICS_SPECIAL[3:], *tiles],
        model_max_length=4096,
    )


def prompt_texts(task: str) -> list[str]:
    prompt = load_prompt(task, "v1")
    return [prompt.system or "", prompt.user]


def bench_prompt(task: str, num_words: int) -> Prompt:
    """The task's own prompt, answered by one of a few texts of so many words: a model without weights would never end."""
    text = _sentences(num_words)
    answers: dict[str, Any] = {
        "caption": {"long": text, "short": _sentences(4)},
        "region_caption": {"short": {"enum": ["a red wooden thing", "a large blue thing", "a small round thing"]}, "long": text},
        "hard_negative": {"edits": {"type": "array", "minItems": 1, "maxItems": 1, "items": _object({"old": text, "new": _sentences(2)})}},
    }
    if task == "region_caption":
        answers[task]["attributes"] = {"type": "array", "maxItems": 0, "items": {"type": "string"}}
    return load_prompt(task, "v1").model_copy(update={"answer_schema": _object(answers[task])})


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _sentences(num_words: int) -> dict[str, Any]:
    rng = random.Random(num_words)
    return {"enum": [f"{first} " + " ".join(rng.choice(_WORDS) for _ in range(num_words - 1)) for first in _WORDS]}
