"""Fetch a file to the cache; it gets its name only when it agrees with all that is stated of it.

The cache holds each file under its own name, in a folder that is named by its SHA-256. Where nobody states
the whole digest, the folder is named by all that is stated and holds one that is named by the digest of the
first fetch, which is binding from then on; the file stays there when somebody states it later. A cached file
is hashed each time that it is asked for.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from rexnet_hub.addresses import redact_url
from rexnet_hub.errors import FetchError, FileProblem, MismatchError, UsageError
from rexnet_hub.identity import Identity, gather
from rexnet_hub.layout import RELEASED_FOLDER, is_file_name, mark_used
from rexnet_hub.terminal import printable
from rexnet_hub.weights.digest import FileDigest, digest_file
from rexnet_hub.weights.download import FetchPolicy, ShowBytes, download
from rexnet_hub.whole_files import locked, sync

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedFile(FileDigest):
    """A file of the cache that was checked just now."""

    path: Path


def fetch(
    url: str,
    *,
    file_name: str,
    cache_dir: Path,
    identity: Identity | None = None,
    progress: ShowBytes | None = None,
    policy: FetchPolicy | None = None,
    offline: bool = False,
    opened: Callable[[str], AbstractContextManager[str]] = contextlib.nullcontext,
) -> FetchedFile:
    """Fetch a file to the cache, or check the one that is there.

    Args:
        url: An https: or file: address, or one that `opened` makes one.
        file_name: Its name in the cache.
        cache_dir: Made if it is not there.
        identity: What is stated of the file.
        progress: Called with bytes done and bytes in all, as they come.
        policy: How patient to be, and whom to trust.
        offline: Whether nothing but a file: address is asked, so that only the cache can give the file.
        opened: Gives the address to fetch from, when the cache has no file.

    Raises:
        FetchError: It could not be fetched.
        MismatchError: It is not the file that is stated, or no file can be; nothing is left in the cache of
            it; a damaged file that was there is replaced when its source gives the right one.
        FileProblem: The cache cannot be used.
        UsageError: A name that can be none.
    """
    if not is_file_name(file_name):
        raise UsageError(f"{file_name[:80]!a} is no plain file name")
    identity, policy = (identity or Identity()).agreed(redact_url(url)), policy or FetchPolicy()
    place = cache_dir / RELEASED_FOLDER / identity.address(url)
    try:
        # What is there has its name because it is whole: it needs no lock, nor a cache that can be written.
        if cached := find_cached(place, identity, file_name)[1]:
            return cached
        if offline and not url.startswith("file:"):
            there = "is not whole in" if place.exists() else "is not in"
            raise FetchError(f"{redact_url(url)} {there} the cache {cache_dir}, and this is offline")
        with locked(place, seconds=policy.total_seconds):
            known, cached = find_cached(place, identity, file_name)
            if cached:
                return cached
            part = place.with_name(f".{place.name}.part")
            try:
                with opened(url) as address:
                    digest = _download(address, part, known, policy, progress)
                file = (place if identity.is_whole else place / digest.sha256) / file_name
                file.parent.mkdir(parents=True, exist_ok=True)
                part.replace(file)
                sync(file.parent)
            finally:
                with contextlib.suppress(OSError):
                    part.unlink(missing_ok=True)
    except OSError as error:
        raise FileProblem(cache_dir, f"cannot be used as a cache: {error.strerror}") from None
    return FetchedFile(path=file, sha256=digest.sha256, size_bytes=digest.size_bytes)


def find_cached(place: Path, identity: Identity, file_name: str) -> tuple[Identity, FetchedFile | None]:
    """Check the file that an earlier fetch left; where nobody states its digest, that fetch did."""
    if not identity.is_whole:
        if (first := next(iter(sorted(place.glob("[0-9a-f]" * 64))), None)) is None:
            return identity, None
        identity, place = identity + gather("the first fetch", first.name, str(first)), first
    file = place / file_name
    if not os.path.lexists(file):  # it may have come before anybody stated its digest
        file = next(iter(sorted(place.parent.glob(f"*/{identity.sha256}/{file_name}"))), file)
    if not os.path.lexists(file):
        return identity, None
    if file.is_symlink() or not file.is_file():
        raise FileProblem(file, "is not a file of this cache: remove it")
    digest = digest_file(file, identity.digests)
    try:
        identity.require(file, digest)
    except MismatchError as error:
        log.warning("%s", printable(str(error)))
        return identity, None
    mark_used(file.parent)
    return identity, FetchedFile(path=file, sha256=digest.sha256, size_bytes=digest.size_bytes)


def _download(
    url: str, part: Path, identity: Identity, policy: FetchPolicy, progress: ShowBytes | None
) -> FileDigest:
    """Fetch what an address holds into a temporary file, and check it."""
    with part.open("w+b") as stream:
        digest = download(url, stream, identity=identity, policy=policy, progress=progress)
        stream.flush()
        os.fsync(stream.fileno())
    identity.require(redact_url(url), digest)
    return digest
