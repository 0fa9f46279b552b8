"""Limit how long to wait for a server, and how often to try again."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from rexnet_hub.terminal import printable

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """The limits on waiting for a server and on trying again.

    Attributes:
        step_seconds: The limit on connecting, and on each wait for bytes to come or go.
        total_seconds: The limit on one act, in whatever drops its bytes come; no attempt begins after it.
        attempts: How often to try what may fare better later.
        wait_seconds: The first wait between attempts; each next one is twice as long.
    """

    step_seconds: float = 60
    total_seconds: float = 1800
    attempts: int = 5
    wait_seconds: float = 1


def is_transient(error: Any) -> bool:
    """Return whether an error says of itself that the same act may fare better later."""
    return bool(getattr(error, "is_transient", False))


def retry(
    attempt: Callable[[], T],
    patience: Patience,
    *,
    on: Callable[[Any], bool] = is_transient,
    count_progress: Callable[[], int] = lambda: 0,
    give_up: Callable[[Any, str], Exception] = lambda error, reason: error,
) -> T:
    """Call `attempt` until it succeeds, fails for good, or the patience is at its end.

    The wait before the next attempt is the error's own `wait_seconds`, which a server asked for, else it
    doubles each time, and is a little random so that not everybody comes back at once. The first is logged.

    Args:
        on: Whether the same act may fare better after this error.
        count_progress: How far it is; an attempt that got further starts the count of failures anew.
        give_up: Make what is raised in the end, of the last error and why there is no other attempt.
    """
    deadline, failures = time.monotonic() + patience.total_seconds, 0
    while True:
        before = count_progress()
        try:
            return attempt()
        except Exception as error:
            if not on(error):
                raise
            failures = 1 if count_progress() > before else failures + 1
            asked = getattr(error, "wait_seconds", None)
            wait = asked
            if wait is None:
                wait = patience.wait_seconds * 2 ** (failures - 1) * (1 + random.random() / 4)
            if failures >= patience.attempts:
                raise give_up(error, f"{failures} times in a row. Try again later") from None
            if time.monotonic() + wait >= deadline:
                limit = f"{patience.total_seconds:g} seconds"
                raise give_up(error, f"it asks to wait longer than the {limit} that are given") from None
            if asked:
                log.warning("waiting %.0f s: %s", asked, printable(str(error)))
        time.sleep(wait)


def parse_retry_after(value: str | None) -> float | None:
    """Parse how long a server asks to wait: seconds, or a date; None where it says neither."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value.strip()[:9])
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
