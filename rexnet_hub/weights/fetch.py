"""Fetch a file to the cache; it gets its name only when it is what everybody states of it.

The cache holds each file under its own name, in a folder that is named by its SHA-256. Where nobody states
the whole digest, the folder is named by all that is stated and holds one that is named by the digest of the
first fetch, which is binding from then on. A cached file is hashed each time that it is asked for.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from rexnet_hub.addresses import bare
from rexnet_hub.errors import FetchError, FileProblem, UsageError
from rexnet_hub.identity import Identity, gather
from rexnet_hub.weights.digest import FileDigest, digest_file
from rexnet_hub.weights.download import FetchPolicy, Progress, download
from rexnet_hub.whole_files import sync_folder

FOLDER = "released"  # of the cache


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedFile:
    """A file of the cache that was checked just now."""

    path: Path
    sha256: str
    size_bytes: int


def fetch(
    url: str,
    *,
    file_name: str,
    cache_dir: Path,
    identity: Identity | None = None,
    progress: Progress | None = None,
    policy: FetchPolicy | None = None,
) -> FetchedFile:
    """Fetch a file to the cache, or check the one that is there.

    Args:
        url: An https: or file: address.
        file_name: Its name in the cache.
        cache_dir: Made if it is not there.
        identity: What is stated of the file.
        progress: Told bytes done and bytes in all, as they come.
        policy: How patient to be, and whom to trust.

    Raises:
        FetchError: It could not be fetched.
        MismatchError: It is not the file that is stated, or no file can be; nothing is left in the cache of
            it, but a file that was there before is left as it is.
        FileProblem: The cache cannot be used.
        UsageError: A name that can be none.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,199}", file_name):
        raise UsageError(f"{file_name[:80]!a} is no plain file name")
    identity, policy = (identity or Identity()).agreed(bare(url)), policy or FetchPolicy()
    root, address, is_whole = cache_dir / FOLDER, identity.address(url), identity.is_whole
    lock_file, part = root / f".{address}.lock", root / f".{address}.part"
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock_file.touch()  # a folder that cannot be written to is told now, not waited for
        with FileLock(lock_file, timeout=policy.total_seconds):
            if not is_whole:
                identity += _first_fetch(root / address)
            file = root / address / ("" if is_whole else identity.sha256) / file_name
            if identity.is_whole and os.path.lexists(file):
                return _check_cached(file, identity)
            try:
                digest = _download(url, part, identity, policy, progress)
                file = root / address / ("" if is_whole else digest.sha256) / file_name
                return _keep(part, file, digest)
            finally:
                with contextlib.suppress(OSError):
                    part.unlink(missing_ok=True)
    except Timeout:
        raise FetchError(f"{bare(url)}: another process has been fetching it for too long") from None
    except OSError as error:
        raise FileProblem(cache_dir, f"cannot be used as a cache: {error.strerror}") from None


def _first_fetch(folder: Path) -> Identity:
    """Read from the cache which digest the first fetch had, where nobody stated it."""
    known = sorted(folder.glob("[0-9a-f]" * 64))
    return gather(first_fetch=(known[0].name, str(known[0])) if known else None)


def _check_cached(file: Path, identity: Identity) -> FetchedFile:
    if file.is_symlink() or not file.is_file():
        raise FileProblem(file, "is not a file of this cache: remove it")
    digest = digest_file(file)
    identity.require(file, digest)
    return FetchedFile(path=file, sha256=digest.sha256, size_bytes=digest.size_bytes)


def _download(
    url: str, part: Path, identity: Identity, policy: FetchPolicy, progress: Progress | None
) -> FileDigest:
    """Fetch what an address holds into a temporary file, and check it."""
    with part.open("w+b") as stream:
        digest = download(url, stream, identity=identity, policy=policy, progress=progress)
        stream.flush()
        os.fsync(stream.fileno())
    identity.require(bare(url), digest)
    return digest


def _keep(part: Path, file: Path, digest: FileDigest) -> FetchedFile:
    """Give a checked file its name."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part.replace(file)
    sync_folder(file.parent)
    sync_folder(part.parent)
    return FetchedFile(path=file, sha256=digest.sha256, size_bytes=digest.size_bytes)
