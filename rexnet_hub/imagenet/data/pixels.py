"""Turn a picture into the pixels that a network was evaluated on.

The same numbers, bit for bit, as timm's evaluation transform, which is built on torchvision's; neither is
needed here. Only `normalise` imports torch, so a process that only decodes never does.
"""

from __future__ import annotations

import io
import logging
import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from rexnet_hub.errors import NotAnImageError, UsageError
from rexnet_hub.index import Preprocessing
from rexnet_hub.index.entry import CROP_MODES, INTERPOLATIONS
from rexnet_hub.terminal import printable

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

FILTERS = {name: Image.Resampling[name.upper()] for name in INTERPOLATIONS}

#: A picture of extreme shape, one pixel by many, would grow without bound when its short side is resized.
MAX_RESIZED_PIXELS = 2**28


_T = Image.Transpose
_UPSIDE = (_T.FLIP_LEFT_RIGHT, _T.ROTATE_180, _T.FLIP_TOP_BOTTOM)
_SIDEWAYS = (_T.TRANSPOSE, _T.ROTATE_270, _T.TRANSVERSE, _T.ROTATE_90)
#: What undoes each EXIF orientation, from 2 on.
_TURNS = dict(enumerate((*_UPSIDE, *_SIDEWAYS), 2))
#: In a decoded picture's `info`: the EXIF orientation that it was turned by.
TURNED = "turned_from"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The way from a file to a picture; by default as accuracies are measured, which is as timm does it.

    Attributes:
        as_seen: Whether it is turned as its EXIF orientation says; and a JPEG of more pixels than Pillow
            deems safe is halved by its decoder, not refused.
        scale_grey: Whether 16-bit grey is scaled to 8 bits; else all above 255 is white, and the log says so.
    """

    as_seen: bool = False
    scale_grey: bool = False


AS_EVALUATED, AS_SEEN = Reading(), Reading(as_seen=True)


def decode_image(data: bytes, *, name: str, reading: Reading = AS_EVALUATED) -> Image.Image:
    """Decode the bytes of one picture as RGB; of an animation, the first frame.

    Raises:
        NotAnImageError: They cannot be decoded whole, or are of more pixels than Pillow deems safe.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata; and a size that is checked here
            with Image.open(io.BytesIO(data)) as image:
                _require_safe_size(image, name, reading)
                orientation = _orientation(image) if reading.as_seen else 1
                rgb = take_rgb(image, name=name, reading=reading)
    except (MemoryError, NotAnImageError):
        raise
    except Exception as error:  # Pillow's decoders raise anything, SyntaxError included
        raise NotAnImageError(name, f"cannot be decoded ({_reason(error, data)})") from error
    if orientation in _TURNS:
        rgb = rgb.transpose(_TURNS[orientation])
        rgb.info[TURNED] = orientation
    return rgb


def _require_safe_size(image: Image.Image, name: str, reading: Reading) -> None:
    """Refuse a picture of more pixels than Pillow deems safe; a JPEG that is to be seen is halved first."""
    width, height = image.size
    most = Image.MAX_IMAGE_PIXELS or math.inf
    if reading.as_seen and width * height > most:
        image.draft(None, (width // 2, height // 2))
    if image.width * image.height > most:
        problem = f"{width} by {height} pixels are more than the {most:,} that are decoded"
        raise NotAnImageError(name, problem)


def _orientation(image: Image.Image) -> object:
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # metadata that is broken turns nothing
        return 1


def take_rgb(image: Image.Image, *, name: str, reading: Reading) -> Image.Image:
    """Convert a picture of any mode into RGB.

    Raises:
        ValueError: It has no RGB form.
    """
    if image.mode.startswith("I;16"):
        grey = np.asarray(image).astype(np.uint32)
        if reading.scale_grey:
            return Image.fromarray(((grey * 255 + 32767) // 65535).astype(np.uint8)).convert("RGB")
        if grey.max() > 255:
            what = "%s: of its 16-bit grey all above 255 is white, as in evaluations; scale_grey scales it"
            log.warning(what, printable(name))
    return image.convert("RGB")


def _reason(error: Exception, data: bytes) -> str:
    """Return in a few words why a picture could not be decoded."""
    if not data:
        return "the file is empty"
    if isinstance(error, UnidentifiedImageError):
        return "no picture format is recognised"
    return str(error).rstrip(".") or type(error).__name__


def resize_px(spec: Preprocessing) -> int:
    """Compute the side that a picture's short side, or by `crop_mode` another, is resized to.

    Raises:
        UsageError: The settings are not ones that this preprocessing has.

    Source:
        Rounded down, as `transforms_imagenet_eval` of timm 1.0.31 does.
    """
    if not 0 < spec.crop_fraction <= 1:
        raise UsageError(f"the crop fraction must lie in (0, 1], not {spec.crop_fraction}")
    if spec.interpolation not in FILTERS:
        raise UsageError(f"{spec.interpolation!r} is no interpolation; there are: {', '.join(FILTERS)}")
    if spec.crop_mode not in CROP_MODES:
        raise UsageError(f"{spec.crop_mode!r} is no crop mode; there are: {', '.join(CROP_MODES)}")
    return math.floor(spec.input_px / spec.crop_fraction)


def pixels_uint8(image: Image.Image, spec: Preprocessing) -> np.ndarray:
    """Resize a picture and keep the centre square, filled up with the mean where it is too small.

    Returns:
        uint8, shape (input_px, input_px, 3), RGB.

    Raises:
        NotAnImageError: The picture is so narrow that resizing it would fill the memory.
        UsageError: As of `resize_px`.

    Source:
        torchvision 0.29 `Resize` and `CenterCrop`: the long side rounds down, the margin to even; timm 1.0.31
        `ResizeKeepRatio` and `CenterCropOrPad`: sides round to even, the margin down.
    """
    width, height = _resized(image.size, spec)
    if not 0 < width * height <= MAX_RESIZED_PIXELS:
        was = "{} by {} pixels".format(*image.size)
        raise NotAnImageError("picture", f"{was} is too narrow to resize; it would be {width} by {height}")
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    resized = rgb.resize((width, height), FILTERS[spec.interpolation])

    px = spec.input_px
    left, top = ((px - side) // 2 if side < px else -round((side - px) / 2) for side in resized.size)
    if spec.crop_mode != "border":
        return np.array(resized.crop((-left, -top, px - left, px - top)))
    red, green, blue = (round(255 * part) for part in spec.mean)
    square = Image.new("RGB", (px, px), (red, green, blue))
    square.paste(resized, (left, top))
    return np.array(square)


def _resized(size: tuple[int, int], spec: Preprocessing) -> tuple[int, int]:
    """Compute width and height of the picture before its centre is kept."""
    px = resize_px(spec)
    if spec.crop_mode == "squash":
        return px, px
    if spec.crop_mode == "border":
        ratio = max(size) / px
        return round(size[0] / ratio), round(size[1] / ratio)
    return px * size[0] // min(size), px * size[1] // min(size)


def normalise(pixels: torch.Tensor, spec: Preprocessing) -> torch.Tensor:
    """Scale bytes to 0..1, then normalise each channel.

    Args:
        pixels: uint8, shape (N, H, W, 3), on any device.

    Returns:
        float32, shape (N, 3, H, W), on the same device, laid out channels last.
    """
    import torch

    # A tensor and not the number 255: CUDA multiplies by the reciprocal of a number, which rounds otherwise.
    full, mean, std = (torch.tensor(v, device=pixels.device) for v in ((255.0,) * 3, spec.mean, spec.std))
    return pixels.to(torch.float32).div_(full).sub_(mean).div_(std).permute(0, 3, 1, 2)
