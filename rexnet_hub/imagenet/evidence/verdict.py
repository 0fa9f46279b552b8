"""Judge a claimed accuracy by a sample: an interval, and one of three words."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from rexnet_hub.errors import UsageError

LEVEL = 0.95


class Word(StrEnum):
    """The power of a sample."""

    CONSISTENT = "consistent"
    NOT_CONSISTENT = "not consistent"
    TOO_FEW = "too few to tell"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """The accuracies that an observed count does not speak against.

    Attributes:
        level: How often such an interval holds the true accuracy, at least.
    """

    low_percent: float
    high_percent: float
    level: float

    def __contains__(self, percent: float) -> bool:
        return self.low_percent <= percent <= self.high_percent


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The verdict of a sample on a claim.

    Attributes:
        word: `not consistent`: the interval excludes the claim. `consistent`: it holds the claim and
            excludes what is `drop_points` below. `too few to tell`: it holds both.
        interval: Of the accuracy that the sample was drawn from.
        drop_points: The drop that must be told from the claim, in percentage points.
        images_needed: How many would tell the drop.
    """

    word: Word
    claimed_percent: float
    measured_percent: float
    interval: Interval
    drop_points: float
    images: int
    images_needed: int

    def __str__(self) -> str:
        low, high = self.interval.low_percent, self.interval.high_percent
        text = (
            f"{self.word}: {self.measured_percent:.2f} % of {self.images:,} images, "
            f"{self.interval.level:.0%} interval {low:.2f} to {high:.2f}, claimed {self.claimed_percent:g}"
        )
        if self.word is Word.TOO_FEW:
            text += f"; {self.images_needed:,} images would tell a drop of {self.drop_points:g} points"
        return text


def judge_sample(right: int, images: int, claimed_percent: float, *, drop_points: float = 0.5) -> Verdict:
    """Return whether a count on a sample is consistent with a claimed accuracy.

    A true claim is called `not consistent` in at most `1 - LEVEL` of samples, and an accuracy that is
    `drop_points` or more below the claim `consistent` in at most half of that. On the whole set there is
    nothing to infer: there the number itself is the accuracy.

    Raises:
        UsageError: The numbers are not counts, percents and points.
    """
    if not 0 < claimed_percent <= 100 or not 0 < drop_points < claimed_percent:
        raise UsageError(f"a claim of {claimed_percent} % cannot be told from one {drop_points} points lower")
    interval = exact_interval(right, images)
    if claimed_percent not in interval:
        word = Word.NOT_CONSISTENT
    elif claimed_percent - drop_points < interval.low_percent:
        word = Word.CONSISTENT
    else:
        word = Word.TOO_FEW
    return Verdict(
        word=word,
        claimed_percent=claimed_percent,
        measured_percent=100 * right / images,
        interval=interval,
        drop_points=drop_points,
        images=images,
        images_needed=count_images_needed(claimed_percent, drop_points=drop_points),
    )


def exact_interval(right: int, images: int, *, level: float = LEVEL) -> Interval:
    """Compute the Clopper-Pearson interval; a sample with as many of each class errs less than it allows for.

    Raises:
        UsageError: The numbers are not counts, or the level is not between 0 and 1.

    Source:
        Clopper and Pearson, Biometrika 26 (1934).
    """
    if not 0 <= right <= images or images < 1 or not 0 < level < 1:
        raise UsageError(f"{right} of {images} at level {level} is not a share with an interval")
    tail = (1 - level) / 2
    return Interval(
        low_percent=100 * _low_end(right, images, tail),
        high_percent=100 * (1 - _low_end(images - right, images, tail)),
        level=level,
    )


def _low_end(right: int, images: int, tail: float) -> float:
    """Find the share at which `right` or more come out with a probability of `tail`."""
    if right == 0:
        return 0.0
    # Counts beyond are less likely than 1e-30, by Hoeffding's bound; a progress bar asks at each step.
    counts = np.arange(right, min(images, right + 6 * math.isqrt(images) + 6) + 1)
    # log of the binomial coefficients, by the ratio of each to the one before
    first = math.lgamma(images + 1) - math.lgamma(right + 1) - math.lgamma(images - right + 1)
    ways = first + np.concatenate(([0.0], np.cumsum(np.log((images - counts[:-1]) / counts[1:]))))
    low, high = 0.0, right / images
    while high - low > 1e-12:
        middle = (low + high) / 2
        probability = np.exp(ways + counts * math.log(middle) + (images - counts) * math.log1p(-middle)).sum()
        low, high = (middle, high) if probability < tail else (low, middle)
    return low


@functools.cache
def count_images_needed(claimed_percent: float, *, drop_points: float = 0.5) -> int:
    """Count the images of a sample that, having the claimed accuracy, excludes the drop.

    Counts are whole, so a sample that is smaller by a few images may exclude it too.
    """

    def tells(images: int) -> bool:
        right = math.floor(images * claimed_percent / 100)
        return _low_end(right, images, (1 - LEVEL) / 2) * 100 > claimed_percent - drop_points

    low, high = 1, 2
    while not tells(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if tells(middle) else (middle, high)
    return high
