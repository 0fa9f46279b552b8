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


@dataclass(frozen=True, slots=True, kw_only=True)
class RunProgress:
    """The progress of this process.

    Attributes:
        images_done: Of this process's share, those of an earlier run that was killed included.
        images_total: Its share.
        images_per_second: In this run.
        seconds_left: At that pace.
        accuracies: One for each model.
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
    models: Sequence[str], images_total: int, on_progress: Callable[[RunProgress], None] | None, quiet: bool
) -> Iterator[Callable[..., None]]:
    """Open a bar on a terminal, and yield what counts a finished tile for the bar and the callback.

    It takes classes of shape (models, rows, 5), labels of shape (rows,), and whether this run computed them.
    """
    images_done, images_new, started = 0, 0, time.monotonic()
    top1_counts = np.zeros(len(models), np.int64)

    def add(classes: np.ndarray, labels: np.ndarray, *, is_new: bool = True) -> None:
        nonlocal images_done, images_new, top1_counts
        top1_counts += (classes[:, :, 0] == labels).sum(axis=1)
        images_done += len(labels)
        images_new += len(labels) if is_new else 0
        if not bar.disable:
            count = int(top1_counts[0])
            interval = exact_interval(count, images_done)
            text = f"[{interval.low_percent:.2f}, {interval.high_percent:.2f}]"
            bar.set_postfix_str(f"{models[0]} top-1 {100 * count / images_done:.2f} {text}")
            bar.update(len(labels))
        if on_progress and is_new:
            pace = images_new / max(time.monotonic() - started, 1e-9)
            accuracies = []
            for model, count in zip(models, top1_counts.tolist(), strict=True):
                percent, interval = 100 * count / images_done, exact_interval(count, images_done)
                accuracies.append(RunningAccuracy(model=model, top1_percent=percent, interval=interval))
            on_progress(
                RunProgress(
                    images_done=images_done,
                    images_total=images_total,
                    images_per_second=pace,
                    seconds_left=(images_total - images_done) / pace,
                    accuracies=tuple(accuracies),
                )
            )

    # None: a bar on a terminal only.
    with tqdm(total=images_total, unit=" images", disable=True if quiet else None, smoothing=0.1) as bar:
        yield add
