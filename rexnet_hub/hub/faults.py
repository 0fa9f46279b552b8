"""Turn every fault of a Hub, its client or the way there into one line that says what to do.

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

from rexnet_hub.errors import FileProblem, HubError, RexnetHubError

_TOKEN = re.compile(r"hf_[A-Za-z0-9_-]{6,}|(?i:bearer\s+)\S+")
_QUERY = re.compile(r"(https?://[^\s?'\"]+)\?[^\s'\"]*")
_MAX_SAID = 200
_DISK = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EIO,
        errno.EROFS,
        errno.EACCES,
        errno.ENOTDIR,
        errno.ENOENT,
    }
)
_BUSY = frozenset({408, 429, 500, 502, 503, 504})

# Xet's part of the client is not in Python: what happened is only in the words of its errors.
_XET_STATUS = re.compile(r"HTTP status (?:client|server) error \((\d{3})")
_XET_DISK = re.compile(r"IO Error: .*\(os error (\d+)\)")
_XET_SILENCE = "error sending request"

LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"


@contextlib.contextmanager
def hub_faults(doing: str, repo_id: str, *, revision: str | None = None) -> Iterator[None]:
    """Let whatever goes wrong inside rise as an error of ours.

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
        raise explain(error, doing, repo_id, revision=revision) from None


@contextlib.contextmanager
def _no_traces() -> Iterator[None]:
    """Keep the trace of what goes over the wire out of every log: it has Xet's tokens in it."""
    loggers = [logging.getLogger(name) for name in ("httpcore", "httpcore2")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def explain(error: BaseException, doing: str, repo_id: str, *, revision: str | None = None) -> RexnetHubError:
    """Make the error of ours for one of the client's."""
    root = _root(error)
    if (number := _errno(root)) in _DISK:
        place = getattr(root, "filename", None) or "the cache"
        return FileProblem(str(place), f"cannot be written: {os.strerror(number)}; {repo_id} {doing}")
    status = _status(root)
    message = f"{repo_id} {doing}: {_reason(root, status, repo_id, revision)}"
    return HubError(repo_id, message, kind=_kind(root, status))


def _kind(error: BaseException, status: int | None) -> str:
    from huggingface_hub import errors

    match error:
        case errors.RemoteEntryNotFoundError():
            return "no-file"
        case errors.RevisionNotFoundError():
            return "no-revision"
        case errors.RepositoryNotFoundError():  # a gated repo too
            return "no-repo"
    if status is None:
        return "no-answer" if _is_transport(error) or _is_senseless(error) else "refused"
    return "busy" if status in _BUSY else {409: "exists", 412: "moved"}.get(status, "refused")


def _root(error: BaseException) -> BaseException:
    """Find the error that tells most: the client wraps the upload's own in a RuntimeError."""
    seen = error
    while _status(seen) is None and not _is_transport(seen) and seen.__cause__ is not None:
        seen = seen.__cause__
    tells = _status(seen) is not None or _is_transport(seen) or _is_senseless(seen)
    return seen if tells or isinstance(seen, OSError) else error


def _errno(error: BaseException) -> int:
    """Give the number of the system's error, or 0."""
    if told := _XET_DISK.search(str(error)):
        return int(told[1])
    return (error.errno or 0) if isinstance(error, OSError) else 0


def _status(error: BaseException) -> int | None:
    response = getattr(error, "response", None)
    if response is None and (told := _XET_STATUS.search(str(error))):
        return int(told[1])
    return getattr(response, "status_code", None)


def _is_transport(error: BaseException) -> bool:
    from huggingface_hub.errors import OfflineModeIsEnabled
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

    if isinstance(error, OfflineModeIsEnabled):
        return False
    return isinstance(error, (httpx.TransportError, ConnectionError, TimeoutError)) or (
        _XET_SILENCE in str(error)
    )


def _is_senseless(error: BaseException) -> bool:
    """Say whether the client could not read an answer, or did not find in it what it looked up there."""
    from huggingface_hub.errors import EntryNotFoundError, RevisionResolutionError
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

    told = (OSError, RuntimeError, ValueError, httpx.HTTPError, EntryNotFoundError, RevisionResolutionError)
    return isinstance(error, (json.JSONDecodeError, UnicodeDecodeError)) or not isinstance(error, told)


def _reason(error: BaseException, status: int | None, repo_id: str, revision: str | None) -> str:
    from huggingface_hub import constants, errors

    at, wanted = constants.ENDPOINT, revision or "main"
    match error:
        case errors.GatedRepoError():
            return f"it is gated; ask for access at {at}/{repo_id}, then {LOG_IN}"
        case errors.DisabledRepoError():
            return "the Hub has disabled it"
        case errors.RepositoryNotFoundError():
            return f"there is no such repo, or it is private; check the id, or {LOG_IN}"
        case errors.RevisionNotFoundError():
            return f"it has no branch, tag, commit or refs/pr/N named {wanted}; see {at}/{repo_id}/commits"
        case errors.RemoteEntryNotFoundError():
            return f"a file is missing at {wanted}; see {at}/{repo_id}/tree/{wanted}"
        case (
            errors.LocalEntryNotFoundError()
            | errors.OfflineModeIsEnabled()
            | errors.RevisionResolutionError()
        ):
            return f"{wanted} is not whole in the cache, and the Hub was not asked; load it once online"
        case errors.HFValidationError():
            return "no repo can have this id; it is OWNER/NAME, of letters, digits, `-`, `_` and `.`"
    match status:
        case 401:
            return f"the token is not valid (401); {LOG_IN}"
        case 403:
            return f"the token may not do that (403){_said(error)}; use one with the right to write there"
        case 412:
            return "somebody committed in between (412)"
        case 429:
            return "too many requests (429); wait, then run it again"
        case int() if status >= 500:
            return f"the Hub failed ({status}); run it again later"
        case int():
            return f"the Hub refused ({status}){_said(error)}"
    if type(error) is TimeoutError:
        return f"{at} is too slow ({error}); check the network, then run it again"
    if _is_transport(error):
        return f"{at} does not answer ({type(error).__name__}); check the network, then run it again"
    if _is_senseless(error):
        return f"{at} gave an answer that makes no sense ({type(error).__name__}); run it again"
    return clean(str(error)) or type(error).__name__


def _said(error: BaseException) -> str:
    said = clean(getattr(error, "server_message", None) or "")
    return f", it says {said!r}" if said else ""


def clean(text: str) -> str:
    """Cut foreign text to one line without tokens and signatures."""
    line = " ".join(text.split())
    return _TOKEN.sub("(hidden)", _QUERY.sub(r"\1", line))[:_MAX_SAID]
