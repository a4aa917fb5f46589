"""Run by the python of open_clip's environment, which has no fgdata: the texts that its own loader yields of a tar, as JSON."""

import json
import sys
from types import SimpleNamespace
from typing import Any


def loader(tar: str, is_train: bool) -> Any:
    import torch
    import webdataset
    from open_clip_train.data import get_wds_dataset

    args = SimpleNamespace(
        train_data=tar, val_data=tar, dataset_resampled=False, train_data_upsampling_factors=None, seed=0, batch_size=1, workers=1,
        world_size=1, train_num_samples=None, val_num_samples=None,
    )  # fmt: skip

    def pixels(image: Any) -> Any:
        return torch.zeros(1, *image.convert("RGB").size)

    assert webdataset.__version__
    return get_wds_dataset(args, pixels, is_train, tokenizer=lambda text: [text]).dataloader


def main(tar: str, until: str) -> None:
    import webdataset

    report: dict[str, Any] = {"version": webdataset.__version__}
    report["evaluation"] = [text for _, texts in loader(tar, False) for text in texts]
    if until == "train":
        training = loader(tar, True)
        report["train"] = [text for _, texts in training for text in texts]
        report["num_samples"] = training.num_samples
    print(json.dumps(report))


if __name__ == "__main__":
    main(*sys.argv[1:])
