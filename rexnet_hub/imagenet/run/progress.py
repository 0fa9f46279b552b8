"""Show how far a run is: a bar for people, values for machines."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import numpy as np
from tqdm import tqdm

from rexnet_hub.imagenet.evidence.verdict import Interval, exact_interval


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningAccuracy:
    """A model's accuracy on the images that were seen so far.

    Attributes:
        interval: Of the accuracy on all, if the images come in no particular order.
    """

    model: str
    top1_percent: float
    interval: Interval

    def __str__(self) -> str:
        low, high = self.interval.low_percent, self.interval.high_percent
        return f"{self.model} top-1 {self.top1_percent:.2f} [{low:.2f}, {high:.2f}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunProgress:
    """The progress of this process.

    Attributes:
        images_done: Of this process's share, those of an earlier run that was killed included.
        images_per_second: In this run.
        seconds_left: At that pace.
    """

    images_done: int
    images_total: int
    images_per_second: float
    seconds_left: float
    accuracies: tuple[RunningAccuracy, ...]

    def as_json(self) -> str:
        """Return one line of JSON."""
        return json.dumps(asdict(self))


@contextmanager
def open_meter(
    models: Sequence[str],
    images_total: int,
    on_progress: Callable[[RunProgress], None] | None,
    *,
    quiet: bool,
    first: str,
) -> Iterator[Callable[..., None]]:
    """Open a bar on a terminal, and yield what counts a finished tile for the bar and the callback.

    It takes classes of shape (models, rows, 5), labels of shape (rows,), and whether this run computed them.

    Args:
        first: What the bar says until a tile is finished.
    """
    images_done, images_new, started = 0, 0, time.monotonic()
    top1_counts = np.zeros(len(models), np.int64)

    def accuracy_of(number: int) -> RunningAccuracy:
        count = int(top1_counts[number])
        percent, interval = 100 * count / images_done, exact_interval(count, images_done, of=images_total)
        return RunningAccuracy(model=models[number], top1_percent=percent, interval=interval)

    def add(classes: np.ndarray, labels: np.ndarray, *, is_new: bool = True) -> None:
        nonlocal images_done, images_new, top1_counts
        top1_counts += (classes[:, :, 0] == labels).sum(axis=1)
        images_done += len(labels)
        images_new += len(labels) if is_new else 0
        if not bar.disable:
            bar.set_postfix_str(str(accuracy_of(0)))
            bar.update(len(labels))
        if on_progress and is_new:
            pace = images_new / max(time.monotonic() - started, 1e-9)
            on_progress(
                RunProgress(
                    images_done=images_done,
                    images_total=images_total,
                    images_per_second=pace,
                    seconds_left=(images_total - images_done) / pace,
                    accuracies=tuple(map(accuracy_of, range(len(models)))),
                )
            )

    # None: a bar on a terminal only.
    off = True if quiet else None
    with tqdm(total=images_total, unit=" images", disable=off, smoothing=0.1, postfix=first) as bar:
        yield add
