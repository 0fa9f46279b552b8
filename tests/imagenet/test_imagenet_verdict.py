"""Intervals are exact, and the three words err no more often than they say."""

import math
import random
from fractions import Fraction

import numpy as np
import pytest

from rexnet_hub.errors import UsageError
from rexnet_hub.imagenet.evidence.verdict import (
    POWER,
    Word,
    count_images_needed,
    exact_interval,
    judge_sample,
    upper_tail,
)

WHOLE = 50_000


def tail_of(right, images, good, of):
    """Compute the probability of `right` or more in whole numbers: the oracle."""
    ways = (math.comb(good, k) * math.comb(of - good, images - k) for k in range(right, images + 1))
    return float(Fraction(sum(ways), math.comb(of, images)))


def test_the_interval_is_what_no_count_speaks_against(fresh_seed):
    """Its ends are the last numbers of right images that are not too unlikely, by sums of fractions."""
    random_ = random.Random(fresh_seed)
    for _ in range(25):
        of = random_.randint(2, 150)
        images = random_.randint(1, of)
        right, level = random_.randint(0, images), random_.choice((0.9, 0.95, 0.99))
        found, tail = exact_interval(right, images, of=of, level=level), (1 - level) / 2
        possible = range(right, of - (images - right) + 1)
        above = [good for good in possible if tail_of(right, images, good, of) >= tail]
        below = [good for good in possible if tail_of(images - right, images, of - good, of) >= tail]

        assert found.low_percent == pytest.approx(100 * (min(above) / of))
        assert found.high_percent == pytest.approx(100 * (max(below) / of))


def test_a_sample_of_very_many_has_clopper_and_pearsons_interval():
    """Of 10^9 images the ends are those of the binomial distribution, as published for 15 of 20."""
    found = exact_interval(15, 20, of=10**9)
    assert (found.low_percent, found.high_percent) == pytest.approx((50.8954, 91.3429), abs=1e-4)


def test_where_all_images_were_counted_nothing_is_inferred():
    """Of the whole set the interval is the number."""
    found = exact_interval(38_931, WHOLE, of=WHOLE)
    assert (found.low_percent, found.high_percent) == pytest.approx((77.862, 77.862))


@pytest.mark.slow
def test_the_counts_that_are_left_out_are_never_seen(fresh_seed):
    """The sums stop where a count is too unlikely to matter: all of them give the same."""
    random_ = random.Random(fresh_seed)
    for images in (200, 900, 3000):
        good = random_.randint(1000, 9000)
        right = images * good // 10_000 + random_.randint(0, 40)
        assert upper_tail(right, images, good, 10_000) == pytest.approx(
            tail_of(right, images, good, 10_000), rel=1e-6
        )


def test_each_word_can_be_said():
    """A far count is not consistent, a near one consistent, and a few images tell nothing."""
    far, near, few = (
        judge_sample(700, 1000, 77.86, of=WHOLE, drop_points=5),
        judge_sample(779, 1000, 77.86, of=WHOLE, drop_points=5),
        judge_sample(78, 100, 77.86, of=WHOLE, drop_points=5),
    )

    assert (far.word, near.word, few.word) == (Word.NOT_CONSISTENT, Word.CONSISTENT, Word.TOO_FEW)
    assert str(far).startswith("not consistent: 70.00 % of 1,000 images, 95% interval 67.")
    needed = f"{few.images_needed:,} images would tell a drop of 5 points in 80% of samples"
    assert str(few).endswith(needed)


def draw(good, images, runs, seed, spread=None):
    """Draw samples of the set: any images, or as many of each class, whose accuracies differ by `spread`."""
    noise = np.random.default_rng(seed)
    if spread is None:
        return noise.hypergeometric(good, WHOLE - good, images, runs)
    share = good / WHOLE
    size = share * (1 - share) / spread**2 - 1
    by_class = noise.binomial(50, noise.beta(share * size, (1 - share) * size, 1000))
    while (lack := good - int(by_class.sum())) != 0:
        at = noise.integers(1000)
        by_class[at] += np.sign(lack) if 0 <= by_class[at] + np.sign(lack) <= 50 else 0
    each, more = divmod(images, 1000)
    taken = (each + (noise.permutation(1000) < more) for _ in range(runs))
    return np.array([noise.hypergeometric(by_class, 50 - by_class, some).sum() for some in taken])


def rates(true_percent, claimed_percent, images, drop_points, seed, runs=4000, spread=None):
    """Draw samples and count the words."""
    good = round(WHOLE * true_percent / 100)
    rights, times = np.unique(draw(good, images, runs, seed, spread), return_counts=True)
    said = dict.fromkeys(Word, 0.0)
    for right, count in zip(rights, times, strict=True):
        verdict = judge_sample(int(right), images, claimed_percent, of=WHOLE, drop_points=drop_points)
        said[verdict.word] += count / runs
    return said


@pytest.mark.parametrize("spread", [None, 0.15])
@pytest.mark.parametrize(("claim", "drop"), [(77.86, 0.5), (81.63, 2.0), (93.9, 1.0)])
def test_the_number_needed_tells_as_often_as_is_said(claim, drop, spread):
    """A true claim is called consistent and a drop not, in 80 % of samples; in more of as many a class."""
    needed = count_images_needed(claim, of=WHOLE, drop_points=drop)
    right = rates(claim, claim, needed, drop, seed=1, runs=1500, spread=spread)[Word.CONSISTENT]
    wrong = rates(claim - drop, claim, needed, drop, seed=2, runs=1500, spread=spread)[Word.NOT_CONSISTENT]
    fewer = rates(claim, claim, needed * 6 // 10, drop, seed=3, runs=1500)[Word.CONSISTENT]

    assert right == pytest.approx(POWER, abs=0.03) if spread is None else right > POWER - 0.01
    assert wrong > POWER - 0.03
    assert fewer < 0.7


@pytest.mark.parametrize("images", [50, 400, 2000])
def test_a_true_claim_is_seldom_called_false(images):
    """Where the claim is true, `not consistent` is said in at most 5 % of samples."""
    assert rates(77.86, 77.86, images, 3.0, seed=images)[Word.NOT_CONSISTENT] <= 0.05 + 0.01


@pytest.mark.parametrize("images", [50, 400, 2000, 5000])
def test_a_dropped_accuracy_is_seldom_called_true(images):
    """Where the accuracy is lower by the drop, `consistent` is said in at most 2.5 % of samples."""
    assert rates(74.86, 77.86, images, 3.0, seed=images)[Word.CONSISTENT] <= 0.025 + 0.008


@pytest.mark.parametrize(
    ("right", "images", "claim", "drop"),
    [(-1, 10, 50, 1), (11, 10, 50, 1), (0, 0, 50, 1), (5, 10, 101, 1), (5, 10, 1, 2)],
)
def test_what_is_no_share_is_refused(right, images, claim, drop):
    """Counts that cannot be, and claims that cannot drop, are refused."""
    with pytest.raises(UsageError):
        judge_sample(right, images, claim, of=WHOLE, drop_points=drop)
