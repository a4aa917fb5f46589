"""Writes the demo's corpus: held-out scenes as JPEGs in WebDataset tars. Same seed and size, same bytes."""

import io
import json
from pathlib import Path

import webdataset

from pipeline.config.model import ConfigError
from pipeline.demo.draw import draw
from pipeline.demo.world import Scene, scene

_IMAGES_A_TAR = 48


def write_corpus(folder: Path, num_images: int, seed: int) -> None:
    """Tars of `num_images` scenes; a folder that holds the same ones is left as it lies.

    Raises: ConfigError where the folder holds something that is not a demo's corpus, or something beside one of another size.
    """
    label = folder / "demo.json"
    wanted = {"seed": seed, "images": num_images}
    if label.is_file():
        if json.loads(label.read_text()) == wanted:
            return
        _remove(folder, label)
    elif folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} holds files that are not a demo's corpus; choose another --out")
    folder.mkdir(parents=True, exist_ok=True)
    for first in range(0, num_images, _IMAGES_A_TAR):
        path = folder / f"{first // _IMAGES_A_TAR:05d}.tar"
        with webdataset.TarWriter(str(path), mtime=0, user="fgdata", group="fgdata") as tar:
            for index in range(first, min(first + _IMAGES_A_TAR, num_images)):
                tar.write({"__key__": key_of(seed, index), "jpg": encode(scene(seed, index)), "txt": f"toy photo {index}"})
    label.write_text(json.dumps(wanted))


def _remove(folder: Path, label: Path) -> None:
    """An earlier demo's corpus, and nothing that somebody else put beside it; the label last, so that it can be done again."""
    own = {label, *folder.glob("[0-9][0-9][0-9][0-9][0-9].tar")}
    others = sorted(set(folder.iterdir()) - own)
    if others:
        raise ConfigError(f"{folder} holds {others[0].name} beside a demo's corpus of another size: move it, or choose another --out")
    for path in (*sorted(own - {label}), label):
        path.unlink()


def encode(scene: Scene) -> bytes:
    """The scene's picture as JPEG, quality 95 without chroma subsampling."""
    buffer = io.BytesIO()
    draw(scene).save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


def key_of(seed: int, index: int) -> str:
    """The image's key, from which `scene_of` finds its ground truth again."""
    return f"{seed}-{index:06d}"


def scene_of(key: str) -> Scene:
    """The ground truth of a key."""
    seed, index = key.split("-")
    return scene(int(seed), int(index))
