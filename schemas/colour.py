"""Colours as a viewer shows them: an image's own profile into sRGB. Knows no file format and no transparency."""

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

# Where a profile changes no colour by more than this, of 255, the stored numbers are taken as they are: they are sRGB.
_SAME_COLOUR = 1
_STEPS = 17  # of a cube of colours that is looked at
# Mode of the pixels -> colour spaces of the profiles that can be theirs. Grey pixels may carry the profile of a colour image.
_SPACES = {"L": ("GRAY", "RGB"), "RGB": ("RGB",), "CMYK": ("CMYK",)}


def srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The image as sRGB, mode RGB: by its profile, if that is one and of its kind; else the numbers as they are.

    Takes the modes L, RGB, CMYK and LAB; perceptual intent, as Pillow's ImageCms and browsers do by default.
    """
    if image.mode == "LAB":
        return _applied(_from_lab(), image)
    transform = _transform(profile, image.mode) if profile else None
    if transform is None:
        return image.convert("RGB")
    return _applied(transform, image.convert("RGB") if transform.input_mode == "RGB" else image)


def changes_colours(mode: str, profile: bytes | None) -> bool:
    """Whether the profile gives pixels of this mode other colours than their numbers are in sRGB."""
    return mode == "LAB" or (bool(profile) and _transform(profile or b"", mode) is not None)


def _applied(transform: ImageCms.ImageCmsTransform, image: Image.Image) -> Image.Image:
    shown = transform.apply(image)
    shown.info = {}
    return shown


@lru_cache(maxsize=64)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """What makes sRGB of pixels of this mode; None where the profile is broken, of another kind of image, or sRGB itself."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space.strip()
        if space not in _SPACES.get(mode, ()):
            return None
        taken = "L" if space == "GRAY" else space
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), taken, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    return None if _is_identity(transform, mode) else transform


@lru_cache(maxsize=1)
def _from_lab() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")


def _is_identity(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether colours stay as they are, for what pixels of this mode can be: greys, or a cube of colours and all greys."""
    if mode == "CMYK":
        return False
    greys = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 256, 3)
    axis = np.linspace(0, 255, _STEPS).round().astype(np.uint8)
    cube = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(1, -1, 3)
    colours = Image.fromarray(greys if mode == "L" else np.concatenate([greys, cube], axis=1))
    shown = transform.apply(colours.convert("L") if transform.input_mode == "L" else colours)
    difference = np.asarray(shown).astype(int) - np.asarray(colours).astype(int)
    return int(np.abs(difference).max()) <= _SAME_COLOUR
