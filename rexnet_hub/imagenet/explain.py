"""Find out why an accuracy is off: the same images under one change at a time."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from PIL import Image, ImageOps

from rexnet_hub.errors import UsageError
from rexnet_hub.imagenet.dataset import Dataset
from rexnet_hub.imagenet.network import (
    TILE_IMAGES,
    ModelUnderTest,
    Runner,
    count_cores,
    exact_arithmetic,
    find_device,
    ready_runner,
    use_one_thread,
)
from rexnet_hub.imagenet.pixels import FILTERS, decode_image, normalise, pixels_uint8, resize_px
from rexnet_hub.imagenet.tiles import count_tiles, run_ahead, slice_tile
from rexnet_hub.imagenet.verdict import Interval, exact_interval
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
class Change:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What came of one change.

    Attributes:
        change: Its name; the first trial is `as stated`.
        top1_count: Images that the network had right.
        top1_percent: The same of all, in percentage points.
        interval: Of the accuracy that the images were drawn from.
        changed: Images whose likeliest class is another than as stated.
    """

    change: str
    top1_count: int
    top1_percent: float
    interval: Interval
    changed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Which change gives the number that was expected.

    Attributes:
        model: The network's name.
        data: What the images are, in words.
        expected_percent: The number to explain.
        trials: As stated, then one for each change.
        best: The change that comes nearest, where its interval holds the number and the stated
            settings' does not; else None.
    """

    model: str
    data: str
    expected_percent: float
    trials: tuple[Trial, ...]
    best: Trial | None

    def __str__(self) -> str:
        rows = [
            f"{trial.change:24} {trial.top1_percent:7.3f} %  [{trial.interval.low_percent:.2f}, "
            f"{trial.interval.high_percent:.2f}]  {trial.changed:,} changed"
            for trial in self.trials
        ]
        first = self.trials[0].interval
        if self.best:
            last = f"explained by: {self.best.change}"
        elif first.low_percent <= self.expected_percent <= first.high_percent:
            last = "nothing to explain: the stated settings are consistent with the number"
        else:
            last = "not explained by any of these"
        return "\n".join([f"{self.model}, expected {self.expected_percent:g} % on {self.data}", *rows, last])


def explain_accuracy(
    model: ModelUnderTest,
    data: Dataset,
    expected_percent: float,
    *,
    device: str = "cpu",
    threads: int | None = None,
) -> Explanation:
    """Evaluate the same images under each change, and say which gives the expected number.

    Raises:
        NotAnImageError: An image cannot be decoded.
        EvaluationError: The network's answers cannot be counted.
        UsageError: The request makes no sense.
    """
    if not 0 <= expected_percent <= 100:
        raise UsageError(f"{expected_percent} is no percentage")
    changes = list_changes(model.preprocessing)
    labels = np.array([image.label for image in data.images])
    with exact_arithmetic():
        where = find_device(device)
        runner = ready_runner(model, where, dtype="fp32", channels_last=False, compiled=False)
        tile_images = TILE_IMAGES[where.type]
        tiles = range(count_tiles(len(data.images), tile_images))
        jobs = (partial(_try_tile, runner, changes, data, tile, tile_images) for tile in tiles)
        on_cpu = where.type == "cpu"
        threads = (threads or count_cores()) if on_cpu else 1
        answers = run_ahead(
            jobs, threads=threads, ahead=2 * threads, initializer=use_one_thread if on_cpu else None
        )
        classes = np.concatenate(list(answers), axis=1)  # (changes, images)
    trials = tuple(
        _count(change.name, row, classes[0], labels) for change, row in zip(changes, classes, strict=True)
    )
    return Explanation(
        model=model.name,
        data=data.description,
        expected_percent=expected_percent,
        trials=trials,
        best=_nearest(trials, expected_percent),
    )


def _try_tile(
    runner: Runner, changes: Sequence[Change], data: Dataset, tile: int, tile_images: int
) -> np.ndarray:
    """Give the likeliest class of a tile's images under every change: shape (changes, rows)."""
    images = slice_tile(data.images, tile, tile_images)
    names, spec = [image.name for image in images], runner.model.preprocessing
    pictures = [open_picture(image.place.read_bytes(), name=image.name) for image in images]
    answers = []
    for change in changes:
        pixels = np.zeros((tile_images, spec.input_px, spec.input_px, 3), np.uint8)
        for row, picture in enumerate(pictures):
            pixels[row] = change.pixels(picture, spec)
        batch = normalise(torch.from_numpy(pixels).to(runner.device), change.settings(spec))
        batch = batch.flip(1) if change.bgr else batch
        answers.append(replace(runner, dtype=change.dtype).rank(batch, names)[:, 0])
    return np.stack(answers)


def _count(name: str, classes: np.ndarray, stated: np.ndarray, labels: np.ndarray) -> Trial:
    right = int((classes == labels).sum())
    return Trial(
        change=name,
        top1_count=right,
        top1_percent=100 * right / len(labels),
        interval=exact_interval(right, len(labels)),
        changed=int((classes != stated).sum()),
    )


def _nearest(trials: Sequence[Trial], expected_percent: float) -> Trial | None:
    """Choose the change that explains the number."""

    def holds(trial: Trial) -> bool:
        return trial.interval.low_percent <= expected_percent <= trial.interval.high_percent

    stated, *others = trials
    able = [trial for trial in others if holds(trial)]
    if holds(stated) or not able:
        return None
    return min(able, key=lambda trial: abs(trial.top1_percent - expected_percent))


def list_changes(spec: Preprocessing) -> list[Change]:
    """List what is tried: no change, then each change that these settings allow."""
    filters = [name for name in ("bicubic", "bilinear", "nearest", "lanczos") if name != spec.interpolation]
    crops = [crop for crop in (0.875, 0.9, 0.95, 1.0) if crop != spec.crop_fraction]
    halves = (0.5, 0.5, 0.5)
    return [
        Change(name="as stated", pixels=_as_stated),
        *(
            Change(name=f"interpolation {name}", pixels=partial(_other, interpolation=name))
            for name in filters
        ),
        Change(name="resize without antialias", pixels=_without_antialias),
        *(
            Change(name=f"crop fraction {crop:g}", pixels=partial(_other, crop_fraction=crop))
            for crop in crops
        ),
        Change(name="resize rounded up", pixels=_rounded_up),
        Change(name="squash instead of crop", pixels=_squash),
        Change(name="channels in BGR order", pixels=_as_stated, bgr=True),
        Change(
            name="no mean and std",
            pixels=_as_stated,
            settings=lambda spec: replace(spec, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
        ),
        Change(
            name="mean and std of 0.5",
            pixels=_as_stated,
            settings=lambda spec: replace(spec, mean=halves, std=halves),
        ),
        Change(name="EXIF orientation applied", pixels=_turned),
        Change(name="decoder that scales", pixels=_scaled_by_decoder),
        Change(name="bf16 autocast", pixels=_as_stated, dtype="bf16"),
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
