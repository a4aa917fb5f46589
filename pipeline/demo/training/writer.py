"""Trains the demo's writer from scratch on one CPU thread: a small Llama that lists the one-word edits of a phrase.

    python -m pipeline.demo.training.writer --out training/writer --export pipeline/demo/checkpoints/writer

Resumable: what is in --out goes on. Text only; knows no pixels.
"""

import argparse
import csv
import random
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from pipeline.demo.training.captioner.model import forget_paths
from pipeline.demo.training.vocabulary import END, IGNORED, edit_answer, edit_prompt, phrases, prompt_text, train_tokenizer

PEAK = 3e-3
# (from this step on, phrases a step, tokens kept of each): copying is learned on the first edits alone, then carried further.
SCHEDULE = ((0, 32, 90), (150, 16, 220), (300, 8, 1024))
COLUMNS = ("step", "phrases", "minutes", "loss", "token_accuracy", "exact")


def writer_config(tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    """0.6 M parameters: 3 layers of 128."""
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )


def fresh_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Weights scaled by fan-in and wider embeddings: with the library's 0.02 copying was not learned in 1,250 steps, so in 100."""
    model = LlamaForCausalLM(writer_config(tokenizer))
    for name, weight in model.named_parameters():
        if weight.ndim == 2:
            weight.data.normal_(0, 0.08 if "embed_tokens" in name else weight.shape[1] ** -0.5)
    return model


def encoded(tokenizer: PreTrainedTokenizerFast, chosen: list[str]) -> tuple[Tensor, Tensor]:
    """Ids (B, L), padded on the right, and labels: the id at answer positions, IGNORED elsewhere."""
    rows, lengths = [], []
    for phrase in chosen:
        prompt = tokenizer(prompt_text(edit_prompt(phrase), False))["input_ids"]
        rows.append(prompt + tokenizer(edit_answer(phrase) + END)["input_ids"])
        lengths.append(len(prompt))
    width = max(len(row) for row in rows)
    ids = torch.full((len(rows), width), int(tokenizer.pad_token_id))
    labels = torch.full((len(rows), width), IGNORED)
    for place, (row, length) in enumerate(zip(rows, lengths, strict=True)):
        ids[place, : len(row)] = torch.tensor(row)
        labels[place, length : len(row)] = torch.tensor(row[length:])
    return ids, labels


def loss_of(model: LlamaForCausalLM, ids: Tensor, labels: Tensor) -> tuple[Tensor, float]:
    """Cross-entropy at answer positions, and the share of them that is right."""
    hidden = model.model(ids, use_cache=False).last_hidden_state
    wanted = labels[:, 1:] != IGNORED
    logits = model.lm_head(hidden[:, :-1][wanted]).float()
    targets = labels[:, 1:][wanted]
    return nn.functional.cross_entropy(logits, targets), (logits.argmax(-1) == targets).float().mean().item()


def exact_share(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, chosen: list[str], batch: int = 84) -> float:
    """Share of phrases whose greedy answer is the wanted one, letter by letter, in the model's own precision."""
    model.eval()
    tokenizer.padding_side = "left"
    right = 0
    for first in range(0, len(chosen), batch):
        part = chosen[first : first + batch]
        inputs = tokenizer([prompt_text(edit_prompt(phrase), False) for phrase in part], padding=True, return_tensors="pt")
        with torch.no_grad():
            out = model.generate(**inputs, do_sample=False, max_new_tokens=480)
        texts = tokenizer.batch_decode(out[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        right += sum(answer == edit_answer(phrase) for phrase, answer in zip(part, texts, strict=True))
    model.train()
    return right / len(chosen)


def train(args: argparse.Namespace, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    """Steps until --steps; a figure of 42 phrases and a save at every 200."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK, weight_decay=0.02, betas=(0.9, 0.98))
    file, step, seen, before = args.out / "state.pt", 0, 0, 0.0
    if file.exists():
        saved = torch.load(file)
        model.load_state_dict(saved["weights"])
        optimizer.load_state_dict(saved["optimizer"])
        step, seen, before = saved["at"]
    everything, begun = phrases(), time.monotonic()
    while step < args.steps:
        _, batch, kept = next(row for row in reversed(SCHEDULE) if row[0] <= step)
        chosen = random.Random(step).sample(everything, batch)
        for group in optimizer.param_groups:
            group["lr"] = PEAK * min(1.0, (step + 1) / 50, max(0.02, (args.steps - step) / (0.4 * args.steps)))
        with torch.autocast("cpu", torch.bfloat16):
            ids, labels = encoded(tokenizer, chosen)
            loss, accuracy = loss_of(model, ids[:, :kept], labels[:, :kept])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        seen += batch
        if step % 200 == 0 or step == args.steps:
            minutes = before + (time.monotonic() - begun) / 60
            args.out.mkdir(parents=True, exist_ok=True)
            torch.save({"weights": model.state_dict(), "optimizer": optimizer.state_dict(), "at": (step, seen, minutes)}, f"{file}.part")
            Path(f"{file}.part").replace(file)
            exact = exact_share(model, tokenizer, random.Random(0).sample(everything, 42))
            log(args.curve, [step, seen, f"{minutes:.1f}", f"{loss.item():.5f}", f"{accuracy:.4f}", f"{exact:.4f}"])


def log(curve: Path, row: list[object]) -> None:
    is_new = not curve.exists()
    with curve.open("a", newline="") as file:
        csv.writer(file).writerows([list(COLUMNS), row] if is_new else [row])
    print(dict(zip(COLUMNS, row, strict=True)), flush=True)


def export(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Writes the plain fp32 checkpoint with tokenizer, chat template and greedy generation settings."""
    model.generation_config = GenerationConfig(
        do_sample=False,
        max_new_tokens=480,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model.save_pretrained(folder)
    tokenizer.padding_side = "left"
    tokenizer.save_pretrained(folder)
    forget_paths(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the resumable state")
    parser.add_argument("--curve", type=Path, default=Path("pipeline/demo/curves/writer.csv"), help="CSV that figures are appended to")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--export", type=Path, help="write the plain checkpoint there when done, and check every phrase")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    tokenizer = train_tokenizer()
    model = fresh_model(tokenizer)
    train(args, model, tokenizer)
    if args.export:
        print("exact over all phrases:", exact_share(model, tokenizer, phrases()), flush=True)
        export(model, tokenizer, args.export)


if __name__ == "__main__":
    main()
