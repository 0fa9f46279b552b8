"""Render every fault of a Hub, its client or the way there as one line that says what to do.

No line has a token, a signed address or a traceback in it: what a server or the client says is
cut to one line, addresses lose their query, and whatever looks like a token is blotted out.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import re
from collections.abc import Iterator
from typing import Any

from rexnet_hub.addresses import find_proxy, host_of
from rexnet_hub.errors import GONE, FileProblem, HubError, RexnetHubError
from rexnet_hub.hub.guard import ForeignHostError
from rexnet_hub.hub.limits import HeldError, note_hold

_TOKEN = re.compile(r"(?:hf_|eyJ)[\w.-]{6,}|(?i:bearer\s+)\S+")
_QUERY = re.compile(r"(https?://[^\s?'\"]+)\?[^\s'\"]*")
_SHOWN_CHARACTERS = 400
_DISK = ["ENOSPC", "EDQUOT", "EFBIG", "EIO", "EROFS", "EACCES", "ENOTDIR", "ENOENT"]
#: How Rust, in which Xet's part of the client is written, prints the number of the system's error.
_RUST_ERRNO = re.compile(r"\(os error (\d+)\)")

LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"
NOT_CACHED = "is not whole in the cache, and the Hub was not asked; load it once online"


@contextlib.contextmanager
def hub_faults(doing: str, repo_id: str, *, revision: str | None = None) -> Iterator[None]:
    """Raise whatever goes wrong inside as an error of ours.

    Args:
        doing: What failed then, such as `could not be fetched`.

    Raises:
        HubError: The Hub did not answer, or refused.
        FileProblem: This machine's disk is what failed.
    """
    try:
        with _no_traces():
            yield
    except RexnetHubError:
        raise
    except Exception as error:  # of an answer that makes no sense the client lets anything rise
        raise _explain(error, doing, repo_id, revision or "main") from None


@contextlib.contextmanager
def _no_traces() -> Iterator[None]:
    """Silence the trace of what goes over the wire in every log: it has Xet's tokens in it."""
    loggers = [logging.getLogger(name) for name in ("httpcore", "httpcore2")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _explain(error: BaseException, doing: str, repo_id: str, revision: str) -> RexnetHubError:
    """Return the error of ours for one of the client's."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    while type(error) in (RuntimeError, LocalEntryNotFoundError) and error.__cause__ is not None:
        error = error.__cause__  # what the upload, or the request, came to
    number = (error.errno or 0) if isinstance(error, OSError) else 0
    if type(error) is RuntimeError and (printed := _RUST_ERRNO.search(str(error))):
        number = int(printed[1])
    if errno.errorcode.get(number) in _DISK:
        place = getattr(error, "filename", None) or "the cache"
        return FileProblem(str(place), f"cannot be written: {os.strerror(number)}; {repo_id} {doing}")
    if isinstance(error, RexnetHubError):
        return error
    hold = error if isinstance(error, HeldError) else None
    words, response = clean(getattr(error, "server_message", None) or ""), getattr(error, "response", None)
    if response is not None:
        hold = note_hold(response, words)
    kind, reason = (
        _by_type(error, repo_id, revision) or _by_status(response, words, hold) or _by_transport(error)
    )
    wait_seconds = hold.wait_seconds if hold else None
    return HubError(repo_id, f"{repo_id} {doing}: {reason}", kind=kind, wait_seconds=wait_seconds)


def _by_type(error: BaseException, repo_id: str, revision: str) -> tuple[str, str] | None:
    """Return kind and reason of what the client has an error of its own for."""
    from huggingface_hub import constants, errors

    page = f"{constants.ENDPOINT}/{repo_id}"
    match error:
        case errors.GatedRepoError():
            return "gone", f"it is gated; ask for access at {page}, then {LOG_IN}"
        case errors.DisabledRepoError():
            return "gone", "the Hub has disabled it"
        case errors.RepositoryNotFoundError():
            return "no-repo", f"there is no such repo, or it is private; check the id, or {LOG_IN}"
        case errors.RevisionNotFoundError():
            wanted = f"it has no branch, tag, commit or refs/pr/N named {revision}"
            return "no-revision", f"{wanted}; see {page}/commits"
        case errors.RemoteEntryNotFoundError():
            return "no-file", f"a file is missing at {revision}; see {page}/tree/{revision}"
        case (
            errors.LocalEntryNotFoundError()
            | errors.OfflineModeIsEnabled()
            | errors.RevisionResolutionError()
        ):
            return "refused", f"{revision} {NOT_CACHED}"
        case errors.HFValidationError():
            return "refused", "no repo can have this id: OWNER/NAME, of letters, digits, `-`, `_`, `.`"
        case errors.OIDCError():
            return "refused", clean(str(error))
    return None


def _by_status(response: Any, words: str, hold: HeldError | None) -> tuple[str, str] | None:
    """Return kind and reason of an answer of the Hub that is none, or of the wait that it asked for."""
    status = getattr(response, "status_code", None)
    stated = f", it says {words!r}" if words else ""
    match status:
        case None | 429 if hold:
            return "limited", str(hold)
        case None:
            return None
        case 401 | 403 if "authorization" not in response.request.headers:
            return "refused", f"there is no token ({status}); {LOG_IN}"
        case 401:
            return "bad-token", f"the token is not valid (401); {LOG_IN}"
        case 403:
            return "refused", f"the token may not do that (403){stated}; use one that may"
        case 409:
            return "exists", f"the Hub refused ({status}){stated}"
        case 412:
            return "moved", "somebody committed in between (412)"
        case 429:
            return "limited", f"too many requests (429){stated}; wait, then run it again"
        case _ if status == 408 or status >= 500:
            return "busy", f"the Hub failed ({status}){stated}; run it again later"
    return "gone" if status in GONE else "refused", f"the Hub refused ({status}){stated}"


def _by_transport(error: BaseException) -> tuple[str, str]:
    """Return kind and reason where there was no answer, or none that the client could read."""
    from huggingface_hub import constants
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

    at, name, words = constants.ENDPOINT, type(error).__name__, clean(str(error))
    if isinstance(error, (httpx.LocalProtocolError, UnicodeEncodeError)):  # its words would show the header
        return "refused", f"the token has a character that no token has; {LOG_IN}"
    if isinstance(error, (httpx.TransportError, ConnectionError, TimeoutError)):
        if proxy := find_proxy(host_of(at), at.partition(":")[0], "all"):
            at += f", through {proxy},"
            if isinstance(error, httpx.ProxyError) and words[:3].isdecimal():
                return "no-answer", f"{proxy.explain(int(words[:3]))}; then run it again"
        if type(error) is TimeoutError:
            return "no-answer", f"{at} is too slow ({words}); check the network, then run it again"
        return "no-answer", f"{at} does not answer ({name}: {words}); check the network, then run it again"
    if type(error) is RuntimeError:  # of Xet's part, whatever it is
        return "no-answer", f"{at} does not answer as it should ({words}); run it again"
    if isinstance(error, (json.JSONDecodeError, UnicodeDecodeError)) or not isinstance(
        error, (OSError, ValueError, httpx.HTTPError)
    ):
        return "no-answer", f"{at} gave an answer that makes no sense ({name}); run it again"
    return "led-away" if isinstance(error, ForeignHostError) else "refused", words or name


def clean(text: str) -> str:
    """Shorten foreign text to one line without tokens and signatures."""
    line = " ".join(text.split())
    return _TOKEN.sub("(hidden)", _QUERY.sub(r"\1", line))[:_SHOWN_CHARACTERS]
