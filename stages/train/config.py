"""What a training is told: a model, a data set, and the parameters of the two stages, whose defaults are FG-CLIP's. No I/O."""

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.rows import EditType


class TrainError(ValueError):
    """What a user gave cannot be trained or evaluated: one line that says what, where, and what to do."""


# What may change when a training goes on: how fast and how often, not which images, which texts, which losses.
MAY_CHANGE = frozenset(
    "init epochs steps chunks lr min_lr_share warmup_steps weight_decay beta1 beta2 eps max_grad_norm precision gradient_checkpointing "
    "workers log_every checkpoint_every keep_checkpoints recipe".split()
)
Recipe = Literal["fgclip", "fgclip2"]
# As FG-CLIP 2's code has them (its paper: 0.1 regional): the hard loss's parts are multiplied out, 0.5 x (0.6, 3.0, 0.4).
_FGCLIP2_REGIONS = {"weight_regional": 0.2, "weight_tic": 0.1, "weight_hard": 1.5, "weight_hard_batch": 0.3, "weight_cmr": 0.2}


class StageTraining(BaseModel):
    """One stage of the training. Defaults that differ between the stages are set below; `batch_size` is a process's."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    recipes: ClassVar[dict[str, dict[str, Any]]] = {"fgclip": {}, "fgclip2": {"global_loss": "sigmoid"}}
    recipe: Recipe = Field("fgclip", description="Whose losses and weights are the defaults: FG-CLIP's or FG-CLIP 2's. Keys override.")
    init: str | None = Field(
        None, description="Checkpoint to start from; null: stage 2 starts from stage 1's result where there is one, else from `model`."
    )
    epochs: float = Field(1.0, gt=0, description="Passes over the data set; rounded to whole steps.")
    steps: int | None = Field(None, gt=0, description="Optimiser steps instead of epochs.")
    batch_size: int = Field(384, ge=2, description="Images a process and step: the contrast is over all processes' images.")
    chunks: int = Field(
        1, ge=1, description="Parts that a batch is cut into to save memory; features are cached, so the contrast stays over all of it."
    )
    lr: float = Field(1e-4, gt=0)
    min_lr_share: float = Field(0.0, ge=0, le=1, description="Where the cosine ends, as a share of lr.")
    warmup_steps: int = Field(200, ge=0, description="Steps in which the rate rises from 0.")
    weight_decay: float = Field(0.05, ge=0, description="Of matrices; biases, norms and scales have none.")
    beta1: float = Field(0.9, ge=0, lt=1)
    beta2: float = Field(0.98, ge=0, lt=1)
    eps: float = Field(1e-8, gt=0)
    max_grad_norm: float | None = Field(None, gt=0, description="Gradients are scaled down to this norm; null: never.")
    precision: Literal["fp32", "tf32", "bf16"] = Field("bf16", description="bf16: autocast, parameters stay fp32; tf32: matrix products.")
    gradient_checkpointing: bool | Literal["mlp"] = Field(
        False,
        description="Recompute in the backward pass: mlp: the blocks' MLPs (more than half of what a step keeps), true: whole blocks.",
    )
    weight_long: float = Field(1.0, ge=0, description="Of the global loss with long captions; 0: they are not read.")
    weight_short: float = Field(1.0, ge=0, description="Of the global loss with short captions.")
    weight_regional: float = Field(0.0, ge=0, description="Of the loss of boxes with their expressions.")
    weight_hard: float = Field(0.0, ge=0, description="Of the loss of boxes with their expression and its negatives.")
    weight_tic: float = Field(0.0, ge=0, description="Of the loss that pushes near region texts apart.")
    weight_hard_batch: float = Field(0.0, ge=0, description="Of the contrast of boxes with all expressions and negatives of the batch.")
    weight_cmr: float = Field(0.0, ge=0, description="Of the margin between a box's expression and its negatives.")
    global_loss: Literal["softmax", "sigmoid"] = Field("softmax", description="How captions contrast: InfoNCE, or pairs with a bias.")
    mask_duplicates: bool = Field(
        True, description="Equal texts of a batch are no negatives of each other; false: they are, as in the published loss."
    )
    type_weights: dict[EditType, float] = Field(
        default_factory=dict, description="Weight of a negative in the hard loss by its edit's type; 1 where absent, 0 leaves it out."
    )
    unverified_weight: float = Field(1.0, ge=0, description="Weight of negatives that no judge has looked at. `unsure` and `true` weigh 0.")
    max_boxes: int = Field(4, ge=0, description="Boxes used of an image: those with negatives first, then by score.")
    max_negatives: int = Field(10, ge=1, description="Negatives used of a box; of more, others are drawn in each epoch.")
    region_text: Literal["either", "short", "long"] = Field("either", description="A box's expression in the regional loss; either: drawn.")
    short_prefix: str = Field("a photo of ", description="Put before short captions, as the published trainer does.")
    long_drop_first: float = Field(0.0, ge=0, le=1, description="Chance that a long caption loses its first sentence.")
    long_subsample: float = Field(0.0, ge=0, le=1, description="Chance that half or more of a long caption's sentences are kept, drawn.")
    long_shuffle: float = Field(0.0, ge=0, le=1, description="Chance that a long caption's sentences change their order.")
    patch_budgets: tuple[int, ...] = Field(
        (128, 256, 576, 784, 1024), min_length=1, description="NaFlex towers: patches of an image, one number drawn for each step."
    )
    workers: int = Field(2, ge=0, description="Processes that read and decode ahead of the training process; 0: it does so itself.")
    shuffle_buffer: int = Field(2048, ge=1, description="Images that a reader may hold to mix what lies together in a shard.")
    keep_groups: bool = Field(True, description="Bring the images of a reciprocal group of negatives into one batch where they fit.")
    seed: int = Field(0, ge=0, description="Order of the images, draws of texts, weights that are not loaded.")
    log_every: int = Field(10, ge=1, description="Steps between two lines and two points of the curves.")
    checkpoint_every: int = Field(1000, ge=1, description="Steps between two checkpoints.")
    keep_checkpoints: int = Field(2, ge=1, description="Older ones are removed.")

    @model_validator(mode="before")
    @classmethod
    def _of_recipe(cls, content: Any) -> Any:
        """What the recipe says where the user does not."""
        if not isinstance(content, dict):
            return content
        return {**cls.recipes.get(str(content.get("recipe", "fgclip")), {}), **content}

    @property
    def reads_negatives(self) -> bool:
        return bool(self.weight_hard or self.weight_hard_batch or self.weight_cmr)

    @property
    def reads_expressions(self) -> bool:
        return bool(self.weight_regional or self.weight_tic)


class Stage1(StageTraining):
    """Long and short captions on the large corpus."""


class Stage2(StageTraining):
    """Long and short captions, regions and hard negatives. A tenth and a half are the published weights."""

    recipes: ClassVar[dict[str, dict[str, Any]]] = {"fgclip": {}, "fgclip2": {"global_loss": "sigmoid", **_FGCLIP2_REGIONS}}
    batch_size: int = Field(512, ge=2, description="Images a process and step: the contrast is over all processes' images.")
    lr: float = Field(1e-6, gt=0)
    warmup_steps: int = Field(50, ge=0, description="Steps in which the rate rises from 0.")
    weight_decay: float = Field(0.001, ge=0, description="Of matrices; biases, norms and scales have none.")
    weight_regional: float = Field(0.1, ge=0, description="Of the loss of boxes with their expressions.")
    weight_hard: float = Field(0.5, ge=0, description="Of the loss of boxes with their expression and its negatives.")


class TrainPlacement(BaseModel):
    """Where the training runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    launcher: Literal["here", "ray"] = Field("here", description="here: this process, or torchrun's where it started us; ray: Ray Train.")
    processes: int = Field(1, ge=1, description="Processes of Ray Train, one GPU each where `gpus` is true.")
    gpus: bool = Field(False, description="Ask Ray for a GPU a process.")
    cpus: float = Field(1, gt=0, description="Cores a process, its readers among them.")
    address: str | None = Field(None, description="Ray cluster to join (auto, host:port); null: start one here.")


class TrainConfig(BaseModel):
    """The YAML that `fgdata train` reads. Relative paths are relative to its folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    model: str = Field(
        description="Folder or hub name of a CLIP or SigLIP 2 checkpoint of transformers, of FG-CLIP's own, or of one trained here."
    )
    revision: str | None = Field(None, description="Commit or tag of a hub model.")
    from_scratch: bool = Field(False, description="Take the model's configuration and tokenizer alone and draw the weights.")
    official: bool = Field(False, description="Also write the trained model as FG-CLIP's own code loads it, into `official`.")
    dataset: str = Field(description="Exported data set: a folder or s3:// location with a manifest.json.")
    out: str = Field(description="Folder of checkpoints, curves and the trained models, one below it a stage.")
    stage1: Stage1 = Field(default_factory=Stage1)
    stage2: Stage2 = Field(default_factory=Stage2)
    placement: TrainPlacement = Field(default_factory=TrainPlacement)
