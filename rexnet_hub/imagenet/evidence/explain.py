"""Find why an accuracy differs: the same images under one change at a time."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from rexnet_hub.errors import UsageError
from rexnet_hub.imagenet.data.dataset import Dataset
from rexnet_hub.imagenet.data.pixels import AS_SEEN, FILTERS, decode_image, normalise, pixels_uint8, resize_px
from rexnet_hub.imagenet.data.tiles import ImageTiles, run_ahead
from rexnet_hub.imagenet.evidence.verdict import Interval, exact_interval
from rexnet_hub.imagenet.run.runner import (
    TILE_IMAGES,
    ModelUnderTest,
    Runner,
    count_cores,
    exact_arithmetic,
    find_device,
    ready_runner,
    use_one_thread,
)
from rexnet_hub.index import Preprocessing

#: The number that is expected may be of other images of the same kind: as if both were drawn from very many.
_ENDLESS = 1 << 30


class Picture(NamedTuple):
    """An image as it is stored and as it is decoded."""

    data: bytes
    image: Image.Image


@dataclass(frozen=True, slots=True)
class Deviation:
    """One way in which an evaluation can differ from the one that was published.

    Attributes:
        pixels: Turns a picture, under settings, into uint8 (px, px, 3).
        settings: Those that are other than stated.
    """

    name: str
    pixels: Callable[[Picture, Preprocessing], np.ndarray] = lambda p, spec: pixels_uint8(p.image, spec)
    settings: Mapping[str, Any] = field(default_factory=dict)
    bgr: bool = False
    dtype: str = "fp32"


def list_changes(spec: Preprocessing) -> list[Deviation]:
    """List what is tried: no change, then each change that these settings allow."""
    filters = [name for name in ("bicubic", "bilinear", "nearest", "lanczos") if name != spec.interpolation]
    crops = [crop for crop in (0.875, 0.9, 0.95, 1.0) if crop != spec.crop_fraction]
    return [
        Deviation("as stated"),
        *(Deviation(f"interpolation {name}", settings={"interpolation": name}) for name in filters),
        Deviation("resize without antialias", _without_antialias),
        *(Deviation(f"crop fraction {crop:g}", settings={"crop_fraction": crop}) for crop in crops),
        Deviation("resize rounded up", _rounded_up),
        Deviation("squash instead of crop", settings={"crop_mode": "squash"}),
        Deviation("channels in BGR order", bgr=True),
        Deviation("no mean and std", settings={"mean": (0.0,) * 3, "std": (1.0,) * 3}),
        Deviation("mean and std of 0.5", settings={"mean": (0.5,) * 3, "std": (0.5,) * 3}),
        Deviation("EXIF orientation applied", _turned),
        Deviation("decoder that scales", _scaled_by_decoder),
        Deviation("bf16 autocast", dtype="bf16"),
    ]


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


def _turned(picture: Picture, spec: Preprocessing) -> np.ndarray:
    """Rotate the picture as its camera stood."""
    return pixels_uint8(decode_image(picture.data, name="picture", reading=AS_SEEN), spec)


def _scaled_by_decoder(picture: Picture, spec: Preprocessing) -> np.ndarray:
    """Shrink a large picture in the JPEG decoder before it is resized."""
    with Image.open(io.BytesIO(picture.data)) as image:
        image.draft("RGB", (resize_px(spec), resize_px(spec)))
        return pixels_uint8(image, spec)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """The outcome of one change.

    Attributes:
        change: Its name; the first trial is `as stated`.
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
        trials: As stated, then one for each change.
        best: The change that comes nearest, where its interval holds the number and the stated
            settings' does not; else None.
        also: Names of the other changes whose intervals hold the number then; more images would tell.
    """

    model: str
    data: str
    expected_percent: float
    trials: tuple[Trial, ...]
    best: Trial | None
    also: tuple[str, ...]

    def __str__(self) -> str:
        rows = [
            f"{trial.change:24} {trial.top1_percent:7.3f} %  [{trial.interval.low_percent:.2f}, "
            f"{trial.interval.high_percent:.2f}]  {trial.changed:,} changed"
            for trial in self.trials
        ]
        first = self.trials[0].interval
        if self.best:
            last = f"explained by: {self.best.change}"
            last += f"; on so few images also by: {', '.join(self.also)}" if self.also else ""
        elif self.expected_percent in first:
            last = "nothing to explain: the stated settings are consistent with the number"
        else:
            last = "not explained by any of these"
        return "\n".join([f"{self.model}, expected {self.expected_percent:g} % on {self.data}", *rows, last])


def explain_accuracy(
    model: ModelUnderTest, data: Dataset, expected_percent: float, *, device: str = "cpu"
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
        runner = replace(runner, among=data.benchmark.mask)
        tiles = ImageTiles(images=data.images, geometries=(), tile_images=TILE_IMAGES[where.type])
        jobs = (partial(_try_tile, runner, changes, tiles, tile) for tile in range(len(tiles)))
        on_cpu = where.type == "cpu"
        threads = count_cores() if on_cpu else 1
        start = use_one_thread if on_cpu else None
        answers = run_ahead(jobs, threads=threads, ahead=2 * threads, initializer=start)
        classes = np.concatenate(list(answers), axis=1)  # (changes, images)
    stated, *others = trials = tuple(
        _count(change.name, row, classes[0], labels) for change, row in zip(changes, classes, strict=True)
    )
    is_plain = expected_percent in stated.interval
    able = [trial for trial in others if expected_percent in trial.interval and not is_plain]
    able.sort(key=lambda trial: abs(trial.top1_percent - expected_percent))
    return Explanation(
        model=model.name,
        data=data.description,
        expected_percent=expected_percent,
        trials=trials,
        best=able[0] if able else None,
        also=tuple(trial.change for trial in able[1:]),
    )


def _try_tile(runner: Runner, changes: Sequence[Deviation], tiles: ImageTiles, tile: int) -> np.ndarray:
    """Return the likeliest class of a tile's images under every change: shape (changes, rows)."""
    stored = [(image.name, image.read()) for image in tiles.images[tiles.rows(tile)]]
    pictures = [Picture(data, decode_image(data, name=name)) for name, data in stored]
    answers = []
    for change in changes:
        spec = replace(runner.model.preprocessing, **change.settings)
        pixels = tiles.black(spec)
        for row, picture in enumerate(pictures):
            pixels[row] = change.pixels(picture, spec)
        batch = normalise(torch.from_numpy(pixels).to(runner.device), spec)
        batch = batch.flip(1) if change.bgr else batch
        classes = replace(runner, dtype=change.dtype).rank(batch, [name for name, _ in stored])
        answers.append(classes[:, 0])
    return np.stack(answers)


def _count(name: str, classes: np.ndarray, stated: np.ndarray, labels: np.ndarray) -> Trial:
    right = int((classes == labels).sum())
    return Trial(
        change=name,
        top1_count=right,
        top1_percent=100 * right / len(labels),
        interval=exact_interval(right, len(labels), of=_ENDLESS),
        changed=int((classes != stated).sum()),
    )
