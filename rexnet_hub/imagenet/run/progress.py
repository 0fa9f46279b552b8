"""Show how far a run is: a bar for people, values for machines."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from types import TracebackType

import numpy as np
from tqdm import tqdm

from rexnet_hub.imagenet.evidence.verdict import Interval, wilson_interval


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningAccuracy:
    """A model's accuracy on the images that were seen so far.

    Attributes:
        model: Its name.
        top1_percent: On those images.
        interval: Of the accuracy on all, if the images come in no particular order.
    """

    model: str
    top1_percent: float
    interval: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far this process is.

    Attributes:
        images_done: Of this process's share, those of an earlier run that was killed included.
        images_total: Its share.
        images_per_second: In this run.
        seconds_left: At that pace; None before the first tile.
        accuracies: One for each model.
    """

    images_done: int
    images_total: int
    images_per_second: float
    seconds_left: float | None
    accuracies: tuple[RunningAccuracy, ...]

    def as_json(self) -> str:
        """Return one line of JSON."""
        return json.dumps(asdict(self))


class Meter:
    """Counts finished tiles and tells a bar on a terminal, and a callback."""

    def __init__(
        self,
        models: Sequence[str],
        images_total: int,
        on_progress: Callable[[Progress], None] | None,
        quiet: bool,
    ) -> None:
        self.models, self.images_total, self.on_progress = models, images_total, on_progress
        self.images_done, self.images_new, self.started = 0, 0, time.monotonic()
        self.right = np.zeros(len(models), np.int64)
        # None: a bar on a terminal only.
        self.bar = tqdm(total=images_total, unit=" images", disable=True if quiet else None, smoothing=0.1)

    def __enter__(self) -> Meter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.close()

    def add(self, classes: np.ndarray, labels: np.ndarray, *, is_new: bool = True) -> None:
        """Count a tile: classes of shape (models, rows, 5), labels of shape (rows,)."""
        self.right += (classes[:, :, 0] == labels).sum(axis=1)
        self.images_done += len(labels)
        self.images_new += len(labels) if is_new else 0
        progress = self.read()
        if not self.bar.disable:
            first = progress.accuracies[0]
            low, high = first.interval.low_percent, first.interval.high_percent
            self.bar.set_postfix_str(f"{first.model} top-1 {first.top1_percent:.2f} [{low:.2f}, {high:.2f}]")
            self.bar.update(len(labels))
        if self.on_progress and is_new:
            self.on_progress(progress)

    def read(self) -> Progress:
        """Return how far the run is."""
        pace = self.images_new / max(time.monotonic() - self.started, 1e-9)
        accuracies = tuple(
            RunningAccuracy(
                model=model,
                top1_percent=100 * int(right) / self.images_done,
                interval=wilson_interval(int(right), self.images_done),
            )
            for model, right in zip(self.models, self.right, strict=True)
        )
        left = self.images_total - self.images_done
        return Progress(
            images_done=self.images_done,
            images_total=self.images_total,
            images_per_second=pace,
            seconds_left=left / pace if pace else None,
            accuracies=accuracies,
        )
