"""Trains the demo's detector, a small Grounding DINO, from scratch on the CPU, and exports it as a plain checkpoint.

Phase 1 teaches the backbone alone with dense heads (cheap, many images); phase 2 trains the whole detector with the
losses of detector_loss.py. State lives under --out and a killed run continues; --export writes the averaged weights.
    python -m pipeline.demo.training.detector.train --out DIR [--dense-steps N] [--steps N] [--export DIR]
"""

import argparse
import csv
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import BertConfig, BertTokenizer, ConvNextConfig, GroundingDinoConfig, GroundingDinoForObjectDetection
from transformers.models.grounding_dino.image_processing_pil_grounding_dino import GroundingDinoImageProcessorPil
from transformers.models.grounding_dino.modeling_grounding_dino import GroundingDinoObjectDetectionOutput
from transformers.models.grounding_dino.processing_grounding_dino import GroundingDinoProcessor

from pipeline.demo.training.detector.data import CHANNEL_MEAN, CHANNEL_STD, VOCABULARY_SIZE, Batch, tokenizer, training_batch
from pipeline.demo.training.detector.loss import DenseHead, Predictions, dense_loss, layer_loss, proposal_loss
from pipeline.demo.training.detector.scores import held_out_figures
from pipeline.demo.world import SIDE_PX

STRIDES_PX = (16, 32)
RADII_CELLS = (0.75, 0.5)
DENSE_WEIGHT = 0.5
AVERAGE_DECAY = 0.99
NUM_SCORED_SCENES = 40


@dataclass(frozen=True)
class Plan:
    """What decides the weights: two phases of `steps` batches with one rate cycle each."""

    dense_steps: int
    steps: int
    dense_batch: int = 32
    batch: int = 16
    dense_rate: float = 2e-3
    rate: float = 1e-3
    warm_up: int = 200
    seed: int = 1


def build_config() -> GroundingDinoConfig:
    backbone = ConvNextConfig.from_dict(
        {
            "hidden_sizes": [32, 64, 128, 128],
            "depths": [1, 2, 2, 1],
            "layer_scale_init_value": 0.5,
            "out_indices": [3, 4],
            "image_size": SIDE_PX,
        }
    )
    text = BertConfig(
        vocab_size=VOCABULARY_SIZE, hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=128,
        max_position_embeddings=256, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    return GroundingDinoConfig(
        backbone_config=backbone, text_config=text, num_queries=20, d_model=96, num_feature_levels=len(STRIDES_PX),
        encoder_layers=2, encoder_ffn_dim=192, encoder_attention_heads=6, decoder_layers=3, decoder_ffn_dim=192, decoder_attention_heads=6,
        dropout=0.0, fusion_droppath=0.0, max_text_len=256,
    )  # fmt: skip


def build_model(seed: int) -> GroundingDinoForObjectDetection:
    """Fresh weights: fan-in scaling where the library's 0.02 is too small to learn from, fusion open, few detections at first."""
    torch.manual_seed(seed)
    model = GroundingDinoForObjectDetection(build_config())
    kept = ("sampling_offsets", "attention_weights", "bbox_embed")
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)) and not any(part in name for part in kept):
                nn.init.trunc_normal_(module.weight, std=module.weight[0].numel() ** -0.5)
        for layer in model.model.encoder.layers:
            layer.fusion_layer.vision_param.fill_(0.1)
            layer.fusion_layer.text_param.fill_(0.1)
        alternating_D = torch.tensor([1.0, -1.0]).repeat(model.config.d_model // 2)
        text_norm = model.model.encoder.layers[-1].text_enhancer_layer.layer_norm_after
        text_norm.weight.fill_(0.2)
        text_norm.bias.copy_(0.1 * alternating_D)
        model.model.enc_output_norm.bias.copy_(-0.3 * alternating_D)  # proposals start near logit -3
        for layer in model.model.decoder.layers:
            layer.encoder_attn_text.key.weight.mul_(5)
            layer.encoder_attn_text.value.weight.mul_(5)
            layer.final_layer_norm.requires_grad_(False)
    # The library refines boxes from states before this norm but reads them after it, and teaches the second path only:
    # unless both norms stay the identity the two drift apart and the later layers' boxes fall to pieces.
    model.model.decoder.layer_norm.requires_grad_(False)
    return model


def rate_at(step: int, steps: int, peak: float, warm_up: int) -> float:
    if step < warm_up:
        return peak * (step + 1) / warm_up
    done = (step - warm_up) / max(1, steps - warm_up)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


class Detector(nn.Module):
    """The model with its two training tasks; the dense heads live here, outside the exported model."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.model = build_model(seed)
        self.heads = nn.ModuleList(DenseHead(self.model.config.d_model) for _ in STRIDES_PX)

    def projected(self, batch: Batch) -> list[torch.Tensor]:
        base = self.model.model
        with torch.autocast("cpu", torch.bfloat16):
            maps = base.backbone.conv_encoder.model(batch.pixel_BCPP, return_dict=True).feature_maps
            return [project(feature) for project, feature in zip(base.input_proj_vision, maps, strict=True)]

    def dense_task(self, batch: Batch, features: list[torch.Tensor]) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
        losses: dict[str, torch.Tensor] = {}
        figures: dict[str, float] = {}
        for head, feature, stride, radius in zip(self.heads, features, STRIDES_PX, RADII_CELLS, strict=True):
            assert isinstance(head, DenseHead)
            level, seen = dense_loss(head, feature.float(), batch, radius)
            losses |= {f"dense{stride}_{name}": loss for name, loss in level.items()}
            figures |= {f"dense{stride}_{name}_right": value for name, value in seen.items()}
        return losses, figures

    def freeze_early_stages(self) -> None:
        """Phase 1 has taught the stem and the first two stages; without their gradients a step costs a quarter less."""
        backbone = self.model.model.backbone.conv_encoder.model
        for module in (backbone.embeddings, *backbone.encoder.stages[:2]):
            module.requires_grad_(False)

    def detection_task(self, batch: Batch) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
        features: list[torch.Tensor] = []
        hooks = [project.register_forward_hook(lambda _m, _i, out: features.append(out)) for project in self.model.model.input_proj_vision]
        out = self.model(pixel_values=batch.pixel_BCPP, input_ids=batch.token_BL, attention_mask=batch.mask_BL)
        for hook in hooks:
            hook.remove()
        shapes = [(feature.shape[2], feature.shape[3]) for feature in features]
        losses: dict[str, torch.Tensor] = {}
        proposals = Predictions(out.enc_outputs_class, out.enc_outputs_coord_logits.sigmoid())
        losses |= {f"proposal_{name}": loss for name, loss in proposal_loss(proposals, batch, shapes, RADII_CELLS).items()}
        for index, layer in enumerate(layers_of(self.model, out, batch)):
            losses |= {f"layer{index}_{name}": loss for name, loss in layer_loss(layer, batch).items()}
        dense, figures = self.dense_task(batch, features)
        return losses | {name: DENSE_WEIGHT * loss for name, loss in dense.items()}, figures


def layers_of(model: GroundingDinoForObjectDetection, out: GroundingDinoObjectDetectionOutput, batch: Batch) -> Iterator[Predictions]:
    """Each decoder layer's logits and boxes; transformers returns the last layer's only unless its own loss runs."""
    hidden_BKQD, text_BLD = out.intermediate_hidden_states, out.encoder_last_hidden_state_text
    first_BQ4, later_BKQ4 = out.init_reference_points, out.intermediate_reference_points
    for index in range(hidden_BKQD.shape[1]):
        reference_BQ4 = first_BQ4 if index == 0 else later_BKQ4[:, index - 1]
        logit_BQL = model.class_embed[index](hidden_BKQD[:, index], text_BLD, batch.mask_BL.bool())
        box_BQ4 = (model.bbox_embed[index](hidden_BKQD[:, index]) + torch.special.logit(reference_BQ4, eps=1e-5)).sigmoid()
        yield Predictions(logit_BQL, box_BQ4)


class Training:
    """One resumable run under `out`."""

    def __init__(self, plan: Plan, out: Path, curve: Path) -> None:
        self.plan, self.out, self.curve = plan, out, curve
        self.detector = Detector(plan.seed)
        self.average = AveragedModel(self.detector.model, multi_avg_fn=get_ema_multi_avg_fn(AVERAGE_DECAY))
        self.words: BertTokenizer = tokenizer(out)
        self.step = self.images_seen = 0
        self.elapsed_s = 0.0
        self.optimizer = self._optimizer()
        if (out / "state.pt").exists():
            self._resume(out / "state.pt")

    def _optimizer(self) -> torch.optim.AdamW:
        return torch.optim.AdamW(self.detector.parameters(), lr=self.plan.rate, betas=(0.9, 0.98), weight_decay=1e-4)

    def _resume(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        self.detector.load_state_dict(state["detector"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.images_seen, self.elapsed_s = state["step"], state["images_seen"], state["elapsed_s"]
        if self.step > self.plan.dense_steps:
            self.detector.freeze_early_stages()

    def save(self) -> None:
        state = {"detector": self.detector.state_dict(), "average": self.average.state_dict(), "optimizer": self.optimizer.state_dict()}
        torch.save(state | {"step": self.step, "images_seen": self.images_seen, "elapsed_s": self.elapsed_s}, self.out / "state.tmp")
        (self.out / "state.tmp").replace(self.out / "state.pt")

    @property
    def averaged_model(self) -> GroundingDinoForObjectDetection:
        model = self.average.module
        assert isinstance(model, GroundingDinoForObjectDetection)
        return model

    def _begin_step(self, local: int, is_dense: bool) -> None:
        plan = self.plan
        if local == 0:
            self.optimizer = self._optimizer()
        if local == 0 and not is_dense:
            self.detector.freeze_early_stages()
        rate = rate_at(local, plan.dense_steps if is_dense else plan.steps, plan.dense_rate if is_dense else plan.rate, plan.warm_up)
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def take_step(self) -> tuple[dict[str, float], dict[str, float]]:
        plan, is_dense = self.plan, self.step < self.plan.dense_steps
        local = self.step if is_dense else self.step - plan.dense_steps
        size = plan.dense_batch if is_dense else plan.batch
        self._begin_step(local, is_dense)
        batch = training_batch(plan.seed + (0 if is_dense else 1), local, size, self.words)
        if is_dense:
            losses, figures = self.detector.dense_task(batch, self.detector.projected(batch))
        else:
            with torch.autocast("cpu", torch.bfloat16):  # 0.8 s a step against 1.2 s
                losses, figures = self.detector.detection_task(batch)
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.stack(list(losses.values())).sum()
        total.backward()
        nn.utils.clip_grad_norm_(self.detector.parameters(), 5.0 if is_dense else 1.0)
        self.optimizer.step()
        self.average.update_parameters(self.detector.model)
        self.step += 1
        self.images_seen += size
        return {"total": float(total.detach())} | {name: float(loss.detach()) for name, loss in losses.items()}, figures

    def run(self, log_every: int, score_every: int) -> None:
        window: list[dict[str, float]] = []
        begin = time.monotonic() - self.elapsed_s
        while self.step < self.plan.dense_steps + self.plan.steps:
            losses, figures = self.take_step()
            window.append(losses | figures)
            self.elapsed_s = time.monotonic() - begin
            is_last = self.step == self.plan.dense_steps + self.plan.steps
            is_scored = self.step > self.plan.dense_steps and (is_last or self.step % score_every == 0)
            if is_scored or self.step % log_every == 0 or self.step == self.plan.dense_steps:
                self._log(window, is_scored)
                window = []
                self.save()

    def _log(self, window: list[dict[str, float]], is_scored: bool) -> None:
        names = sorted({name for row in window for name in row})
        row: dict[str, float] = {"images": self.images_seen, "seconds": round(self.elapsed_s)}
        for name in names:
            values = [entry[name] for entry in window if name in entry]
            row[name] = round(sum(values) / len(values), 4)
        if is_scored:
            row |= held_out_figures(self.averaged_model, processor_of(self.words), num_scenes=NUM_SCORED_SCENES)
        print(row, flush=True)
        append_curve(self.curve, row)


CURVE_COLUMNS = (
    "images", "seconds", "total", "dense16_object", "dense16_box", "dense16_iou_right", "dense16_size_right", "dense16_colour_right",
    "dense16_pattern_right", "dense16_material_right", "dense16_noun_right", "proposal_class", "proposal_l1", "proposal_giou",
    "layer0_class", "layer0_giou", "layer2_class", "layer2_l1", "layer2_giou",
    "threshold", "precision", "recall", "small_recall", "mean_iou", "absent_fired",
)  # fmt: skip


def append_curve(path: Path, row: dict[str, float]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    with path.open("a", newline="") as stream:
        writer = csv.writer(stream)
        if is_new:
            writer.writerow(CURVE_COLUMNS)
        writer.writerow([row.get(column, "") for column in CURVE_COLUMNS])


def processor_of(words: BertTokenizer) -> GroundingDinoProcessor:
    images = GroundingDinoImageProcessorPil(
        size={"shortest_edge": SIDE_PX, "longest_edge": 2 * SIDE_PX},
        image_mean=[CHANNEL_MEAN] * 3,
        image_std=[CHANNEL_STD] * 3,
    )
    return GroundingDinoProcessor(image_processor=images, tokenizer=words)


def export(training: Training, target: Path) -> None:
    """A checkpoint that AutoModelForZeroShotObjectDetection and AutoProcessor load: averaged weights, PIL processor."""
    processor_of(training.words).save_pretrained(target)
    training.averaged_model.save_pretrained(target)
    (target / "model.safetensors").chmod(0o644)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--dense-steps", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=2800)
    parser.add_argument("--curve", type=Path, help="default: OUT/detector.csv")
    parser.add_argument("--export", type=Path, help="write the checkpoint here and do not train")
    parser.add_argument("--score-every", type=int, default=500)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    training = Training(Plan(options.dense_steps, options.steps), options.out, options.curve or options.out / "detector.csv")
    if options.export:
        export(training, options.export)
    else:
        training.run(log_every=100, score_every=options.score_every)


if __name__ == "__main__":
    main()
