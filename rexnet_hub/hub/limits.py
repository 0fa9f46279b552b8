"""Wait as the Hub asks: what one answer says of its limits holds for every call of this process."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any
from urllib.parse import urlsplit

from rexnet_hub.patience import parse_retry_after
from rexnet_hub.terminal import printable

log = logging.getLogger(__name__)
_LONGEST_SECONDS = 10.0**9  # so that its end is a date


class HeldError(Exception):
    """A server asked not to be asked before a time; its words say why."""

    def __init__(self, seconds: float, words: str) -> None:
        self.words, self.until = words, time.time() + min(seconds, _LONGEST_SECONDS)
        when = time.strftime("%Y-%m-%d %H:%M %Z", time.localtime(self.until))
        super().__init__(f"the Hub asks to wait until {when}" + (f" ({words!r})" if words else ""))

    @property
    def wait_seconds(self) -> float:
        """From now on."""
        return max(0.0, self.until - time.time())


_held: dict[str, HeldError] = {}  # by server, as host and port
_turn = threading.Lock()


def note_hold(response: Any, words: str = "") -> HeldError | None:
    """Note and return how long an answer asks to wait, if it does: https://huggingface.co/docs/hub/rate-limits.

    A refusal says so in Retry-After. Any answer may say in RateLimit that it was the last of its window. Of
    several waits for a server the longest holds, with the words that came last.

    Args:
        words: The answer's own; without any, they are the quota's numbers.
    """
    from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]

    seconds = parse_retry_after(response.headers.get("Retry-After")) if response.status_code >= 400 else None
    quota = parse_ratelimit_headers(response.headers)
    if quota is not None and quota.remaining == 0:
        seconds = quota.reset_in_seconds + 1.0 if seconds is None else seconds  # it may be rounded down
        if quota.limit is not None:
            words = words or f"{quota.limit} {quota.resource_type} requests in {quota.window_seconds} seconds"
    if seconds is None:
        return None
    server, hold = urlsplit(str(response.url)).netloc, HeldError(seconds, words)
    if server not in _held or hold.until > _held[server].until - 1:
        _held[server] = hold
    return hold


def wait_turn(url: object, patience_seconds: float) -> None:
    """Wait until a server may be asked again.

    Raises:
        HeldError: It asks to wait longer than the patience is.
    """
    hold = _held.get(urlsplit(str(url)).netloc)
    if hold is None or not hold.wait_seconds:
        return
    if hold.wait_seconds > patience_seconds:
        raise HeldError(hold.wait_seconds, hold.words)
    with _turn:  # one waits, and says so; for the others nothing is left to wait for
        if seconds := hold.wait_seconds:
            log.warning("waiting %.0f s: %s", seconds, printable(str(hold)))
            time.sleep(seconds)
