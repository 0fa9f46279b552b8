"""Fetch a file from an https: or file: address into an open file, digesting it on the way.

Only https, and only addresses of the public internet, for the first request and for every redirect: a
host with another is not connected to. Python's own `http.client` is used: it writes no address to any
log, and it lets the connection be made here (see docs/decisions).
"""

from __future__ import annotations

import contextlib
import http.client
import io
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO
from urllib.parse import urljoin, urlsplit
from urllib.request import url2pathname

from rexnet_hub.addresses import (
    Proxy,
    SettingError,
    find_private,
    find_proxy,
    find_url_problem,
    read_allowed,
    redact_url,
)
from rexnet_hub.errors import FetchError, file_problems
from rexnet_hub.identity import Identity
from rexnet_hub.patience import Patience, parse_retry_after, retry
from rexnet_hub.weights.digest import CHUNK_BYTES, MAX_FILE_BYTES, Digester, FileDigest, open_source

_MAX_REDIRECTS = 5
_SPEED_WINDOW_SECONDS = 10
# An attempt that fetched less did not get further.
_PROGRESS_BYTES = 1 << 16
_CUT = (ConnectionResetError, http.client.IncompleteRead, ssl.SSLEOFError, ssl.SSLZeroReturnError)
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})

#: What to do where not even the host's name is found.
NO_NETWORK = (
    "is there a network? behind a proxy set HTTPS_PROXY; without one, fetch the file elsewhere and give that "
    "to the command, weights by --weights; or bring the cache over and set HF_HUB_OFFLINE=1"
)

ShowBytes = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchPolicy(Patience):
    """The limits on waiting, and the servers to trust.

    Attributes:
        least_bytes_per_second: A connection that is slower for long is cut and tried again.
        ssl_context: Whose certificates to trust; the system's if none.
    """

    step_seconds: float = 30
    total_seconds: float = 3600
    least_bytes_per_second: int = 1000
    ssl_context: ssl.SSLContext | None = None


class _Interrupted(Exception):  # noqa: N818 - not an error yet: it is tried again
    """One attempt ended before the file did."""

    is_transient = True

    def __init__(self, problem: str, wait_seconds: float | None = None) -> None:
        super().__init__(problem)
        self.wait_seconds = wait_seconds


@dataclass(slots=True, kw_only=True)
class _Transfer:
    """The progress of a download."""

    url: str
    target: IO[bytes]
    identity: Identity
    policy: FetchPolicy
    progress: ShowBytes | None
    is_head_only: bool
    deadline: float = field(init=False)
    digester: Digester = field(init=False)
    validator: str | None = None

    def __post_init__(self) -> None:
        self.deadline = time.monotonic() + self.policy.total_seconds
        self.restart()

    @property
    def at(self) -> int:
        return self.digester.size_bytes

    def restart(self) -> None:
        self.target.seek(0)
        self.target.truncate()
        self.digester = Digester(self.identity.digests)

    def take(self, chunk: bytes, total: int | None) -> None:
        stated = self.identity.size_bytes
        limit = MAX_FILE_BYTES if stated is None else stated
        if self.at + len(chunk) > limit:
            raise self.identity.wrong_size(redact_url(self.url), f"more than {limit}")
        with file_problems(getattr(self.target, "name", "memory"), "cannot be written"):
            self.target.write(chunk)
        self.digester.update(chunk)
        if self.progress:
            self.progress(self.at, total)

    def error(self, problem: str, *, status: int | None = None) -> FetchError:
        return FetchError(f"{redact_url(self.url)}: {problem}", status=status)

    def remaining_seconds(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise self.error(f"not done within {self.policy.total_seconds:g} seconds")
        return left


def download(
    url: str,
    target: IO[bytes],
    *,
    identity: Identity,
    policy: FetchPolicy,
    progress: ShowBytes | None = None,
    is_head_only: bool = False,
) -> FileDigest:
    """Fetch what an address holds into an open file.

    A cut connection goes on where it stopped, if the server can prove that the file is the same, or
    the stated digest will. 429 and 5xx are waited for, as long as the server says.

    Args:
        is_head_only: Whether only to ask how long the file is, and to leave it where it is.

    Raises:
        FetchError: It could not be fetched.
        MismatchError: It is longer or shorter than stated.
        FileProblem: The file could not be read or written.
    """
    transfer = _Transfer(
        url=url, target=target, identity=identity, policy=policy, progress=progress, is_head_only=is_head_only
    )
    try:
        scheme = urlsplit(url).scheme if "://" in url else ""
    except ValueError:
        raise FetchError(f"{redact_url(url)}: is no address") from None
    if scheme == "file":
        _copy(transfer)
    elif scheme == "https":
        try:
            read_allowed()  # before all else: what cannot be read is refused
            retry(
                lambda: _attempt(transfer),
                policy,
                count_progress=lambda: transfer.at // _PROGRESS_BYTES,
                give_up=lambda error, reason: transfer.error(f"{error}, {reason}"),
            )
        except SettingError as error:
            raise transfer.error(str(error)) from None
    else:
        raise FetchError(f"{redact_url(url)}: only https: and file: addresses are fetched")
    if not is_head_only and identity.size_bytes not in (None, transfer.at):
        raise identity.wrong_size(redact_url(url), str(transfer.at))
    return transfer.digester.digest()


def fetch_bytes(url: str, *, policy: FetchPolicy, max_bytes: int) -> bytes:
    """Fetch what an address holds into memory.

    Raises:
        FetchError: It could not be fetched, or is longer than `max_bytes`.
        FileProblem: As of `download`.
    """

    def refuse_large(done: int, total: int | None) -> None:
        if max(done, total or 0) > max_bytes:
            raise FetchError(f"{redact_url(url)}: is longer than {max_bytes:,} bytes")

    target = io.BytesIO()
    download(url, target, identity=Identity(), policy=policy, progress=refuse_large)
    return target.getvalue()


def _copy(transfer: _Transfer) -> None:
    parts = urlsplit(transfer.url)
    if parts.netloc not in ("", "localhost"):
        raise transfer.error("a file: address has no host")
    with open_source(Path(url2pathname(parts.path))) as source:  # on Windows C:\\x of /C:/x
        for chunk in source.chunks(0, source.size_bytes):
            transfer.remaining_seconds()
            transfer.take(chunk, source.size_bytes)


def _attempt(transfer: _Transfer) -> None:
    """Request the rest of the file, following redirects, and write what comes."""
    url = transfer.url
    for _ in range(_MAX_REDIRECTS + 1):
        with _answer(transfer, url) as response:
            if response.status in (301, 302, 303, 307, 308):
                try:
                    url = urljoin(url, response.headers.get("Location", ""))
                except ValueError:
                    raise FetchError(f"{redact_url(url)}: redirects to what is no address") from None
                continue
            return _take_body(transfer, response)
    raise transfer.error(f"more than {_MAX_REDIRECTS} redirects")


@contextlib.contextmanager
def _answer(transfer: _Transfer, url: str) -> Iterator[http.client.HTTPResponse]:
    """Connect to where it may, ask, and return the answer's head."""
    headers = {"Accept-Encoding": "identity", "User-Agent": "rexnet_hub"}
    if transfer.at and not (transfer.identity.sha256 or transfer.identity.digests or transfer.validator):
        transfer.restart()
    if transfer.at:
        headers["Range"] = f"bytes={transfer.at}-"
        if transfer.validator:
            headers["If-Range"] = transfer.validator
    if problem := find_url_problem(url):
        raise FetchError(f"{ascii(redact_url(url))[1:-1]}: {problem}")
    parts = urlsplit(url)
    host = str(parts.hostname)
    proxy = find_proxy(host, "https", "all")
    connection = _prepare(transfer, url, host, parts.port or 443, proxy)
    # A server may send a head byte by byte, each in time, and so may a proxy; this ends it.
    seconds = min(transfer.policy.step_seconds * 2, transfer.remaining_seconds())
    watchdog = threading.Timer(seconds, _cut, [connection])
    try:
        try:
            watchdog.start()
            connection.connect()
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
        finally:
            watchdog.cancel()
        with response:  # closing the connection alone would leave the socket to the response
            yield response
    except (OSError, http.client.HTTPException) as error:
        raise _explain(transfer, url, error, proxy) from None
    finally:
        connection.close()


def _explain(
    transfer: _Transfer, url: str, error: OSError | http.client.HTTPException, proxy: Proxy | None
) -> Exception:
    """Return the error of a connection that failed; what may pass is tried again."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return FetchError(f"{redact_url(url)}: its certificate does not hold: {error.verify_message}")
    if isinstance(error, socket.gaierror) and proxy is None:
        return _Interrupted(f"{_describe(error)}; {NO_NETWORK}")
    refused = re.match(r"Tunnel connection failed: (\d{3})", str(error))
    if proxy is None or refused is None:
        said = f"{_describe(error)}{f' through {proxy}' if proxy else ''}"
        is_no_http = isinstance(error, http.client.HTTPException) and not _is_cut(error)
        return transfer.error(said) if is_no_http else _Interrupted(said)
    said = proxy.explain(status := int(refused[1]))
    return _Interrupted(said) if status in _TRANSIENT else transfer.error(said)


def _cut(connection: http.client.HTTPSConnection) -> None:
    with contextlib.suppress(OSError, AttributeError):
        connection.sock.shutdown(2)


def _prepare(
    transfer: _Transfer, url: str, host: str, port: int, proxy: Proxy | None
) -> http.client.HTTPSConnection:
    """Make a connection with TLS, through a proxy where there is one; it is not connected yet."""
    context = transfer.policy.ssl_context or ssl.create_default_context()
    timeout = min(transfer.policy.step_seconds, transfer.remaining_seconds())
    if proxy is None:
        direct = http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
        direct._create_connection = partial(_connect, url)  # type: ignore[attr-defined]
        return direct
    if proxy.scheme != "http":
        kind = "speaks TLS itself" if proxy.scheme == "https" else "is a SOCKS proxy"
        raise transfer.error(
            f"{proxy} {kind}, and through such a one only Hubs are asked; name an http:// proxy in "
            "HTTPS_PROXY, or fetch the file with another program and name it to the command"
        )
    connection = http.client.HTTPSConnection(proxy.host, proxy.port, timeout=timeout, context=context)
    given = {"Proxy-Authorization": proxy.authorization} if proxy.authorization else {}
    connection.set_tunnel(host, port, headers=given)
    return connection


def _connect(url: str, at: tuple[str, int], timeout: float, _: object = None) -> socket.socket:
    """Connect to a host that has no private address: to the very addresses that were looked at."""
    host, port = at
    rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = dict.fromkeys(str(row[4][0]) for row in rows)
    for address in addresses:
        if private := find_private(host, address):
            raise FetchError(f"{redact_url(url)}: leads to {private}")
    *first, last = addresses
    for address in first:
        with contextlib.suppress(OSError):
            return socket.create_connection((address, port), timeout)
    return socket.create_connection((last, port), timeout)


def _take_body(transfer: _Transfer, response: http.client.HTTPResponse) -> None:
    status = response.status
    if status in _TRANSIENT:
        wait_seconds = parse_retry_after(response.headers.get("Retry-After"))
        raise _Interrupted(f"the server answers {status}", wait_seconds)
    if status == 416 and transfer.at:
        transfer.restart()
        raise _Interrupted("the server cannot go on where it stopped")
    if status not in (200, 206) or (status == 206 and not transfer.at):
        raise transfer.error(f"the server answers {status} {response.reason[:40]!a}", status=status)
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise transfer.error("the server packs the file, which was not asked for")
    total = _total_bytes(transfer, response)
    if total is not None and transfer.identity.size_bytes not in (None, total):
        raise transfer.identity.wrong_size(redact_url(transfer.url), str(total))
    if transfer.is_head_only:
        if total is None:
            raise transfer.error("the server does not say how long the file is")
        return
    tag = response.headers.get("ETag", "")
    transfer.validator = tag if tag.startswith('"') else None
    _take_chunks(transfer, response, total)
    if total is not None and transfer.at != total:
        raise _Interrupted(f"the connection ended after {transfer.at} of {total} bytes")


def _total_bytes(transfer: _Transfer, response: http.client.HTTPResponse) -> int | None:
    """Read how long the whole file is; start anew if this is not its rest."""
    if response.status == 206:
        first, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        if first.partition("-")[0] != str(transfer.at) or not total.isdecimal():
            transfer.restart()
            raise _Interrupted("the server went on at another place than asked")
        return int(total[:20])
    if transfer.at:
        transfer.restart()
    return response.length


def _take_chunks(transfer: _Transfer, response: http.client.HTTPResponse, total: int | None) -> None:
    policy, since, window_at = transfer.policy, time.monotonic(), transfer.at
    while chunk := response.read1(CHUNK_BYTES):
        transfer.take(chunk, total)
        transfer.remaining_seconds()
        passed = time.monotonic() - since
        if passed > min(_SPEED_WINDOW_SECONDS, policy.step_seconds):
            if (transfer.at - window_at) / passed < policy.least_bytes_per_second:
                raise _Interrupted(f"slower than {policy.least_bytes_per_second} bytes a second")
            since, window_at = time.monotonic(), transfer.at


def _is_cut(error: Exception) -> bool:
    """Return whether a connection was closed too early: an answer's first line that is whole is none."""
    return isinstance(error, _CUT) or (
        isinstance(error, http.client.BadStatusLine) and "\n" not in error.args[0]
    )


def _describe(error: OSError | http.client.HTTPException) -> str:
    """Return what broke, in words that cannot hold an address."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if _is_cut(error):
        return "the connection was cut"
    if isinstance(error, ssl.SSLError):
        return "no TLS connection comes about"
    if isinstance(error, http.client.HTTPException):
        return "what answers does not speak HTTP"
    return f"the connection failed: {error.strerror or 'no reason is given'}"
