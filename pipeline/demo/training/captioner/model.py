"""The captioner as Hugging Face objects: its configuration, its processor, and how they are written.

Knows shapes and file formats; knows neither the world nor how it is trained.
"""

import json
from pathlib import Path

from transformers import GenerationConfig, Idefics3Config, Idefics3ForConditionalGeneration, Idefics3Processor, PreTrainedTokenizerFast
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

from pipeline.demo.training.captioner.data import GRID
from pipeline.demo.training.captioner.eye import PATCH_PX, see_neighbours
from pipeline.demo.training.small_idefics3 import WIDTH, TextTower, small_idefics3
from pipeline.demo.training.vocabulary import CHAT_TEMPLATE
from pipeline.demo.world import SIDE_PX

SCALE_FACTOR = 4
NUM_IMAGE_TOKENS = GRID**2


def captioner_config(tokenizer: PreTrainedTokenizerFast) -> Idefics3Config:
    """1.8 M parameters: 784 patches of 8 px, 4 x 128 vision and 4 x 128 text layers, 49 image tokens."""
    return small_idefics3(tokenizer, side_px=SIDE_PX, patch_px=PATCH_PX, scale_factor=SCALE_FACTOR, text=TextTower(4, 3 * WIDTH, 1024))


def new_captioner(tokenizer: PreTrainedTokenizerFast) -> Idefics3ForConditionalGeneration:
    """A captioner from scratch, its vision tower begun as an eye."""
    model = Idefics3ForConditionalGeneration(captioner_config(tokenizer))
    see_neighbours(model.model.vision_model)
    return model


def new_processor(tokenizer: PreTrainedTokenizerFast) -> Idefics3Processor:
    """Squares an image to 224 px, never splits it, and spells it as 49 image tokens."""
    images = Idefics3ImageProcessorPil(size={"longest_edge": SIDE_PX}, max_image_size={"longest_edge": SIDE_PX}, do_image_splitting=False)
    return Idefics3Processor(images, tokenizer, image_seq_len=NUM_IMAGE_TOKENS, chat_template=CHAT_TEMPLATE)


def export(model: Idefics3ForConditionalGeneration, processor: Idefics3Processor, folder: Path) -> None:
    """Writes the plain fp32 checkpoint with processor, chat template and greedy generation settings."""
    tokenizer = processor.tokenizer
    model.generation_config = GenerationConfig(
        do_sample=False,
        max_new_tokens=256,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    forget_paths(folder)


def forget_paths(folder: Path) -> None:
    """Drops the fields in which the library records where it loaded from."""
    for file in folder.glob("*.json"):
        value = json.loads(file.read_text())
        if isinstance(value, dict) and value.pop("_name_or_path", None) is not None:
            file.write_text(json.dumps(value, indent=2) + "\n")
