"""Intervals are exact, and the three words err no more often than they say."""

import math
import random
from fractions import Fraction

import numpy as np
import pytest

from rexnet_hub.errors import UsageError
from rexnet_hub.imagenet.evidence.verdict import (
    Word,
    count_images_needed,
    exact_interval,
    judge_sample,
)


def upper_tail(right, images, share):
    """Compute the probability of `right` or more in whole numbers: the oracle."""
    share = Fraction(share)
    terms = (math.comb(images, k) * share**k * (1 - share) ** (images - k) for k in range(right, images + 1))
    return float(sum(terms))


def test_the_interval_is_clopper_and_pearsons(fresh_seed):
    """At its ends the count is exactly as unlikely as the level says, by sums of fractions."""
    random_ = random.Random(fresh_seed)
    for _ in range(25):
        images = random_.randint(1, 120)
        right, level = random_.randint(0, images), random_.choice((0.9, 0.95, 0.99))
        found, tail = exact_interval(right, images, level=level), (1 - level) / 2
        low, high = found.low_percent / 100, found.high_percent / 100

        assert low == 0 if right == 0 else upper_tail(right, images, low) == pytest.approx(tail, rel=1e-6)
        if right == images:
            assert high == 1
        else:
            assert 1 - upper_tail(right + 1, images, high) == pytest.approx(tail, rel=1e-6)


def test_the_interval_holds_for_the_whole_set():
    """With 50,000 images the interval is what the normal curve says, to a hundredth of a point."""
    found, half = exact_interval(38_931, 50_000), 1.959964 * math.sqrt(0.77862 * 0.22138 / 50_000) * 100

    assert found.low_percent == pytest.approx(77.862 - half, abs=0.01)
    assert found.high_percent == pytest.approx(77.862 + half, abs=0.01)


@pytest.mark.slow
def test_the_counts_that_are_left_out_are_never_seen(fresh_seed):
    """The sums stop where a count is too unlikely to matter: the whole binomial gives the same ends."""
    random_ = random.Random(fresh_seed)
    for images in (200, 900, 3000):
        right = random_.randint(1, images)
        share = exact_interval(right, images).low_percent / 100

        assert upper_tail(right, images, share) == pytest.approx(0.025, rel=1e-6)


def test_each_word_can_be_said():
    """A far count is not consistent, a near one consistent, and a few images tell nothing."""
    far, near, few = (
        judge_sample(700, 1000, 77.86, drop_points=5),
        judge_sample(779, 1000, 77.86, drop_points=5),
        judge_sample(78, 100, 77.86, drop_points=5),
    )

    assert (far.word, near.word, few.word) == (Word.NOT_CONSISTENT, Word.CONSISTENT, Word.TOO_FEW)
    assert str(far).startswith("not consistent: 70.00 % of 1,000 images, 95% interval 67.")
    assert str(few).endswith(f"{few.images_needed:,} images would tell a drop of 5 points")


def test_the_number_needed_is_the_one_that_tells():
    """With that many images the claimed share is consistent, with a tenth fewer it is too few to tell."""
    for claim, drop in ((77.86, 0.5), (81.63, 2.0), (93.9, 5.0)):
        needed = count_images_needed(claim, drop_points=drop)
        for images, word in ((needed, Word.CONSISTENT), (needed * 9 // 10, Word.TOO_FEW)):
            right = math.floor(images * claim / 100)
            assert judge_sample(right, images, claim, drop_points=drop).word is word


def rates(true_percent, claimed_percent, images, drop_points, seed, runs=4000):
    """Draw samples and count the words."""
    noise = np.random.default_rng(seed)
    rights, times = np.unique(noise.binomial(images, true_percent / 100, runs), return_counts=True)
    said = dict.fromkeys(Word, 0.0)
    for right, count in zip(rights, times, strict=True):
        verdict = judge_sample(int(right), images, claimed_percent, drop_points=drop_points)
        said[verdict.word] += count / runs
    return said


@pytest.mark.parametrize("images", [50, 400, 2000])
def test_a_true_claim_is_seldom_called_false(images):
    """Where the claim is true, `not consistent` is said in at most 5 % of samples."""
    assert rates(77.86, 77.86, images, 3.0, seed=images)[Word.NOT_CONSISTENT] <= 0.05 + 0.01


@pytest.mark.parametrize("images", [50, 400, 2000, 5000])
def test_a_dropped_accuracy_is_seldom_called_true(images):
    """Where the accuracy is lower by the drop, `consistent` is said in at most 2.5 % of samples."""
    assert rates(74.86, 77.86, images, 3.0, seed=images)[Word.CONSISTENT] <= 0.025 + 0.008


def test_enough_images_tell_both():
    """With several times the number needed, the truth is called consistent and the drop not."""
    images = 4 * count_images_needed(77.86, drop_points=3)

    assert rates(77.86, 77.86, images, 3.0, seed=1)[Word.CONSISTENT] > 0.9
    assert rates(74.86, 77.86, images, 3.0, seed=2)[Word.NOT_CONSISTENT] > 0.9


@pytest.mark.parametrize(
    ("right", "images", "claim", "drop"),
    [(-1, 10, 50, 1), (11, 10, 50, 1), (0, 0, 50, 1), (5, 10, 101, 1), (5, 10, 1, 2)],
)
def test_what_is_no_share_is_refused(right, images, claim, drop):
    """Counts that cannot be, and claims that cannot drop, are refused."""
    with pytest.raises(UsageError):
        judge_sample(right, images, claim, drop_points=drop)
