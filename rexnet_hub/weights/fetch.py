"""Bring a file to the cache; it gets its name only when size and digest hold."""

from __future__ import annotations

import contextlib
import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from rexnet_hub.addresses import bare
from rexnet_hub.errors import FileProblem, MismatchError, UsageError
from rexnet_hub.weights.digest import FETCH_AGAIN, FileDigest, digest_file, require_sha256
from rexnet_hub.weights.download import FetchPolicy, Progress, download
from rexnet_hub.whole_files import locked, sync

_PREFIX_ADVICE = (
    f"{FETCH_AGAIN} "
    "(The digits in a file's name are 32 bits: they show a wrong file, they do not prove the right one.)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedFile:
    """A file of the cache that was checked just now."""

    path: Path
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Promise:
    """What the file must be; None where nothing is known."""

    size_bytes: int | None
    digest_prefix: str | None
    sha256: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Note:
    """What is kept beside a cached file: its digest, and the stamp of the file that had it."""

    sha256: str
    size_bytes: int
    source: str
    stamp: list[int]


def fetch(
    url: str,
    *,
    file_name: str,
    cache_dir: Path,
    size_bytes: int | None = None,
    digest_prefix: str | None = None,
    sha256: str | None = None,
    progress: Progress | None = None,
    policy: FetchPolicy | None = None,
) -> FetchedFile:
    """Bring a file to the cache, or check the one that is there.

    On first contact its full SHA-256 is written down beside it and is binding from then on, unless
    `sha256` says which it must be. A cached file is hashed again unless nothing touched it since.

    Args:
        url: An https: or file: address.
        file_name: The name in the cache.
        cache_dir: Made if it is not there.
        size_bytes: The stated size.
        digest_prefix: Eight or more hex digits that the SHA-256 must begin with.
        sha256: All 64 hex digits of it.
        progress: Told bytes done and bytes in all, as they come.
        policy: How patient to be, and whom to trust.

    Raises:
        FetchError: It could not be brought.
        MismatchError: It is not the file that was stated; nothing is left in the cache of it, but a
            file that was there before is left as it is.
        FileProblem: The cache cannot be used.
        UsageError: A name or digest that can be none.
    """
    _require_sane(file_name, digest_prefix, sha256)
    policy = policy or FetchPolicy()
    try:
        with locked(cache_dir / file_name, seconds=policy.total_seconds):
            file, note = cache_dir / file_name, _read_note(cache_dir / file_name)
            known = sha256.lower() if sha256 else note.sha256 if note else None
            promise = _Promise(
                size_bytes=size_bytes, digest_prefix=digest_prefix and digest_prefix.lower(), sha256=known
            )
            if os.path.lexists(file) and (known or digest_prefix):
                return _check_cached(file, note, promise, url)
            return _bring(url, file, promise, policy, progress)
    except OSError as error:
        raise FileProblem(cache_dir, f"cannot be used as a cache: {error.strerror}") from None


def _require_sane(file_name: str, digest_prefix: str | None, sha256: str | None) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,199}", file_name):
        raise UsageError(f"{file_name[:80]!a} is no plain file name")
    if digest_prefix is not None and not re.fullmatch(r"[0-9a-fA-F]{8,64}", digest_prefix):
        raise UsageError(f"the digest prefix {digest_prefix[:80]!a} is not eight or more hex digits")
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise UsageError(f"the SHA-256 {sha256[:80]!a} is not 64 hex digits")


def _require_promise(name: Path | str, found: FileDigest, promise: _Promise) -> None:
    if promise.size_bytes not in (None, found.size_bytes):
        raise MismatchError(
            name,
            what="its size in bytes",
            stated=str(promise.size_bytes),
            found=str(found.size_bytes),
            advice=FETCH_AGAIN,
        )
    prefix = promise.digest_prefix or ""
    if not found.sha256.startswith(prefix):
        raise MismatchError(
            name,
            what="the beginning of its SHA-256",
            stated=prefix,
            found=found.sha256[: len(prefix)],
            advice=_PREFIX_ADVICE,
        )
    if promise.sha256 is not None:
        require_sha256(name, stated=promise.sha256, found=found.sha256)


def _check_cached(file: Path, note: _Note | None, promise: _Promise, url: str) -> FetchedFile:
    if file.is_symlink() or not file.is_file():
        raise FileProblem(file, "is not a file of this cache: remove it")
    stamp = _stamp(file)
    if note is not None and note.stamp == stamp:
        digest = FileDigest(sha256=note.sha256, size_bytes=note.size_bytes)
    else:
        digest = digest_file(file)
    _require_promise(file, digest, promise)
    # The stamp of before the hashing: a change meanwhile shows the next time.
    if note is None or note.stamp != stamp or note.sha256 != digest.sha256:
        _write_note(file, digest, url, stamp)
    return FetchedFile(path=file, sha256=digest.sha256, size_bytes=digest.size_bytes)


def _bring(
    url: str, file: Path, promise: _Promise, policy: FetchPolicy, progress: Progress | None
) -> FetchedFile:
    part = file.with_name(f".{file.name}.part")
    try:
        with part.open("w+b") as stream:
            digest = download(
                url,
                stream,
                size_bytes=promise.size_bytes,
                has_proof=bool(promise.sha256 or promise.digest_prefix),
                policy=policy,
                progress=progress,
            )
            stream.flush()
            os.fsync(stream.fileno())
        _require_promise(bare(url), digest, promise)
        # The note goes first: a kill in between leaves a note without a file, never the reverse.
        _write_note(file, digest, url, _stamp(part))
        part.replace(file)
        sync(file.parent)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return FetchedFile(path=file, sha256=digest.sha256, size_bytes=digest.size_bytes)


def _stamp(file: Path) -> list[int]:
    """Say what changes when a file is touched; renaming keeps it."""
    stat = file.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ino]


def _note_of(file: Path) -> Path:
    return file.with_name(f"{file.name}.fetched.json")


def _read_note(file: Path) -> _Note | None:
    """Read the note beside a file; one that cannot be read is as good as none."""
    try:
        fields = json.loads(_note_of(file).read_bytes()[:10_000])
        note = _Note(**fields)
        sound = re.fullmatch(r"[0-9a-f]{64}", note.sha256) and type(note.size_bytes) is int
        return note if sound else None
    except (OSError, ValueError, TypeError):
        return None


def _write_note(file: Path, digest: FileDigest, url: str, stamp: list[int]) -> None:
    note = _Note(sha256=digest.sha256, size_bytes=digest.size_bytes, source=bare(url), stamp=stamp)
    target = _note_of(file)
    part = target.with_name(f".{target.name}.part")
    with part.open("w", encoding="utf-8") as stream:
        json.dump(asdict(note), stream, indent=1)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(target)
