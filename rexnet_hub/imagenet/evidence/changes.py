"""List the ways in which an evaluation can differ from the one that was published."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from PIL import Image, ImageOps

from rexnet_hub.imagenet.data.pixels import FILTERS, decode_image, pixels_uint8, resize_px
from rexnet_hub.index import Preprocessing


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Picture:
    """An image as it is stored and as it is decoded."""

    data: bytes
    image: Image.Image


def open_picture(data: bytes, *, name: str) -> Picture:
    """Decode once for all changes.

    Raises:
        NotAnImageError: It cannot be decoded.
    """
    return Picture(data=data, image=decode_image(data, name=name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """One way in which an evaluation can differ from the one that was published.

    Attributes:
        name: In few words.
        pixels: Turns a picture, under the stated settings, into uint8 (px, px, 3).
        settings: Mean and std to normalise by, changed from the stated ones.
        bgr: Whether the channels are swapped.
        dtype: Of the network's arithmetic.
    """

    name: str
    pixels: Callable[[Picture, Preprocessing], np.ndarray]
    settings: Callable[[Preprocessing], Preprocessing] = lambda spec: spec
    bgr: bool = False
    dtype: str = "fp32"


def list_changes(spec: Preprocessing) -> list[Deviation]:
    """List what is tried: no change, then each change that these settings allow."""
    filters = [name for name in ("bicubic", "bilinear", "nearest", "lanczos") if name != spec.interpolation]
    crops = [crop for crop in (0.875, 0.9, 0.95, 1.0) if crop != spec.crop_fraction]
    halves = (0.5, 0.5, 0.5)
    return [
        Deviation(name="as stated", pixels=_as_stated),
        *(
            Deviation(name=f"interpolation {name}", pixels=partial(_other, interpolation=name))
            for name in filters
        ),
        Deviation(name="resize without antialias", pixels=_without_antialias),
        *(
            Deviation(name=f"crop fraction {crop:g}", pixels=partial(_other, crop_fraction=crop))
            for crop in crops
        ),
        Deviation(name="resize rounded up", pixels=_rounded_up),
        Deviation(name="squash instead of crop", pixels=_squash),
        Deviation(name="channels in BGR order", pixels=_as_stated, bgr=True),
        Deviation(
            name="no mean and std",
            pixels=_as_stated,
            settings=lambda spec: replace(spec, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
        ),
        Deviation(
            name="mean and std of 0.5",
            pixels=_as_stated,
            settings=lambda spec: replace(spec, mean=halves, std=halves),
        ),
        Deviation(name="EXIF orientation applied", pixels=_turned),
        Deviation(name="decoder that scales", pixels=_scaled_by_decoder),
        Deviation(name="bf16 autocast", pixels=_as_stated, dtype="bf16"),
    ]


def _as_stated(picture: Picture, spec: Preprocessing) -> np.ndarray:
    return pixels_uint8(picture.image, spec)


def _other(
    picture: Picture,
    spec: Preprocessing,
    *,
    interpolation: str | None = None,
    crop_fraction: float | None = None,
) -> np.ndarray:
    """Change one of the settings themselves."""
    return pixels_uint8(
        picture.image,
        replace(
            spec,
            interpolation=interpolation or spec.interpolation,
            crop_fraction=crop_fraction or spec.crop_fraction,
        ),
    )


def _without_antialias(picture: Picture, spec: Preprocessing) -> np.ndarray:
    """Resize as OpenCV and older torch do: a shrunken picture takes few of its pixels."""
    image = picture.image
    short_px = resize_px(spec)
    size = [short_px * side // min(image.size) for side in (image.height, image.width)]
    mode = "bicubic" if spec.interpolation in ("bicubic", "lanczos") else "bilinear"
    planes = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
    resized = torch.nn.functional.interpolate(planes, size, mode=mode, align_corners=False, antialias=False)
    pixels = resized[0].round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
    top, left = (round((side - spec.input_px) / 2) for side in size)
    return pixels[top : top + spec.input_px, left : left + spec.input_px]


def _rounded_up(picture: Picture, spec: Preprocessing) -> np.ndarray:
    """Round each side and margin up where the stated way rounds down or to even."""
    image, px = picture.image, spec.input_px
    short_px = math.ceil(px / spec.crop_fraction)
    width, height = (math.ceil(short_px * side / min(image.size)) for side in image.size)
    left, top = math.ceil((width - px) / 2), math.ceil((height - px) / 2)
    resized = image.resize((width, height), FILTERS[spec.interpolation])
    return np.array(resized.crop((left, top, left + px, top + px)))


def _squash(picture: Picture, spec: Preprocessing) -> np.ndarray:
    """Make the whole picture a square, whatever its shape."""
    side, px = resize_px(spec), spec.input_px
    margin = round((side - px) / 2)
    square = picture.image.resize((side, side), FILTERS[spec.interpolation])
    return np.array(square.crop((margin, margin, margin + px, margin + px)))


def _turned(picture: Picture, spec: Preprocessing) -> np.ndarray:
    """Turn the picture as its camera held it."""
    with Image.open(io.BytesIO(picture.data)) as image:
        return pixels_uint8(ImageOps.exif_transpose(image), spec)


def _scaled_by_decoder(picture: Picture, spec: Preprocessing) -> np.ndarray:
    """Let the JPEG decoder shrink a large picture before it is resized."""
    with Image.open(io.BytesIO(picture.data)) as image:
        image.draft("RGB", (resize_px(spec), resize_px(spec)))
        return pixels_uint8(image, spec)
