"""Bound how long the Hub's client may wait, and say how often to try."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to wait for a Hub, and how often to try.

    Attributes:
        step_seconds: The limit on connecting, and on each wait for bytes to come or go.
        attempts: How often to try what may fare better later.
        wait_seconds: The first wait between attempts; each next one is twice as long.
    """

    step_seconds: float = 60
    attempts: int = 5
    wait_seconds: float = 1

    def waits(self) -> Iterator[float]:
        """Give the wait before each attempt; the first has none."""
        yield 0
        for number in range(self.attempts - 1):
            yield self.wait_seconds * 2**number


@contextlib.contextmanager
def bounded_client(patience: Patience) -> Iterator[None]:
    """Let no request of the Hub's client wait for ever, for as long as the block runs.

    The client makes most requests without a time limit. Its one shared session, which all threads of
    this process use, is replaced meanwhile, and made as before afterwards.
    """
    import huggingface_hub
    from huggingface_hub.utils import _http

    before = _http._GLOBAL_CLIENT_FACTORY  # the client has no public way to ask for it

    def bounded() -> Any:
        client = before()
        client.timeout = patience.step_seconds
        return client

    huggingface_hub.set_client_factory(bounded)
    try:
        with terminal_progress():
            yield
    finally:
        huggingface_hub.set_client_factory(before)


@contextlib.contextmanager
def terminal_progress() -> Iterator[None]:
    """Let the client draw its progress bars on a terminal only."""
    from huggingface_hub import utils

    bars: Any = utils
    if sys.stderr.isatty() or bars.are_progress_bars_disabled():
        yield
        return
    bars.disable_progress_bars()
    try:
        yield
    finally:
        bars.enable_progress_bars()
