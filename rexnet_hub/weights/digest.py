"""Read and digest files, and copy them to where nobody else can change them."""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from rexnet_hub.errors import CheckpointError, FileProblem, file_problems
from rexnet_hub.whole_files import open_regular

CHUNK_BYTES = 1 << 18  # what a core's own cache holds
# Memory is bounded whatever the size. This bounds the disk (a private copy beside what is written) and the
# time (the reader of a pickle may take 23 minutes for so much), if a server sends without end.
MAX_FILE_BYTES = 64 << 30
CHANGED = "changed while it was read; try again when nothing writes to it"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDigest:
    """The size and digest of a file, and the digests by other algorithms that were asked for."""

    sha256: str
    size_bytes: int
    digests: Mapping[str, str] = field(default_factory=dict, hash=False)


class Digester:
    """Digests bytes with SHA-256, and in the same pass with each other algorithm that is asked for."""

    def __init__(self, also: Iterable[str] = ()) -> None:
        self.size_bytes = 0
        self._hashes = {name: hashlib.new(name) for name in ("sha256", *also)}

    def update(self, chunk: bytes) -> None:
        """Take the next bytes."""
        for each in self._hashes.values():
            each.update(chunk)
        self.size_bytes += len(chunk)

    def digest(self) -> FileDigest:
        """Return the size and digests of all bytes so far."""
        digests = {name: each.hexdigest() for name, each in self._hashes.items()}
        return FileDigest(sha256=digests.pop("sha256"), size_bytes=self.size_bytes, digests=digests)


class ByteSource(NamedTuple):
    """Bytes to be read at any place, with the name that errors give them."""

    name: str
    descriptor: int
    size_bytes: int

    def read(self, offset: int, length: int) -> bytes:
        """Read exactly so many bytes, or refuse; nothing is allocated for bytes that are not there."""
        if offset < 0 or length < 0 or offset + length > self.size_bytes:
            needed = f"bytes {offset} to {offset + length} are needed"
            raise self.refuse(f"is cut short: {needed}, it has {self.size_bytes}")
        parts, at = [], offset
        while length > 0:
            with file_problems(self.name, "cannot be read"):
                part = read_at(self.descriptor, length, at)
            if not part:
                raise self.refuse(f"ended at byte {at} while it was read")
            parts.append(part)
            at, length = at + len(part), length - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def chunks(self, offset: int, length: int) -> Iterator[bytes]:
        """Read so many bytes piece by piece."""
        for start in range(offset, offset + length, CHUNK_BYTES):
            yield self.read(start, min(CHUNK_BYTES, offset + length - start))

    @contextlib.contextmanager
    def mapped(self) -> Iterator[memoryview]:
        """Map all bytes into memory; only for a private copy, which cannot shrink under the map."""
        with mmap.mmap(self.descriptor, 0, access=mmap.ACCESS_READ) as mapping, memoryview(mapping) as view:
            yield view

    def refuse(self, problem: str) -> CheckpointError:
        """Make the error that says what is wrong with these bytes."""
        return CheckpointError(self.name, problem)


@contextlib.contextmanager
def open_source(file: Path) -> Iterator[ByteSource]:
    """Open a regular file for reading; a folder, pipe or device is refused, not waited for.

    Raises:
        FileProblem: It cannot be read, or is no regular file.
    """
    with open_regular(file) as stream:
        descriptor = stream.fileno()
        yield ByteSource(name=str(file), descriptor=descriptor, size_bytes=os.fstat(descriptor).st_size)


def read_at(descriptor: int, length: int, at: int) -> bytes:
    """Read at most so many bytes at a place; on Windows an open file is for one thread at a time."""
    if sys.platform == "win32":
        os.lseek(descriptor, at, os.SEEK_SET)
        return os.read(descriptor, length)
    return os.pread(descriptor, length, at)


def digest_file(file: Path, also: Iterable[str] = ()) -> FileDigest:
    """Digest a file with SHA-256, and with each other algorithm that is asked for, piece by piece."""
    with open_source(file) as source:
        return _digest(source, also)


def _digest(
    source: ByteSource, also: Iterable[str], copy: int | None = None, place: Path | str = ""
) -> FileDigest:
    """Digest all that is in a file now, and write it to an open copy in a place, if there is one."""
    digester, how = Digester(also), "read" if copy is None else f"copied to {place} to be read"
    with file_problems(source.name, f"cannot be {how}"):
        while chunk := read_at(source.descriptor, CHUNK_BYTES, digester.size_bytes):
            digester.update(chunk)
            if copy is not None:
                write_all(copy, chunk)
    return digester.digest()


@contextlib.contextmanager
def private_copy(
    file: Path, *, folder: Path | None = None, also: Iterable[str] = ()
) -> Iterator[tuple[ByteSource, FileDigest]]:
    """Copy a file to where nobody else can change it, digesting what is copied.

    The copy has no name, so it is gone with the process, however that ends.

    Args:
        folder: The disk that has room for the copy; the system's temporary folder if none.

    Raises:
        FileProblem: The file cannot be read, the copy not written, or the file changed meanwhile.
    """
    with open_source(file) as source:
        before = os.fstat(source.descriptor)
        try:
            place = folder or tempfile.gettempdir()
            copy = tempfile.TemporaryFile(dir=place)  # noqa: SIM115 - closed below
        except OSError as error:
            place = folder or "the system's temporary folder"
            raise FileProblem(place, f"cannot be written to: {error.strerror}") from None
        with copy:
            digest, after = _digest(source, also, copy.fileno(), place), os.fstat(source.descriptor)
            is_same = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
            if not is_same or digest.size_bytes != after.st_size:
                raise FileProblem(file, CHANGED)
            yield source._replace(descriptor=copy.fileno(), size_bytes=digest.size_bytes), digest


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte, however many calls the system needs for it."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
