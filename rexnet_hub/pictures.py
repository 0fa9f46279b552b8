"""Turn pictures, in whatever form, into the batch of a network."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rexnet_hub.addresses import redact_url
from rexnet_hub.errors import NotAnImageError, UsageError
from rexnet_hub.imagenet.data.dataset import read_file
from rexnet_hub.imagenet.data.pixels import FILTERS, Reading, decode_image, normalise, pixels_uint8, take_rgb
from rexnet_hub.index import Preprocessing
from rexnet_hub.terminal import printable
from rexnet_hub.weights.download import FetchPolicy, fetch_bytes

#: A picture that is longer is not fetched.
MAX_FETCHED_BYTES = 64 << 20
POLICY = FetchPolicy(total_seconds=60, attempts=3)

#: The crop that is drawn in training: its part of the picture's area and its shape, as torchvision draws it.
CROP_AREA, CROP_SHAPE, CROP_TRIALS = (0.08, 1.0), (3 / 4, 4 / 3), 10


class Batch(dict[str, Tensor]):
    """A batch as processors in transformers return it: `pixel_values`, by key or attribute."""

    @property
    def pixel_values(self) -> Tensor:
        """The batch, float32 of shape (N, 3, input_px, input_px)."""
        return self["pixel_values"]

    def to(self, *args: Any, **options: Any) -> Batch:
        """Return the batch on another device, or of another dtype."""
        return Batch({name: tensor.to(*args, **options) for name, tensor in self.items()})


@dataclass(frozen=True)
class ImageProcessor:
    """Turns pictures into a batch.

    A picture gives the same batch in whatever form it is: a PIL image, a path, an https address, the bytes
    of a file, an open file, or pixels as NumPy or torch have them: (H, W), (H, W, C) or (C, H, W), bytes or
    floats in 0..1, RGB, RGBA or grey. Several are a list, of any sizes and forms, or an array of one more
    dimension.

    Attributes:
        labels: A name for each class; empty where the repo has none.
        training: Whether each picture is cropped and mirrored at random.
    """

    preprocessing: Preprocessing
    labels: tuple[str, ...] = ()
    training: bool = False

    @overload
    def __call__(
        self, images: Any, *, return_tensors: None = None, as_seen: bool = ..., scale_grey: bool = ...
    ) -> Tensor: ...

    @overload
    def __call__(
        self, images: Any, *, return_tensors: str, as_seen: bool = ..., scale_grey: bool = ...
    ) -> Batch: ...

    def __call__(
        self,
        images: Any,
        *,
        return_tensors: str | None = None,
        as_seen: bool = True,
        scale_grey: bool = False,
    ) -> Tensor | Batch:
        """Convert one picture or several into a batch.

        Args:
            images: A picture in one of these forms, or several.
            return_tensors: `pt` for a mapping with `pixel_values`, as in transformers; None for the tensor.
            as_seen: Whether what is opened here is turned as its EXIF orientation says, as transformers'
                pipelines do; False as accuracies are measured, and timm does. A PIL image, which somebody
                opened already, is left as it is.
            scale_grey: Whether 16-bit grey is scaled to 8 bits; else all above 255 is white, as in timm.

        Returns:
            float32, (N, 3, input_px, input_px), channels in RGB order; or a `Batch` with it.

        Raises:
            UsageError: It is nothing that a picture can be.
            NotAnImageError: A file is not a picture.
            FetchError: An address cannot be fetched.
        """
        if return_tensors not in (None, "pt"):
            raise UsageError(f"return_tensors is 'pt' for torch's, or None, not {return_tensors!r}")
        reading = Reading(as_seen=as_seen, scale_grey=scale_grey)
        pixels = [self._pixels(name, picture, reading) for name, picture in _several(images)]
        batch = normalise(torch.from_numpy(np.stack(pixels)), self.preprocessing).contiguous()
        return batch if return_tensors is None else Batch(pixel_values=batch)

    def train(self) -> ImageProcessor:
        """Return the processor to train with: a random crop, mirrored every other time.

        As torchvision's `RandomResizedCrop` and `RandomHorizontalFlip` do by default, from torch's own
        random numbers: in a `DataLoader` each worker has its own.
        """
        return replace(self, training=True)

    def eval(self) -> ImageProcessor:
        """Return the processor to evaluate with."""
        return replace(self, training=False)

    def _pixels(self, name: str, picture: Any, reading: Reading) -> np.ndarray:
        try:
            image = open_picture(picture, name=name, reading=reading)
        except NotAnImageError as error:
            raise NotAnImageError(name, error.problem) from None
        except (ValueError, OSError) as error:  # a file that is closed, a path with a null byte
            raise UsageError(f"{printable(name)}: cannot be read: {error}") from None
        return (crop_at_random if self.training else pixels_uint8)(image, self.preprocessing)


def _several(images: Any) -> Iterator[tuple[str, Any]]:
    """List pictures with the names that errors give them."""
    is_array = isinstance(images, np.ndarray | Tensor)
    if not isinstance(images, list | tuple) and not (is_array and images.ndim == 4):
        images = [images]
    if not len(images):
        raise UsageError("there is no picture in an empty list")
    for number, picture in enumerate(images):
        name = str(picture) if isinstance(picture, str | os.PathLike) else f"picture {number}"
        yield redact_url(name) if is_address(picture) else name, picture


def is_address(picture: Any) -> bool:
    """Return whether a picture is given as an address of the web."""
    return isinstance(picture, str) and "://" in picture


def open_picture(picture: Any, *, name: str, reading: Reading) -> Image.Image:
    """Open a picture of any form as RGB.

    Raises:
        UsageError: It is nothing that a picture can be.
        NotAnImageError: It is not a picture.
        FetchError: It is an address that cannot be fetched.
    """
    if isinstance(picture, np.ndarray | Tensor):
        picture = _image_of(picture, name)
    if isinstance(picture, Image.Image):
        try:
            return take_rgb(picture, name=name, reading=reading)
        except (ValueError, OSError) as error:
            raise NotAnImageError(name, str(error)) from error
    if is_address(picture):
        picture = fetch_picture(picture)
    elif isinstance(picture, str | os.PathLike):
        picture = read_file(Path(picture))
    elif hasattr(picture, "read"):
        picture = picture.read()
    if not isinstance(picture, bytes | bytearray | memoryview):
        forms = "a PIL image, a path, an https address, bytes, a file opened as binary, an array or a tensor"
        raise UsageError(f"{name}: {type(picture).__name__} is no picture; it can be {forms}")
    return decode_image(bytes(picture), name=name, reading=reading)


def fetch_picture(address: str) -> bytes:
    """Fetch a picture from a public https address, up to 64 MiB within a minute.

    Raises:
        FetchError: It cannot be fetched.
    """
    return fetch_bytes(address, policy=POLICY, max_bytes=MAX_FETCHED_BYTES)


def _image_of(pixels: np.ndarray | Tensor, name: str) -> Image.Image:
    """Convert pixels of one picture; where the first dimension can be the channels, it is.

    Raises:
        UsageError: They are not those of a picture.
    """
    if isinstance(pixels, Tensor):
        if pixels.is_meta or pixels.layout is not torch.strided or pixels.is_quantized:
            kind = f"{pixels.layout}, {pixels.dtype}, on the device {pixels.device}"
            raise UsageError(f"{name}: of a tensor ({kind}) no pixels can be read; give a dense one")
        pixels = pixels.detach().cpu()
        pixels = (pixels.float() if pixels.is_floating_point() else pixels).numpy()
    shape = "x".join(map(str, pixels.shape)) or "single numbers"
    if pixels.ndim == 3 and pixels.shape[0] in (1, 3, 4):
        pixels = np.moveaxis(pixels, 0, -1)
    if pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (1,), (3,), (4,)) or not pixels.size:
        raise UsageError(f"{name}: {shape} are no pixels; give (H, W), or 1, 3 or 4 channels first or last")
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.dtype == np.uint16 and pixels.ndim == 2:
        return Image.fromarray(np.ascontiguousarray(pixels))
    return Image.fromarray(np.ascontiguousarray(_bytes_of(pixels, name)))


def _bytes_of(pixels: np.ndarray, name: str) -> np.ndarray:
    """Convert numbers into bytes: floats in 0..1 times 255, whole numbers in 0..255 as they are."""
    if pixels.dtype == np.uint8:
        return pixels
    is_number = pixels.dtype.kind in "iuf"
    least, most = (float(pixels.min()), float(pixels.max())) if is_number else (math.nan, math.nan)
    if pixels.dtype.kind == "f" and 0 <= least <= most <= 1:
        pixels, least, most = np.rint(pixels * 255), 0, 255
    if 0 <= least <= most <= 255 and np.array_equal(pixels, np.rint(pixels)):
        whole: np.ndarray = pixels.astype(np.uint8)
        return whole
    found = f"{pixels.dtype} from {least:g} to {most:g}" if is_number else str(pixels.dtype)
    raise UsageError(f"{name}: pixels are bytes, or floats in 0..1; these are {found} (normalised already?)")


def crop_at_random(image: Image.Image, spec: Preprocessing) -> np.ndarray:
    """Draw a crop of a picture, resize it, and mirror it every other time.

    Returns:
        uint8, shape (input_px, input_px, 3), RGB.

    Source:
        torchvision 0.29 `RandomResizedCrop` and `RandomHorizontalFlip`: the same of the same random numbers.
    """
    px = spec.input_px
    crop = image.crop(_draw_box(*image.size)).resize((px, px), FILTERS[spec.interpolation])
    return np.array(crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if torch.rand(1) < 0.5 else crop)


def _draw_box(width: int, height: int) -> tuple[int, int, int, int]:
    """Draw left, top, right and bottom; where no draw fits, take the largest middle box allowed."""
    shapes = torch.log(torch.tensor(CROP_SHAPE))
    for _ in range(CROP_TRIALS):
        area = width * height * torch.empty(1).uniform_(*CROP_AREA).item()
        shape = torch.exp(torch.empty(1).uniform_(float(shapes[0]), float(shapes[1]))).item()
        w, h = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
        if 0 < w <= width and 0 < h <= height:
            top = int(torch.randint(0, height - h + 1, size=(1,)))
            left = int(torch.randint(0, width - w + 1, size=(1,)))
            return left, top, left + w, top + h
    w = min(width, round(height * CROP_SHAPE[1]))
    h = min(height, round(width / CROP_SHAPE[0]))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h
