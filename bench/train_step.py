"""Time of a training step, side by side: ours beside open_clip's, and regions with negatives beside our own global step.

    DIR/bin/python -m bench.train_step --out OUT      # in the environment of requirements/open-clip.txt

Equal towers (ViT-B/16's widths; --layers less of both towers for a quick look), batch, optimiser and texts; each variant in a process of
its own, the variants in turn, --steps times in a repeat. Ours are suited to CPUs as the trainer's are (stages/train/on_cpu.py); with
--keep-all open_clip's step keeps its memory too. A step is: forward, loss, backward, AdamW. Without open_clip, what does not need it is
measured. `saved_mib`: what each step keeps for its backward pass, parameters aside. Writes OUT/train_step.json.
"""

import argparse
import importlib.util
import multiprocessing
import random
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from bench.measure import spread, write_report
from pipeline.demo.world import SLOTS, scene
from stages.train.config import Stage2
from stages.train.data.batch import Batch, Sample, SampleRegion, collate
from stages.train.data.texts import TextPacker
from stages.train.losses import Alone
from stages.train.model.clip import FgClip
from stages.train.on_cpu import keep_memory, suit_cpu
from stages.train.step import TrainingStep

_SIDE, _PATCH, _WIDTH, _TEXT_WIDTH, _DIM, _POSITIONS = 224, 16, 768, 512, 512, 77
_WORDS = (
    "a the of on with near small large red green blue white black brown wooden metal striped shiny old young man woman child dog cat "
    "horse car bus train chair table lamp window door street grass sky water beach mountain shirt hat bag bottle cup plate holding "
    "standing sitting running behind under above left right while its two three several bright dark long short round open closed"
).split()
HAS_OPEN_CLIP = importlib.util.find_spec("open_clip") is not None
Step = Callable[[], float]
_WHOLE = {"weight_regional": 0.1, "weight_hard": 0.5}
_PLAIN = {"weight_regional": 0.0, "weight_hard": 0.0}
# The steps by name and their parameters.
VARIANTS: dict[str, dict[str, Any]] = ({"open_clip": {}} if HAS_OPEN_CLIP else {}) | {
    "short": {**_PLAIN, "weight_long": 0.0},
    "global": _PLAIN,
    "published": _WHOLE,
    "demo_global": _PLAIN,
    "demo": _WHOLE,
    "published_fgclip2": {"recipe": "fgclip2"},
    "demo_fgclip2": {"recipe": "fgclip2"},
    "published_mlp": {**_WHOLE, "gradient_checkpointing": "mlp"},
    "published_blocks": {**_WHOLE, "gradient_checkpointing": True},
    "short_padded": {**_PLAIN, "weight_long": 0.0},
}
# What is compared, or fits into memory together: 2.4 GB a variant.
GROUPS = (
    ("open_clip", "short", "short_padded"),
    ("global", "published", "published_fgclip2"),
    ("demo_global", "demo", "demo_fgclip2"),
    ("published_mlp", "published_blocks"),
)


class Tokens:
    """open_clip's tokenizer as ours is called; without open_clip a number a word."""

    def __init__(self) -> None:
        self._encode: Callable[[str], list[int]] = lambda text: [1 + zlib.crc32(word.encode()) % 40000 for word in text.split()]
        self._start, self.eos_token_id = 49406, 49407
        if HAS_OPEN_CLIP:
            import open_clip

            self._encode = open_clip.tokenizer.SimpleTokenizer().encode

    def __call__(self, texts: list[str], truncation: bool, max_length: int | None) -> dict[str, list[list[int]]]:
        bodies = [self._encode(text)[: max_length - 2 if max_length else None] for text in texts]
        return {"input_ids": [[self._start, *body, self.eos_token_id] for body in bodies]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4, help="Steps of each variant in a repeat; their mean counts.")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16", help="bf16: both trainers' default.")
    parser.add_argument("--only", nargs="+", help="Steps to measure, by name; all where it is left out.")
    parser.add_argument("--keep-all", action="store_true", help="open_clip's step keeps memory too.")
    arguments = parser.parse_args()
    times, saved, texts = measured(arguments)
    pairs = {
        "short_over_open_clip": ("short", "open_clip"),
        "short_padded_over_open_clip": ("short_padded", "open_clip"),
        "published_density_over_global": ("published", "global"),
        "demo_density_over_global": ("demo", "demo_global"),
        "fgclip2_over_fgclip": ("published_fgclip2", "published"),
        "fgclip2_over_fgclip_demo": ("demo_fgclip2", "demo"),
    }
    ratios = {name: over(times, *pair) for name, pair in pairs.items() if set(pair) <= set(times)}
    path = write_report(
        arguments.out,
        "train_step",
        arguments.repeats,
        ("torch", "open_clip_torch", "transformers"),
        settings={name: getattr(arguments, name) for name in ("batch", "layers", "steps", "threads", "precision", "keep_all")},
        texts=texts,
        seconds={name: spread(values) for name, values in times.items()},
        ratios=ratios,
        upper_quartiles={name: quartile(times, *pair) for name, pair in pairs.items() if set(pair) <= set(times)},
        saved_mib=saved,
    )
    print(path.read_text(encoding="utf-8"))


def measured(arguments: argparse.Namespace) -> tuple[dict[str, list[float]], dict[str, float], dict[str, Any]]:
    """Seconds of each variant's steps, MiB that a step of it keeps, and what texts it reads."""
    times: dict[str, list[float]] = {}
    saved: dict[str, float] = {}
    texts: dict[str, Any] = {}
    context = multiprocessing.get_context("spawn")
    for group in GROUPS:
        pipes, processes = {}, []
        for name in [name for name in group if name in VARIANTS and (arguments.only is None or name in arguments.only)]:
            pipes[name], other = context.Pipe()
            processes.append(context.Process(target=serve, args=(name, arguments, other), daemon=True))
            processes[-1].start()
            other.close()
        texts |= {name: said for name, pipe in pipes.items() if (said := pipe.recv())}
        times |= taken(pipes, arguments.repeats, arguments.steps)
        saved |= {name: asked(pipe, "saved") for name, pipe in pipes.items()}
        for process in processes:
            process.terminate()
            process.join()
    return times, saved, texts


def taken(pipes: dict[str, Any], repeats: int, steps: int) -> dict[str, list[float]]:
    """Mean seconds of each variant's steps in each repeat; the first repeat warms up."""
    times: dict[str, list[float]] = {name: [] for name in pipes}
    for repeat in range(repeats + 1):
        seconds = dict.fromkeys(pipes, 0.0)
        for _ in range(steps):
            for name, pipe in pipes.items():
                seconds[name] += asked(pipe, "step") / steps
        if repeat:
            for name, mean in seconds.items():
                times[name].append(mean)
    return times


def asked(pipe: Any, what: str) -> float:
    pipe.send(what)
    answer: float = pipe.recv()
    return answer


def serve(name: str, arguments: argparse.Namespace, pipe: Any) -> None:
    """A variant's process: a step, timed, or what it saves, whenever it is asked."""
    torch.set_num_threads(arguments.threads)
    if arguments.keep_all:
        keep_memory()
    step, texts = make_variant(name, arguments.batch, arguments.layers, arguments.precision)
    pipe.send(texts)
    while True:
        if pipe.recv() == "saved":
            pipe.send(round(saved_bytes(step) / 2**20, 1))
            continue
        started = time.perf_counter()
        step()
        pipe.send(time.perf_counter() - started)


def over(times: dict[str, list[float]], name: str, base: str) -> dict[str, float]:
    return spread([a / b for a, b in zip(times[name], times[base], strict=True)])


def quartile(times: dict[str, list[float]], name: str, base: str) -> float:
    """The upper quartile of the paired ratios."""
    paired = sorted(a / b for a, b in zip(times[name], times[base], strict=True))
    return round(paired[-(-3 * len(paired) // 4) - 1], 4)


def saved_bytes(step: Step) -> int:
    """Bytes that a step's forward pass keeps for its backward pass: each storage once, parameters aside."""
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if not (isinstance(tensor, torch.nn.Parameter) or (tensor.is_leaf and tensor.requires_grad)):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        step()
    return sum(kept.values())


def make_variant(name: str, batch_size: int, layers: int, precision: str) -> tuple[Step, dict[str, Any]]:
    """A variant's step, with a model and an optimiser of its own, and what texts it reads."""
    rng = random.Random(0)
    published = [published_sample(rng, number) for number in range(batch_size)]
    if name == "open_clip":
        return open_clip_step([sample.short or "" for sample in published], published, layers, precision), {}
    samples = [demo_sample(number) for number in range(batch_size)] if name.startswith("demo") else published
    if name.startswith("short"):
        samples = [Sample(sample.key, sample.pixels_CHW, short=sample.short) for sample in samples]
    if name.endswith("global"):
        samples = [Sample(sample.key, sample.pixels_CHW, sample.long, sample.short) for sample in samples]
    batch = collate(samples, TextPacker(Tokens(), _POSITIONS, 248))
    if name == "short_padded":
        batch = padded(batch)
    return our_step(batch, VARIANTS[name], layers, precision), described(batch)


def our_step(batch: Batch, settings: dict[str, Any], layers: int, precision: str) -> Step:
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(0)
    text = {"hidden_size": _TEXT_WIDTH, "intermediate_size": _TEXT_WIDTH * 4, "num_attention_heads": 8, "vocab_size": 49408}
    vision = {"hidden_size": _WIDTH, "intermediate_size": _WIDTH * 4, "num_attention_heads": 12}
    both = {"num_hidden_layers": layers, "hidden_act": "gelu"}
    config = CLIPConfig(
        text_config={**text, **both, "max_position_embeddings": _POSITIONS},
        vision_config={**vision, **both, "image_size": _SIDE, "patch_size": _PATCH},
        projection_dim=_DIM,
    )
    model = FgClip(CLIPModel(config)).train()
    suit_cpu(model)
    params = Stage2.model_validate({**settings, "precision": precision})
    if params.global_loss == "sigmoid":
        model.start_sigmoid()
    if params.gradient_checkpointing:
        model.checkpoint_blocks(only_mlp=params.gradient_checkpointing == "mlp")
    training, optimiser = TrainingStep(model, params, Alone()), adamw(model)

    def step() -> float:
        optimiser.zero_grad(set_to_none=True)
        loss = training.backward(batch).total
        optimiser.step()
        return float(loss.detach())

    return step


def open_clip_step(texts: list[str], samples: list[Sample], layers: int, precision: str) -> Step:
    """What open_clip's own loop does in a step: both towers, ClipLoss, backward, optimiser."""
    import open_clip
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    torch.manual_seed(0)
    vision = CLIPVisionCfg(layers=layers, width=_WIDTH, patch_size=_PATCH, image_size=_SIDE)
    text = CLIPTextCfg(context_length=_POSITIONS, vocab_size=49408, width=_TEXT_WIDTH, heads=8, layers=layers)
    model = CLIP(_DIM, vision, text, output_dict=True).train()
    loss, optimiser = open_clip.ClipLoss(), adamw(model)
    tokens = open_clip.tokenizer.SimpleTokenizer()(texts, context_length=_POSITIONS)
    pixels = torch.stack([sample.pixels_CHW for sample in samples])
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD))

    def step() -> float:
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss_of_batch = loss(**model((pixels / 255 - mean) / std, tokens))
        loss_of_batch.backward()
        optimiser.step()
        return float(loss_of_batch.detach())

    return step


def adamw(model: torch.nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)


def padded(batch: Batch) -> Batch:
    """The same batch with a text a row, padded to 77 tokens: what packing saves is the difference."""
    from dataclasses import replace

    texts = batch.texts
    ids = texts.ids_PL.flatten()
    rows, positions = [], []
    for end in texts.ends_N.tolist():
        first = end - int(texts.positions_PL.flatten()[end])
        row = ids[first : end + 1]
        rows.append(F.pad(row, (0, _POSITIONS - len(row))))
        positions.append(len(row) - 1)
    ends = torch.tensor([number * _POSITIONS + last for number, last in enumerate(positions)])
    counted = torch.arange(_POSITIONS).expand(len(rows), -1)
    whole = replace(texts, ids_PL=torch.stack(rows), positions_PL=counted, segments_PL=torch.zeros_like(counted), ends_N=ends)
    return replace(batch, texts=whole)


def published_sample(rng: random.Random, number: int) -> Sample:
    """Captions of 150 and 20 words, four boxes, one of them with ten negatives: the most that FineHARD has."""
    regions = []
    for box in range(4):
        short = words(rng, 5)
        negatives = tuple((words(rng, 5), "colour", 1.0) for _ in range(10)) if box == 0 else ()
        x, y = rng.random() * 0.6, rng.random() * 0.6
        regions.append(SampleRegion((x, y, x + 0.3, y + 0.4), rng.choice((short, f"{short} {words(rng, 5)}")), short, negatives))
    return Sample(str(number), noise(number), words(rng, 150), f"a photo of {words(rng, 20)}", tuple(regions))


def demo_sample(number: int) -> Sample:
    """A scene of the demo: each toy has ten one-word negatives."""
    truth = scene(0, number)
    regions = []
    for toy in truth.toys:
        own = {"colour": toy.colour, "pattern": toy.pattern, "material": toy.material, "object": toy.noun}
        edits = [(slot, word) for slot, value in own.items() for word in SLOTS[slot] if word != value]
        negatives = tuple((toy.expression.replace(own[slot], word), slot, 1.0) for slot, word in random.Random(number).sample(edits, 10))
        x0, y0, x1, y1 = (value / _SIDE for value in toy.xyxy)
        regions.append(SampleRegion((x0, y0, x1, y1), toy.expression, toy.expression, negatives))
    return Sample(str(number), noise(number), truth.long_caption, truth.short_caption, tuple(regions))


def words(rng: random.Random, count: int) -> str:
    return " ".join(rng.choice(_WORDS) for _ in range(count))


def noise(number: int) -> torch.Tensor:
    return torch.randint(0, 256, (3, _SIDE, _SIDE), generator=torch.Generator().manual_seed(number), dtype=torch.uint8)


def described(batch: Batch) -> dict[str, Any]:
    """Texts, tokens and boxes of a batch."""
    is_token = batch.texts.segments_PL >= 0
    return {
        "texts": len(batch.texts),
        "tokens": int(is_token.sum()),
        "rows": list(batch.texts.ids_PL.shape),
        "boxes": len(batch.box_K),
        "boxes_with_negatives": len(batch.hard_box_H),
    }


if __name__ == "__main__":
    main()
