"""The ablation's small towers: a CLIP with drawn weights and a tokenizer of the demo's words. Measures nothing."""

import re
from pathlib import Path

from pipeline.demo.training.captioner.eye import see_neighbours
from pipeline.demo.world import scene

IMAGE_SIZE = 224


def save_towers(folder: Path, seed: int) -> Path:
    """A checkpoint that no training has touched: ViT of 196 patches, a text tower with 77 (248) positions.

    The weights are the library's draw, but for the patches (drawn by fan-in) and the first three blocks, whose heads begin as
    convolutions, as in the demo's captioner: on a few thousand images a ViT does not find such heads by itself.
    """
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast

    specials = ["<pad>", "<unk>", "<start>", "<end>"]
    words = [*specials, *sorted(_words())]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="<start> $A <end>", special_tokens=[("<start>", 2), ("<end>", 3)])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", bos_token="<start>", eos_token="<end>"
    ).save_pretrained(folder)
    text = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": len(words)}
    vision = {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 4}
    config = CLIPConfig(
        text_config={**text, "max_position_embeddings": 77, "bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0},
        vision_config={**vision, "image_size": IMAGE_SIZE, "patch_size": 16},
        projection_dim=128,
    )
    torch.manual_seed(seed)
    clip = CLIPModel(config)
    patches = clip.vision_model.embeddings.patch_embedding.weight
    torch.nn.init.normal_(patches, std=patches[0].numel() ** -0.5)
    see_neighbours(clip.vision_model)
    clip.save_pretrained(folder)
    return folder


def _words() -> set[str]:
    """All words of the demo's captions and expressions; what a caption says beyond them is one unknown word."""
    texts = []
    for index in range(400):
        truth = scene(0, index)
        texts += [truth.long_caption, truth.short_caption, *(toy.long_expression for toy in truth.toys)]
    return set(re.findall(r"\w+|[^\w\s]+", " ".join(texts).lower()))
