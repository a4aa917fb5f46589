"""A checkpoint of transformers in the worker: where it runs and in which number format. Knows no requests."""

from typing import Any

from pydantic import Field

from stages.engines.specs import ModelSpec


class CheckpointSpec(ModelSpec):
    """A spec whose weights transformers loads in the worker."""

    device: str = Field("auto", description="auto, cpu, cuda, cuda:1 ...")
    threads: int | None = Field(None, gt=0, description="CPU threads of torch; null: torch's own choice.")
    unhashed = frozenset({"device", "threads"})
    package = "transformers"


def loaded(spec: CheckpointSpec, auto_class: Any) -> Any:
    """The model that this class of transformers makes of the checkpoint, on its device, for inference. On a CPU `auto` is float32."""
    import torch

    if spec.threads is not None:
        torch.set_num_threads(spec.threads)
    device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if spec.device == "auto" else spec.device)
    dtype = "float32" if spec.dtype == "auto" and device.type == "cpu" else spec.dtype
    model = auto_class.from_pretrained(spec.model, revision=spec.revision, dtype=dtype)
    return model.eval().to(device)
