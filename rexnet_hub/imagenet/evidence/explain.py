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

from rexnet_hub.errors import RecordError, UsageError
from rexnet_hub.imagenet.data.dataset import Dataset
from rexnet_hub.imagenet.data.pixels import AS_SEEN, FILTERS, decode_image, normalise, pixels_uint8, resize_px
from rexnet_hub.imagenet.data.tiles import ImageTiles, run_ahead
from rexnet_hub.imagenet.evidence.predictions import Predictions
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
#: The share of images that a cause must answer as the other side did; rounding turns a few.
NEARLY_ALL = 0.99


class Picture(NamedTuple):
    """An image as it is stored and as it is decoded."""

    data: bytes
    image: Image.Image


@dataclass(frozen=True, slots=True)
class Deviation:
    """One way in which an evaluation can differ from the one that was published.

    Attributes:
        pixels: Turns a picture, under settings, into uint8 (px, px, 3), in another way than ours.
        settings: Those that are other than stated.
    """

    name: str
    pixels: Callable[[Picture, Preprocessing], np.ndarray] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    bgr: bool = False
    dtype: str = "fp32"

    def make(self, picture: Picture, spec: Preprocessing) -> np.ndarray:
        """Turn a picture into pixels."""
        return self.pixels(picture, spec) if self.pixels else pixels_uint8(picture.image, spec)


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
        agreed: Images whose likeliest class is the other side's, where that is known.
    """

    change: str
    top1_count: int
    top1_percent: float
    interval: Interval
    changed: int
    agreed: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Which change gives the number, or the answers, of another side.

    Attributes:
        trials: As stated, then one for each change, then pairs where no change alone gives the answers.
        cause: The change, or pair, that answers nearly every image as the other side did; None without its
            answers, or where there is none.
        possible: Without its answers, the changes whose intervals hold the number, the nearest first; an
            accuracy alone does not tell which of them it was, or whether it was any.
    """

    model: str
    data: str
    expected_percent: float
    trials: tuple[Trial, ...]
    cause: str | None
    possible: tuple[str, ...]

    def __str__(self) -> str:
        rows = [
            f"{trial.change:24} {trial.top1_percent:7.3f} %  [{trial.interval.low_percent:.2f}, "
            f"{trial.interval.high_percent:.2f}]  {trial.changed:,} changed"
            + ("" if trial.agreed is None else f", {trial.agreed:,} agree")
            for trial in self.trials
        ]
        first = self.trials[0]
        if self.cause == first.change:
            last = "nothing to explain: the stated settings give the other side's answers"
        elif self.cause:
            last = f"explained by: {self.cause}"
        elif first.agreed is not None:
            last = f"none of these: no change gives {NEARLY_ALL:.0%} of the other side's answers"
        elif self.expected_percent in first.interval:
            last = "nothing to explain: the stated settings are consistent with the number"
        elif self.possible:
            last = f"would give the number: {', '.join(self.possible)}; whether it was one of them, only the "
            last += "other side's predictions tell: --explain FILE.predictions"
        else:
            last = "none of these"
        return "\n".join([f"{self.model}, expected {self.expected_percent:g} % on {self.data}", *rows, last])


def explain_accuracy(
    model: ModelUnderTest, data: Dataset, expected: float | Predictions, *, device: str = "cpu"
) -> Explanation:
    """Evaluate the same images under each change, and say which gives what another side has.

    Args:
        expected: Its top-1 in percent; or its answers, which alone tell a cause from a coincidence. Then
            pairs of changes are tried too, with the one that agrees best.

    Raises:
        NotAnImageError: An image cannot be decoded.
        EvaluationError: The network's answers cannot be counted.
        RecordError: The answers are to other images.
        UsageError: The request makes no sense.
    """
    labels, answers = np.array([image.label for image in data.images]), None
    if isinstance(expected, Predictions):
        if not np.array_equal(expected.labels, labels):
            others = f"{len(expected.labels):,} other images than these {len(labels):,}, or in another order"
            raise RecordError(f"the predictions of {expected.head.model}", f"are of {others}")
        answers, expected = expected.top5[:, 0], 100 * expected.top1_count / len(labels)
    if not 0 <= expected <= 100:
        raise UsageError(f"{expected} is no percentage")
    changes = list_changes(model.preprocessing)
    classes = _try_all(model, data, changes, device)
    if answers is not None and (classes == answers).mean(axis=1).max() < NEARLY_ALL:
        best = changes[int((classes[1:] == answers).sum(axis=1).argmax()) + 1]
        pairs = [pair for other in changes[1:] if other is not best and (pair := _combine(best, other))]
        changes, classes = changes + pairs, np.vstack([classes, _try_all(model, data, pairs, device)])
    trials = tuple(
        _count(change.name, row, classes[0], labels, answers)
        for change, row in zip(changes, classes, strict=True)
    )
    is_plain = expected in trials[0].interval
    able = [trial for trial in trials[1:] if answers is None and expected in trial.interval and not is_plain]
    able.sort(key=lambda trial: abs(trial.top1_percent - expected))
    nearest = max(trials, key=lambda trial: trial.agreed or 0)
    is_cause = answers is not None and (nearest.agreed or 0) >= NEARLY_ALL * len(labels)
    return Explanation(
        model=model.name,
        data=data.description,
        expected_percent=expected,
        trials=trials,
        cause=nearest.change if is_cause else None,
        possible=tuple(trial.change for trial in able),
    )


def _combine(one: Deviation, other: Deviation) -> Deviation | None:
    """Make two changes one; None where both are of the same setting, or both make the pixels themselves."""
    own = [each.pixels for each in (one, other) if each.pixels]
    if len(own) > 1 or one.settings.keys() & other.settings.keys() or "bf16" == one.dtype == other.dtype:
        return None
    return Deviation(
        f"{one.name}, {other.name}",
        own[0] if own else None,
        settings={**one.settings, **other.settings},
        bgr=one.bgr or other.bgr,
        dtype=one.dtype if one.dtype != "fp32" else other.dtype,
    )


def _try_all(model: ModelUnderTest, data: Dataset, changes: Sequence[Deviation], device: str) -> np.ndarray:
    """Return the likeliest class of every image under every change: shape (changes, images)."""
    with exact_arithmetic():
        where = find_device(device)
        runner = ready_runner(model, where, dtype="fp32", channels_last=False, compiled=False)
        runner = replace(runner, among=data.benchmark.mask)
        tiles = ImageTiles(images=data.images, geometries=(), tile_images=TILE_IMAGES[where.type])
        jobs = (partial(_try_tile, runner, changes, tiles, tile) for tile in range(len(tiles)))
        on_cpu = where.type == "cpu"
        threads = count_cores() if on_cpu else 1
        start = use_one_thread if on_cpu else None
        tried = run_ahead(jobs, threads=threads, ahead=2 * threads, initializer=start)
        return np.concatenate(list(tried), axis=1)


def _try_tile(runner: Runner, changes: Sequence[Deviation], tiles: ImageTiles, tile: int) -> np.ndarray:
    """Return the likeliest class of a tile's images under every change: shape (changes, rows)."""
    stored = [(image.name, image.read()) for image in tiles.images[tiles.rows(tile)]]
    pictures = [Picture(data, decode_image(data, name=name)) for name, data in stored]
    answers = []
    for change in changes:
        spec = replace(runner.model.preprocessing, **change.settings)
        pixels = tiles.black(spec)
        for row, picture in enumerate(pictures):
            pixels[row] = change.make(picture, spec)
        batch = normalise(torch.from_numpy(pixels).to(runner.device), spec)
        batch = batch.flip(1) if change.bgr else batch
        classes = replace(runner, dtype=change.dtype).rank(batch, [name for name, _ in stored])
        answers.append(classes[:, 0])
    return np.stack(answers)


def _count(
    name: str, classes: np.ndarray, stated: np.ndarray, labels: np.ndarray, answers: np.ndarray | None
) -> Trial:
    right = int((classes == labels).sum())
    return Trial(
        change=name,
        top1_count=right,
        top1_percent=100 * right / len(labels),
        interval=exact_interval(right, len(labels), of=_ENDLESS),
        changed=int((classes != stated).sum()),
        agreed=None if answers is None else int((classes == answers).sum()),
    )
