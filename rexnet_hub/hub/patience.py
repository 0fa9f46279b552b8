"""Bound how long the Hub's client may wait, and say how often to try."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from rexnet_hub.hub.redirects import require_at_home, require_store_at_home

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to wait for a Hub, and how often to try.

    Attributes:
        step_seconds: The limit on connecting, and on each wait for bytes to come or go.
        call_seconds: The limit on one call of the client, in whatever drops the bytes come.
        attempts: How often to try what may fare better later.
        wait_seconds: The first wait between attempts; each next one is twice as long.
    """

    step_seconds: float = 60
    call_seconds: float = 1800
    attempts: int = 5
    wait_seconds: float = 1

    def waits(self) -> Iterator[float]:
        """Give the wait before each attempt; the first has none."""
        yield 0
        for number in range(self.attempts - 1):
            yield self.wait_seconds * 2**number


def within(seconds: float, call: Callable[[], T]) -> T:
    """Give what a call of the Hub's client gives, and wait no longer for it than this.

    The client bounds each wait for bytes, but not their sum; Xet and the look-up of a name it bounds not at
    all. A call that is not done in time is left to its thread, which dies with the process.

    Raises:
        TimeoutError: It was not done.
    """
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(call())
        except BaseException as error:  # whatever it is, it is the caller's
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        return done.result(timeout=seconds)
    except TimeoutError:
        if done.done():  # the call's own
            raise
        raise TimeoutError(f"not done within {seconds:g} seconds") from None


@contextlib.contextmanager
def bounded_client(patience: Patience) -> Iterator[None]:
    """Let no request of the Hub's client wait for ever or leave the Hub, for as long as the block runs.

    The client makes most requests without a time limit. Its one shared session, which all threads of
    this process use, is replaced meanwhile, and made as before afterwards.
    """
    import huggingface_hub
    from huggingface_hub.utils import _http

    before = _http._GLOBAL_CLIENT_FACTORY  # the client has no public way to ask for it

    def bounded() -> Any:
        client = before()
        client.timeout = patience.step_seconds
        hooks = client.event_hooks
        client.event_hooks = {
            "request": [*hooks["request"], require_at_home],
            "response": [*hooks["response"], require_store_at_home],
        }
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
