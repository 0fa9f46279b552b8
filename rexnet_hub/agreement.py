"""Compare a published claim with a measurement, by one rule."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

#: A rounded number keeps at least two digits, so it is off by at most 5 %. Published tables keep two to
#: four (timm's millions with two decimals, papers' 4.8M or 34.7M). One digit would let 5000000 stand for
#: anything from 4500000 to 5500000: a check that can hardly say no.
FEWEST_DIGITS = 2

#: How far apart honest measurements of one thing lie, by the kind of the claim. Between two runs of one
#: checkpoint top-1 moved by up to 0.062 points in five years of timm's tables (other torch, CUDA and Pillow
#: releases), so 0.1 points accept every run on record. Counts do not vary.
SPREADS = {"percent": Decimal("0.1")}


class Standing(StrEnum):
    """The words for how a figure stands, the same wherever it is printed."""

    AGREES = "agrees"
    ROUNDED = "agrees as rounded"
    SPREAD = "within the spread of runs"
    DIFFERS = "differs"
    UNREADABLE = "unreadable"
    MEASURED = "measured"
    REPRODUCED = "reproduced"
    SECOND_SOURCE = "second source"
    CLAIMED = "claimed"

    @property
    def sign(self) -> str:
        """Which of `SIGNS` stands for it."""
        yes, open_, no = SIGNS
        is_open = self in (Standing.SECOND_SOURCE, Standing.CLAIMED)
        return open_ if is_open else no if self in (Standing.DIFFERS, Standing.UNREADABLE) else yes


#: For whoever reads many figures at once: what each sign says of one.
SIGNS = {
    "\N{CHECK MARK}": "measured or derived here",
    "\N{WHITE CIRCLE}": "published, not measured here",
    "\N{BALLOT X}": "does not agree, or cannot be read",
}
#: What each word means; only what was measured or derived here is ever called anything but the last two.
MEANINGS = {
    Standing.AGREES: "measured here, and exactly what is claimed",
    Standing.ROUNDED: "measured here, and the claim is a rounding of it, right to its last digit",
    Standing.SPREAD: f"measured here, and no further from the claim than runs of one checkpoint lie apart, "
    f"{SPREADS['percent']} points",
    Standing.DIFFERS: "measured here, and the claim does not agree",
    Standing.UNREADABLE: "published, but not as a value of its kind, so that nobody can compare it",
    Standing.MEASURED: "measured here; nobody claims a value",
    Standing.REPRODUCED: "derived here, to the byte: a file of the network's tensors in torch's legacy "
    "container has the size that is claimed; the released file itself was not measured",
    Standing.SECOND_SOURCE: "published, and another table states it too; not measured here",
    Standing.CLAIMED: "published; not measured here",
}


class Agreement(NamedTuple):
    """The verdict on a claim, compared with a measurement.

    Attributes:
        standing: One of the first five words.
        reason: What the word leaves open, such as `to 10^4` or `by 13127`.
    """

    standing: Standing
    reason: str = ""

    @property
    def holds(self) -> bool:
        """Whether the claim is true."""
        return self.standing not in (Standing.DIFFERS, Standing.UNREADABLE)

    def __str__(self) -> str:
        return f"{self.standing} {self.reason}".rstrip()


def compare(published: str, measured: int | Decimal, *, kind: str = "count") -> Agreement:
    """Compare a number, at the precision that it was published with, with a measured one.

    Half-way between two roundings either is right: who published may have rounded up, down or to even.

    Args:
        published: As it was written: `4800000`, `4.80e6`, `77.86%`.
        kind: As in the table of fields: a `count` may be rounded in its trailing zeros, a `percent` (in
            points) behind its last digit, `bytes` and a `setting` not at all: a file has that size or is
            another file, and 260 px are no rounding of 256.
    """
    stated = Decimal(published.strip().removesuffix("%").strip().replace("_", ""))
    kind = "percent" if published.rstrip().endswith("%") else kind
    distance, exponent = abs(stated - measured), _rounded_to(stated, kind)
    if not distance:
        return Agreement(standing=Standing.AGREES)
    if exponent is not None and 2 * distance <= Decimal(1).scaleb(exponent):
        step = f"{Decimal(1).scaleb(exponent):f} points" if kind == "percent" else f"10^{exponent}"
        return Agreement(standing=Standing.ROUNDED, reason=f"to {step}")
    by = f"by {distance:.3g} points" if kind == "percent" else f"by {distance:f}"
    if distance <= SPREADS.get(kind, 0):
        return Agreement(standing=Standing.SPREAD, reason=f"({by})")
    return Agreement(standing=Standing.DIFFERS, reason=by)


def _rounded_to(stated: Decimal, kind: str) -> int | None:
    """Return the power of ten that a number may have been rounded to; None where it must be exact."""
    if kind in ("bytes", "setting") or not stated:
        return None
    _, digits, exponent = stated.as_tuple()
    power = int(exponent)
    if kind == "count" and power == 0:  # Written out, its zeros are all that tells of a rounding.
        text = "".join(map(str, digits))
        power = len(text) - len(text.rstrip("0"))
    return min(power, stated.adjusted() + 1 - FEWEST_DIGITS)
