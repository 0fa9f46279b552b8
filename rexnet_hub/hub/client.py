"""Call the Hub's client: every request checked, every wait bounded, every fault an error of ours."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

from rexnet_hub.hub.faults import hub_faults
from rexnet_hub.hub.guard import guarded_client
from rexnet_hub.hub.limits import wait_turn
from rexnet_hub.patience import Patience

T = TypeVar("T")
#: Of the threads that calls run in.
THREAD_NAME = "rexnet_hub call"


def call_client(
    call: Callable[[], T],
    doing: str,
    repo_id: str,
    *,
    patience: Patience,
    revision: str | None = None,
    every_thread: bool = False,
) -> T:
    """Return what a call of the client returns, once; `retry` is the caller's.

    Args:
        doing: What failed where it fails, such as `could not be fetched`.
        every_thread: Whether the call's requests are made by several threads, as an upload's are.

    Raises:
        HubError: The Hub did not answer in time, refused, or asked to wait for longer than the patience is.
        FileProblem: This machine's disk is what failed.
    """
    from huggingface_hub import constants

    def guarded() -> T:
        with guarded_client(patience, every_thread=every_thread):
            return call()

    with hub_faults(doing, repo_id, revision=revision), _progress_on_terminals():
        wait_turn(constants.ENDPOINT, patience.total_seconds)  # which is no part of the call's own time
        return return_within(patience.total_seconds, guarded)


def return_within(seconds: float, call: Callable[[], T]) -> T:
    """Return what a call returns, and wait no longer for it than this.

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

    threading.Thread(target=run, name=THREAD_NAME, daemon=True).start()
    try:
        return done.result(timeout=seconds)
    except TimeoutError:
        if done.done():  # the call's own
            raise
        raise TimeoutError(f"not done within {seconds:g} seconds") from None


@contextlib.contextmanager
def _progress_on_terminals() -> Iterator[None]:
    """Show the client's progress bars on terminals only; an upload's it draws anywhere."""
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
