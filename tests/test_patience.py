"""What may fare better later is tried again: as often, and after as long, as was said."""

import itertools
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from rexnet_hub.errors import HubError
from rexnet_hub.patience import Patience, parse_retry_after, retry

QUICK = Patience(total_seconds=5, attempts=3, wait_seconds=0.01)


def failing(times, **options):
    """Make an act that fails so many times, then gives how often it was called."""
    calls = []

    def act():
        calls.append(time.monotonic())
        if len(calls) <= times:
            raise HubError("org/x", f"failure {len(calls)}", **{"kind": "busy"} | options)
        return len(calls)

    return act, calls


@pytest.mark.parametrize("times", [0, 1, 2])
def test_an_act_is_tried_until_it_succeeds(times):
    """As many failures as there are attempts but one are survived."""
    act, _ = failing(times)
    assert retry(act, QUICK) == times + 1


def test_the_last_error_is_raised_when_the_attempts_are_used_up():
    """Three attempts, three calls, and the third one's error; or what the caller makes of it."""
    act, calls = failing(9)
    with pytest.raises(HubError, match="failure 3"):
        retry(act, QUICK)
    assert len(calls) == 3
    act, _ = failing(9)
    with pytest.raises(KeyError, match="failure 3, 3 times in a row"):
        retry(act, QUICK, give_up=lambda error, reason: KeyError(f"{error}, {reason}"))


def test_what_will_not_fare_better_is_not_tried_again():
    """A refusal is raised at once, unless the caller says that it may pass."""
    act, calls = failing(1, kind="moved")
    with pytest.raises(HubError):
        retry(act, QUICK)
    assert len(calls) == 1
    act, _ = failing(1, kind="moved")
    assert retry(act, QUICK, on=lambda error: error.kind == "moved") == 2


def test_each_wait_is_twice_as_long():
    """The waits are of 1, 2 and 4 parts, a quarter longer at most before the machine's own delays."""
    act, calls = failing(3)
    retry(act, Patience(attempts=4, wait_seconds=0.05))
    waits = [after - before for before, after in itertools.pairwise(calls)]
    assert all(wait >= 0.05 * 2**number for number, wait in enumerate(waits))


def test_a_server_says_how_long_to_wait():
    """An error's own wait replaces ours; one that is longer than all that is given is not waited for."""
    act, calls = failing(1, wait_seconds=0.2)
    retry(act, QUICK)
    assert calls[1] - calls[0] >= 0.2
    act, calls = failing(1, wait_seconds=60)
    with pytest.raises(KeyError, match="asks to wait longer than the 5 seconds"):
        retry(act, QUICK, give_up=lambda error, reason: KeyError(reason))
    assert len(calls) == 1


def test_an_attempt_that_got_further_starts_the_count_anew():
    """Five failures with progress between them are more than three attempts, and are survived."""
    act, calls = failing(5)
    assert retry(act, QUICK, count_progress=lambda: len(calls)) == 6


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("0", 0),
        (" 7 ", 7),
        ("9" * 30, 999_999_999),
        ("Fri, 31 Dec 99999999999 23:59:59 GMT", None),
    ],
)
def test_a_wait_is_parsed(value, seconds):
    """Seconds are read as they stand; what is neither seconds nor a date says nothing."""
    assert parse_retry_after(value) == seconds


def test_a_date_is_parsed():
    """A date says how long it is until then; one that has passed, not to wait."""
    now = datetime.now(UTC)
    assert 50 < parse_retry_after(format_datetime(now + timedelta(seconds=60), usegmt=True)) <= 60
    assert parse_retry_after(format_datetime(now - timedelta(days=1), usegmt=True)) == 0
