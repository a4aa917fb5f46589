"""What a checkpoint of others holds: any precision, every tensor accounted for, its attention and its end token."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from stages.train.config import Stage2, TrainError
from stages.train.data.texts import SHORT
from stages.train.loop import Job, Trainer
from stages.train.model.checkpoint import save_model
from stages.train.model.load import load_model
from tests.support.training_data import save_tiny_clip, save_tiny_siglip, toys, write_dataset


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_tiny_clip(tmp_path / "clip")


def rewritten(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    content = json.loads(path.read_text())
    for key, value in changes.items():
        part, _, inner = key.partition("__")
        content[part] = {**content[part], inner: value} if inner else value
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_loaded_as_fp32_parameters(folder: Path, dtype: torch.dtype) -> None:
    whole = load_file(folder / "model.safetensors")
    save_file({name: value.to(dtype) for name, value in whole.items()}, folder / "model.safetensors")
    rewritten(folder, dtype=str(dtype).removeprefix("torch."), torch_dtype=str(dtype).removeprefix("torch."))
    model, tokenizer = load_model(str(folder))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    save_model(model, tokenizer, folder.parent / "out")
    assert json.loads((folder.parent / "out" / "config.json").read_text())["dtype"] == "float32"


def test_weights_of_several_files_and_of_torch_are_read(folder: Path) -> None:
    wanted, _ = load_model(str(folder))
    whole = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(whole)
    parts = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    for name, members in parts.items():
        save_file({member: whole[member] for member in members}, folder / name)
    index = {"weight_map": {member: name for name, members in parts.items() for member in members}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    split, _ = load_model(str(folder))
    (folder / "model-2.safetensors").unlink()
    with pytest.raises(TrainError, match=r"names model-2\.safetensors, which is not there"):
        load_model(str(folder))
    (folder / "model.safetensors.index.json").unlink()
    torch.save({**whole, "text_model.embeddings.position_ids": torch.arange(77)[None]}, folder / "pytorch_model.bin")  # as of old
    old, _ = load_model(str(folder))
    for other in (split, old):
        assert all(torch.equal(a, b) for a, b in zip(wanted.state_dict().values(), other.state_dict().values(), strict=True))


def test_renamed_missing_and_misshapen_weights_are_one_line(folder: Path) -> None:
    whole = load_file(folder / "model.safetensors")
    lost = "vision_model.post_layernorm.weight"
    for tensors, message in (
        ({f"model.{name}": value for name, value in whole.items()}, "has no logit_scale and .* more: it is of another kind"),
        ({name: value for name, value in whole.items() if name != lost}, f"has no {lost}: it is of"),
        ({**whole, lost: torch.zeros(5)}, r"does not fit its config\.json"),
    ):
        save_file(tensors, folder / "model.safetensors")
        with pytest.raises(TrainError, match=message) as error:
            load_model(str(folder))
        assert "\n" not in str(error.value)
    (folder / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(TrainError, match=r"model\.safetensors: cannot be read"):
        load_model(str(folder))
    (folder / "model.safetensors").unlink()
    with pytest.raises(TrainError, match=r"no weights there .*from_scratch"):
        load_model(str(folder))


def test_another_kind_of_model_is_named(folder: Path) -> None:
    rewritten(folder, model_type="bert")
    with pytest.raises(TrainError, match="is of type bert; what can be trained: clip, siglip, siglip2, fgclip, fgclip2"):
        load_model(str(folder))


def test_eager_attention_is_honoured_and_others_refused(folder: Path) -> None:
    texts = [(SHORT, "a red car"), (SHORT, "the green mug on the table"), (SHORT, "a toy")]
    plain, tokenizer = load_model(str(folder))
    rewritten(folder, attn_implementation="eager")
    eager, _ = load_model(str(folder))
    packed, _ = plain.packer(tokenizer).pack(texts)
    assert eager.towers.config._attn_implementation == "eager"
    torch.testing.assert_close(eager.eval().encode_texts(packed), plain.eval().encode_texts(packed), atol=1e-5, rtol=1e-4)
    rewritten(folder, attn_implementation="flash_attention_2")
    with pytest.raises(TrainError, match="asks for attn_implementation flash_attention_2"):
        load_model(str(folder))


def test_an_end_token_that_is_not_the_tokenizers_is_refused(folder: Path) -> None:
    rewritten(folder, text_config__eos_token_id=7)
    with pytest.raises(TrainError, match="ends texts at token 7, its tokenizer at 3"):
        load_model(str(folder))
    rewritten(folder, text_config__eos_token_id=2)  # of old: at the largest id, which is a word of this vocabulary
    with pytest.raises(TrainError, match="do not belong together"):
        load_model(str(folder))


def test_tokenizer_files_of_old_are_written_for_bpe(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import CLIPTokenizer, PreTrainedTokenizerFast

    folder = save_tiny_clip(tmp_path / "bpe")
    bpe = Tokenizer(models.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>", continuing_subword_prefix=""))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    specials = ["<|startoftext|>", "<|endoftext|>"]
    bpe.train_from_iterator(["a red car and a red mug"] * 3, trainers.BpeTrainer(special_tokens=specials, end_of_word_suffix="</w>"))
    PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token=specials[0], eos_token=specials[1], pad_token=specials[1]).save_pretrained(
        folder
    )
    model, _ = load_model(str(save_tiny_clip(tmp_path / "words")))
    save_model(model, AutoTokenizer.from_pretrained(folder), tmp_path / "out")
    vocabulary = json.loads((tmp_path / "out" / "vocab.json").read_text())
    merges = (tmp_path / "out" / "merges.txt").read_text().splitlines()
    assert merges[0].startswith("#version")
    assert all(len(merge.split(" ")) == 2 for merge in merges[1:])
    old = CLIPTokenizer(vocab=vocabulary, merges=[tuple(merge.split(" ")) for merge in merges[1:]])
    assert set(old.get_vocab()) >= set(vocabulary)


def test_a_bias_and_its_scale_come_back(folder: Path) -> None:
    """The second stage of a sigmoid training starts where the first ended, not where SigLIP starts."""
    model, tokenizer = load_model(str(folder))
    model.start_sigmoid()
    assert model.global_bias is not None
    assert float(model.global_bias.detach()) == -10.0
    assert float(model.scales()[0].detach()) == pytest.approx(10.0)
    with torch.no_grad():
        model.towers.logit_scale.fill_(3.0)
        model.global_bias.fill_(-7.5)
    save_model(model, tokenizer, folder.parent / "out")
    again, _ = load_model(str(folder.parent / "out"))
    again.start_sigmoid()
    assert again.global_bias is not None
    assert (float(again.global_bias.detach()), float(again.towers.logit_scale.detach())) == (-7.5, 3.0)


def test_an_official_layout_that_does_not_exist_is_refused_at_the_start(tmp_path: Path) -> None:
    place = save_tiny_siglip(tmp_path / "squares", is_naflex=False)
    root = write_dataset(tmp_path / "toys", toys(4))
    job = Job(str(place), None, False, str(root), tmp_path / "out", Stage2(batch_size=2, workers=0), official=True)
    with pytest.raises(TrainError, match="has CLIP and NaFlex towers; this model is of type siglip"):
        Trainer(job)
