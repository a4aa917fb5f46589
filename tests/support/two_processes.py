"""What each of two training processes does in the tests: imported by the processes that they spawn."""

from pathlib import Path

import torch
import torch.distributed as dist

from stages.train.config import Stage2
from stages.train.data.batch import Batch, Sample, collate
from stages.train.data.samples import SampleMaker
from stages.train.data.shards import ExportedDataset
from stages.train.data.stream import Source, batches
from stages.train.data.texts import TextPacker
from stages.train.loop import Job, Report, Trainer
from stages.train.losses import contrastive_loss, sigmoid_loss
from stages.train.model.base import FgModel
from stages.train.model.load import load_model
from stages.train.processes import Together, average_gradients
from stages.train.step import TrainingStep


def features() -> dict[str, torch.Tensor]:
    """Eight rows, two of them with the same text, one without any."""
    generator = torch.Generator().manual_seed(0)
    image, text = torch.randn(8, 6, generator=generator), torch.randn(8, 6, generator=generator)
    keys, is_valid = torch.tensor([1, 2, 3, 4, 1, 6, 7, 8]), torch.tensor([True] * 6 + [False, True])
    return {"image": image, "text": text, "keys": keys, "is_valid": is_valid, "scale": torch.tensor(5.0)}


def source_of(clip: str, root: str, params: Stage2) -> Source:
    model, tokenizer = load_model(clip)
    return Source(ExportedDataset(root), SampleMaker(params, 32), TextPacker(tokenizer, *model.num_positions))


def first_batch(clip: str, root: str, params: Stage2, rank: int) -> Batch:
    return next(batches(source_of(clip, root, params), rank, 2))


def silent_step(model: FgModel, params: Stage2, chunks: int) -> TrainingStep:
    return TrainingStep(model, params.model_copy(update={"chunks": chunks}), Together())


def short_job(clip: str, root: str, out: Path, params: Stage2) -> Job:
    """Six steps, with checkpoints after the third and the last."""
    wanted = {"steps": 6, "lr": 1e-3, "log_every": 1, "checkpoint_every": 3, "warmup_steps": 1, "chunks": 2}
    return Job(clip, None, True, root, out, params.model_copy(update=wanted))


def run(rank: int, folder: str, clip: str, root: str) -> None:
    """Losses and gradients of this process, and a short training of both; written into the folder."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    all_rows = features()
    rows = {name: value[rank * 4 : rank * 4 + 4].clone() if value.ndim else value.clone() for name, value in all_rows.items()}
    for name in ("image", "text", "scale"):
        rows[name].requires_grad_()
    loss = contrastive_loss(rows["image"], rows["text"], rows["scale"], rows["is_valid"], rows["keys"], Together())
    loss.backward()
    results = {"loss": loss.detach(), **{f"{name}_grad": rows[name].grad for name in ("image", "text", "scale")}}

    for name in ("image", "text", "scale"):
        rows[name].grad = None
    bias = torch.tensor(-3.0, requires_grad=True)
    loss = sigmoid_loss(rows["image"], rows["text"], rows["scale"], bias, rows["is_valid"], rows["keys"], Together())
    loss.backward()
    results["sigmoid"] = {"loss": loss.detach(), "bias": bias.grad, **{name: rows[name].grad for name in ("image", "text", "scale")}}

    params = Stage2.model_validate({"batch_size": 4, "workers": 0, "precision": "fp32", "keep_groups": False})
    model, _ = load_model(clip)
    step = TrainingStep(model, params, Together())
    results["values"] = step.backward(first_batch(clip, root, params, rank)).values()
    average_gradients(model.parameters())
    results["gradients"] = {name: value.grad.clone() for name, value in model.named_parameters()}

    batch = first_batch(clip, root, params, rank)
    if rank == 1:  # not one text on this process
        pixels = [Sample(str(number), torch.zeros((3, 32, 32), dtype=torch.uint8)) for number in range(4)]
        batch = collate(pixels, source_of(clip, root, params).packer)
    results["one_silent"] = {chunks: silent_step(model, params, chunks).backward(batch).values() for chunks in (1, 2)}

    recipe = Stage2.model_validate({**params.model_dump(exclude={"recipe"}, exclude_unset=True), "recipe": "fgclip2"})
    model, _ = load_model(clip)
    model.start_sigmoid()
    training = TrainingStep(model, recipe, Together())
    loud = first_batch(clip, root, params, rank)
    results["margins"] = []
    for shown in (loud, batch, batch):  # the second and third have no box on the second process
        own = training.backward(shown).margin
        results["margins"].append((None if own is None else float(own), training.margin))

    reports: list[Report] = []
    job = short_job(clip, root, Path(folder) / "out", params)
    Trainer(job, reports.append).train()
    if rank == 0:
        for path in (Path(folder) / "out" / "checkpoints").glob("step-00000006"):
            path.rename(path.with_name("away"))
    dist.barrier()
    resumed: list[Report] = []
    trainer = Trainer(job, resumed.append)
    trainer.train()
    results["weights"] = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    results["trained"] = [report.values for report in reports], [report.values for report in resumed]
    torch.save(results, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()
