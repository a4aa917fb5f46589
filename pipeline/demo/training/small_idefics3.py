"""The shape that the captioner and the judge share: a SmolVLM of 128 wide towers. Knows no weights and no words."""

from typing import NamedTuple

from transformers import Idefics3Config, PreTrainedTokenizerFast

from pipeline.demo.training.vocabulary import END, IMAGE

WIDTH = 128


class TextTower(NamedTuple):
    """What differs between the two beside their sides: layers, width inside a layer, longest text in tokens."""

    num_layers: int
    inner_width: int
    max_tokens: int


def small_idefics3(
    tokenizer: PreTrainedTokenizerFast, *, side_px: int, patch_px: int, scale_factor: int, text: TextTower
) -> Idefics3Config:
    """A configuration of 4 vision layers and this text tower; `scale_factor` squared patches become one token."""
    special = {"pad_token_id": tokenizer.pad_token_id, "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.vocab[END]}
    return Idefics3Config(
        scale_factor=scale_factor,
        image_token_id=tokenizer.vocab[IMAGE],
        tie_word_embeddings=True,
        vision_config={
            "hidden_size": WIDTH,
            "intermediate_size": 2 * WIDTH,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "image_size": side_px,
            "patch_size": patch_px,
        },
        text_config={
            "model_type": "llama",
            "vocab_size": len(tokenizer),
            "hidden_size": WIDTH,
            "intermediate_size": text.inner_width,
            "num_hidden_layers": text.num_layers,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "max_position_embeddings": text.max_tokens,
            "tie_word_embeddings": True,
            **special,
        },
        **special,
    )
