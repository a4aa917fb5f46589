"""Checkpoints of random weights, small enough to load in a second, written as any other checkpoint on disk."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

IDEFICS_CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}: "
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{% endif %}<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
)
IDEFICS_SPECIAL = ("<pad>", "<|im_start|>", "<end_of_utterance>", "<image>", "<fake_token_around_image>", "<global-img>")
CONTEXT_TOKENS = 512


def byte_bpe(sentences: Iterable[str], vocab_size: int, special: Sequence[str]) -> Any:
    """A tokenizer of the byte-level kind, trained on these sentences; it can write any text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(sentences, trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=list(special), initial_alphabet=alphabet))
    return bpe


def _tokenizer(sentences: list[str]):
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=byte_bpe(sentences, 400, IDEFICS_SPECIAL),
        pad_token="<pad>",
        bos_token="<|im_start|>",
        eos_token="<end_of_utterance>",
        additional_special_tokens=list(IDEFICS_SPECIAL[3:]),
        model_max_length=CONTEXT_TOKENS,
    )


def _text_config(vocab_size: int):
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT_TOKENS,
        tie_word_embeddings=False,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        initializer_range=0.3,
    )


def save_tiny_idefics3(folder: Path) -> Path:
    """An image-text checkpoint: 64 px images, 16 image tokens, context 512."""
    import torch
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration, Idefics3ImageProcessorPil, Idefics3Processor

    torch.manual_seed(0)
    tokenizer = _tokenizer(["a small red striped rubber car on a wooden table"] * 4)
    pixels = Idefics3ImageProcessorPil(do_image_splitting=False, size={"longest_edge": 64}, max_image_size={"longest_edge": 64})
    vision = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 64,
        "patch_size": 8,
    }
    config = Idefics3Config(
        vision_config={**vision, "initializer_range": 0.3},
        text_config=_text_config(len(tokenizer)).to_dict(),
        scale_factor=2,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=0,
    )
    Idefics3ForConditionalGeneration(config).save_pretrained(folder)
    Idefics3Processor(pixels, tokenizer, image_seq_len=16, chat_template=IDEFICS_CHAT).save_pretrained(folder)
    return folder


def save_tiny_llama(folder: Path) -> Path:
    """A text checkpoint, context 512."""
    import torch
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    tokenizer = _tokenizer(["a small red striped rubber car on a wooden table"] * 4)
    tokenizer.chat_template = IDEFICS_CHAT
    LlamaForCausalLM(_text_config(len(tokenizer))).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _bert_vocabulary(words: str) -> dict[str, int]:
    """Ids 0, 101, 102, 1012 and 1029 are hard-coded in transformers' Grounding DINO as padding, [CLS], [SEP], "." and "?"."""
    fixed = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 1012: ".", 1029: "?"}
    table = fixed | dict(enumerate(sorted(set(words.split())), start=1030))
    return {table.get(identity, f"[unused{identity}]"): identity for identity in range(1100)}


def save_tiny_grounding_dino(folder: Path) -> Path:
    """A Grounding DINO: 12 queries, at most 32 text tokens, words of toys."""
    import torch
    from transformers import BertConfig, BertTokenizer, ConvNextConfig, GroundingDinoConfig, GroundingDinoForObjectDetection
    from transformers.models.grounding_dino.image_processing_pil_grounding_dino import GroundingDinoImageProcessorPil
    from transformers.models.grounding_dino.processing_grounding_dino import GroundingDinoProcessor

    torch.manual_seed(0)
    tokenizer = BertTokenizer(vocab=_bert_vocabulary("a the red blue green small large striped car mug fish star"), do_lower_case=True)
    text = BertConfig(
        vocab_size=1100, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, max_position_embeddings=64
    )
    config = GroundingDinoConfig(
        backbone_config=ConvNextConfig(hidden_sizes=[8, 16, 32, 32], depths=[1, 1, 1, 1], out_indices=[3, 4], image_size=96),
        text_config=text,
        num_queries=12,
        d_model=32,
        num_feature_levels=2,
        encoder_layers=1,
        encoder_ffn_dim=64,
        encoder_attention_heads=2,
        decoder_layers=2,
        decoder_ffn_dim=64,
        decoder_attention_heads=2,
        max_text_len=32,
        init_std=0.3,
    )
    GroundingDinoForObjectDetection(config).save_pretrained(folder)
    pixels = GroundingDinoImageProcessorPil(size={"shortest_edge": 96, "longest_edge": 160})
    GroundingDinoProcessor(pixels, tokenizer).save_pretrained(folder)
    return folder


def save_tiny_owlv2(folder: Path) -> Path:
    """An OWLv2: 64 px images, 16 boxes."""
    import torch
    from transformers import CLIPTokenizer, Owlv2Config, Owlv2ForObjectDetection, Owlv2Processor
    from transformers.models.owlv2.image_processing_pil_owlv2 import Owlv2ImageProcessorPil

    torch.manual_seed(0)
    letters = [chr(code) for code in range(97, 123)]
    pieces = ["!", *letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={piece: identity for identity, piece in enumerate(pieces)}, merges=[], pad_token="!")
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    ends = {"bos_token_id": len(pieces) - 2, "eos_token_id": len(pieces) - 1, "pad_token_id": 0}
    config = Owlv2Config(
        text_config={**tower, "vocab_size": len(pieces), "max_position_embeddings": 16, **ends},
        vision_config={**tower, "image_size": 64, "patch_size": 16},
        projection_dim=32,
    )
    Owlv2ForObjectDetection(config).save_pretrained(folder)
    Owlv2Processor(Owlv2ImageProcessorPil(size={"height": 64, "width": 64}), tokenizer).save_pretrained(folder)
    return folder


def save_tiny_bert(folder: Path) -> Path:
    """A text encoder of two layers with words of toys, as both transformers 4 and 5 read it."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    torch.manual_seed(0)
    vocabulary = _bert_vocabulary("a the red blue green small large striped car mug fish star")
    config = BertConfig(
        vocab_size=1100, hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=128, max_position_embeddings=256
    )
    BertModel(config).save_pretrained(folder)
    BertTokenizer(vocab=vocabulary, do_lower_case=True).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.__getitem__)) + "\n")
    return folder
