"""Judge a claimed accuracy by a sample: an interval, and one of three words."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from rexnet_hub.errors import UsageError

LEVEL = 0.95
#: How often as many images as are named as needed tell the drop from a claim that is true.
POWER = 0.8


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


class Verdict(NamedTuple):
    """The verdict of a sample on a claim.

    Attributes:
        word: `not consistent`: the interval excludes the claim. `consistent`: it holds the claim and
            excludes what is `drop_points` below. `too few to tell`: it holds both.
        interval: Of the accuracy that the sample was drawn from.
        drop_points: The drop that must be told from the claim, in percentage points.
        images_needed: How many would tell the drop, with `POWER`.
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
            tells = f"images would tell a drop of {self.drop_points:g} points in {POWER:.0%} of samples"
            text += f"; {self.images_needed:,} {tells}"
        return text


def judge_sample(
    right: int, images: int, claimed_percent: float, *, of: int, drop_points: float = 0.5
) -> Verdict:
    """Return whether a count on a sample is consistent with a claimed accuracy.

    A true claim is called `not consistent` in at most `1 - LEVEL` of samples, and an accuracy that is
    `drop_points` or more below the claim `consistent` in at most half of that. On the whole set there is
    nothing to infer: there the number itself is the accuracy.

    Args:
        of: The images that the sample was drawn from.

    Raises:
        UsageError: The numbers are not counts, percents and points.
    """
    if not 0 < claimed_percent <= 100 or not 0 < drop_points < claimed_percent:
        raise UsageError(f"a claim of {claimed_percent} % cannot be told from one {drop_points} points lower")
    interval = exact_interval(right, images, of=of)
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
        images_needed=count_images_needed(claimed_percent, of=of, drop_points=drop_points),
    )


def exact_interval(right: int, images: int, *, of: int, level: float = LEVEL) -> Interval:
    """Compute the exact interval of an accuracy on a finite set, by the hypergeometric distribution.

    A sample with its share of each class errs less than it allows for.

    Args:
        of: The images of the set; where all of them were counted, both ends are the accuracy.

    Raises:
        UsageError: The numbers are not counts, or the level is not between 0 and 1.

    Source:
        Buonaccorsi, The American Statistician 41 (1987); of an infinite set, Clopper and Pearson's.
    """
    if not 0 <= right <= images <= of or images < 1 or not 0 < level < 1:
        raise UsageError(f"{right} of {images} of {of} at level {level} is not a share with an interval")
    tail = (1 - level) / 2
    return Interval(
        low_percent=100 * _fewest(right, images, of, tail) / of,
        high_percent=100 * (1 - _fewest(images - right, images, of, tail) / of),
        level=level,
    )


def _fewest(right: int, images: int, of: int, tail: float) -> int:
    """Find how many of the set must be right for `right` or more to come out with a probability of `tail`."""
    if right == 0:
        return 0
    share = -(-right * of // images)  # with which half of all samples have as many
    goods = range(right, min(right + of - images, share))
    return right + bisect_left(goods, True, key=lambda good: upper_tail(right, images, good, of) >= tail)


def upper_tail(right: int, images: int, good: int, of: int) -> float:
    """Compute how often a sample has `right` or more of the `good` ones of a set.

    Terms beyond some twelve standard deviations are left out: so `right` is not far below the mean.
    """
    right = max(right, images - (of - good))
    if right > min(images, good):
        return 0.0
    import numpy as np

    counts = np.arange(right, min(images, good, right + 6 * math.isqrt(images) + 6) + 1)[:-1]
    # log of the first term, then by the ratio of each to the one before
    first = _log_ways(good, right) + _log_ways(of - good, images - right) - _log_ways(of, images)
    ratios = (good - counts) * (images - counts) / ((counts + 1) * (of - good - images + counts + 1))
    return float(np.exp(first + np.concatenate(([0.0], np.cumsum(np.log(ratios))))).sum())


def fewest_found(images: int, of: int) -> int:
    """Find how many odd ones a set must have for a sample to meet one of them in `LEVEL` of samples."""

    def is_met(odd: int) -> bool:
        """Return whether nearly every sample has one of so many."""
        return math.exp(_log_ways(of - odd, images) - _log_ways(of, images)) <= 1 - LEVEL

    return 1 + bisect_left(range(1, of - images + 1), True, key=is_met)  # so many no sample misses


def _log_ways(of: int, chosen: int) -> float:
    return math.lgamma(of + 1) - math.lgamma(chosen + 1) - math.lgamma(of - chosen + 1)


def count_images_needed(claimed_percent: float, *, of: int, drop_points: float = 0.5) -> int:
    """Count the images of a sample that calls a true claim consistent, and excludes the drop, with `POWER`.

    Counts are whole, so a sample that is smaller by a few images may do so too.
    """
    claimed, dropped = (int(of * each / 100) for each in (claimed_percent, claimed_percent - drop_points))

    def power(images: int) -> float:
        """Compute in how many samples a true claim is called consistent."""
        firsts = (_first_excluded(images, good, of) for good in (dropped, claimed))
        above_drop, too_high = (upper_tail(first, images, claimed, of) for first in firsts)
        return above_drop - too_high

    low, high = 0, of
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle) >= POWER else (middle, high)
    return high


def _first_excluded(images: int, good: int, of: int) -> int:
    """Find the lowest count that speaks against so few good ones."""
    first, tail = images * good // of + 1, (1 - LEVEL) / 2
    rights = range(first, images + 1)
    return first + bisect_left(rights, True, key=lambda right: upper_tail(right, images, good, of) < tail)
