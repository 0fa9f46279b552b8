"""Find out why an accuracy is off: the same images under one change at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from rexnet_hub.errors import UsageError
from rexnet_hub.imagenet.data.dataset import Dataset
from rexnet_hub.imagenet.data.pixels import normalise
from rexnet_hub.imagenet.data.tiles import count_tiles, run_ahead, slice_tile
from rexnet_hub.imagenet.evidence.changes import Deviation, list_changes, open_picture
from rexnet_hub.imagenet.evidence.verdict import Interval, exact_interval
from rexnet_hub.imagenet.run.network import (
    TILE_IMAGES,
    ModelUnderTest,
    Runner,
    count_cores,
    exact_arithmetic,
    find_device,
    ready_runner,
    use_one_thread,
)


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
    able = _explaining(trials, expected_percent)
    return Explanation(
        model=model.name,
        data=data.description,
        expected_percent=expected_percent,
        trials=trials,
        best=able[0] if able else None,
        also=tuple(trial.change for trial in able[1:]),
    )


def _try_tile(
    runner: Runner, changes: Sequence[Deviation], data: Dataset, tile: int, tile_images: int
) -> np.ndarray:
    """Return the likeliest class of a tile's images under every change: shape (changes, rows)."""
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


def _explaining(trials: Sequence[Trial], expected_percent: float) -> list[Trial]:
    """Choose the changes that explain the number, the nearest first."""

    def holds(trial: Trial) -> bool:
        return trial.interval.low_percent <= expected_percent <= trial.interval.high_percent

    stated, *others = trials
    able = [] if holds(stated) else [trial for trial in others if holds(trial)]
    return sorted(able, key=lambda trial: abs(trial.top1_percent - expected_percent))
