"""Heed the Hub's limits: a wait that one answer asks for holds for every call of this process."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rexnet_hub.hub.faults import HeldError, asked_seconds, stated_words

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Until when a server asks not to be asked, in seconds since the epoch, and its words."""

    until: float
    words: str


#: By server, as a host and port.
_holds: dict[str, Hold] = {}
_turn = threading.Lock()


def heed(response: Any) -> HfHubHTTPError | None:
    """Note how long an answer asks to wait; return the client's error for one that a busy server gives."""
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import hf_raise_for_status  # type: ignore[attr-defined]

    error = None
    if response.status_code in (408, 429) or response.status_code >= 500:
        try:
            hf_raise_for_status(response)
        except HfHubHTTPError as raised:
            error = raised
    if seconds := asked_seconds(response):
        server, words = _server(response.url), stated_words(response, error)
        now = Hold(until=time.time() + seconds, words=words)
        _holds[server] = max(now, _holds.get(server, now), key=lambda hold: hold.until)
    return error


def wait_turn(url: object, patience_seconds: float) -> None:
    """Wait until a server may be asked again, as it asked.

    Raises:
        HeldError: It asks to wait longer than the patience is.
    """
    if _server(url) not in _holds:
        return
    with _turn:  # one waits, and says so; for the others there is nothing left to wait for
        hold = _holds[_server(url)]
        seconds = hold.until - time.time()
        if seconds > patience_seconds:
            raise HeldError(seconds, hold.words)
        if seconds > 0:
            log.warning("waiting %.0f s: %s", seconds, HeldError(seconds, hold.words))
            time.sleep(seconds)


def _server(url: object) -> str:
    return urlsplit(str(url)).netloc
