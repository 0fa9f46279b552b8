"""Write files and folders whole or not at all, one process at a time.

What is not complete is called `.NAME.part`, beside its final name; what a killed run left there is swept by
the next that writes under that name.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from rexnet_hub.errors import FileProblem

#: How long another process is waited for: longer than any copy or conversion that it may be at.
LOCK_SECONDS = 600.0
_POLL_SECONDS = 0.05
_AT_FDCWD, _EXCHANGE = -100, 2
_held = threading.local()


def write_whole(file: Path, data: bytes) -> None:
    """Write bytes in a file's place; see `whole_files`.

    Raises:
        FileProblem: It cannot be written, and is as it was; or it is, and the disk does not confirm it.
    """
    with whole_files(file) as (stream,):
        stream.write(data)


@contextlib.contextmanager
def whole_files(*files: Path) -> Iterator[tuple[BinaryIO, ...]]:
    """Open files of one folder, to be written and read back; at the end, all on disk, they get their names.

    A reader, and a machine that stops, see the old or the new. The later files are about the first, as
    a receipt is: they never stand beside another one. A link stays a link, a file keeps its permissions.

    Raises:
        FileProblem: The first cannot be written, and is as it was; or it is, and the disk does not
            confirm it.
    """
    places = [Path(os.path.realpath(file)) for file in files]
    try:
        with contextlib.ExitStack() as opened:
            streams = [opened.enter_context(_part(place)) for place in places]
            yield tuple(streams)
            for stream, place in zip(streams, places, strict=True):
                stream.flush()
                os.fsync(stream.fileno())
                if place.exists():
                    _part_of(place).chmod(place.stat().st_mode & 0o7777)
            for place in places[1:]:
                place.unlink(missing_ok=True)
            for place in places:
                _part_of(place).replace(place)
    except OSError as error:
        raise FileProblem(places[0], f"cannot be written: {error.strerror}") from error
    confirm(places[0])


@contextlib.contextmanager
def whole_folder(target: Path, *, seconds: float = LOCK_SECONDS) -> Iterator[Path]:
    """Make a folder to fill; at the end, all of it on disk, it takes the target's place.

    Where there is a folder already the two are swapped in one step, if the system can.

    Args:
        target: The folder that is meant; what it is in is made if it is not there.
        seconds: How long another process that writes there is waited for.

    Raises:
        FileProblem: It cannot be written, and the target is as it was; or it is, and the disk does not
            confirm it.
    """
    with locked(target, seconds=seconds):
        aside = _part_of(target)
        try:
            _sweep(target)
            aside.mkdir()
            try:
                yield aside
                for written in (*aside.iterdir(), aside):
                    sync(written)
                _swap(aside, target)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
        except OSError as error:
            raise FileProblem(target, f"cannot be written: {error.strerror}; it is as it was") from None
        confirm(target)


def sweep_beside(target: Path) -> None:
    """Remove what a run that was killed left beside a folder, and put back the folder if it moved it.

    Raises:
        FileProblem: The folder that it is in cannot be written.
    """
    if _part_of(target).exists() or _old_of(target).exists():
        with locked(target):
            _sweep(target)


@contextlib.contextmanager
def locked(place: Path, *, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Lock a place: one thread of one process at a time writes there; a lock is gone with its process.

    What a thread has locked it may lock again. The folder of the place is made if it is not there.

    Raises:
        FileProblem: Another process has it for too long, or it cannot be locked.
    """
    lock = place.absolute().with_name(f".{place.name}.lock")
    mine: set[Path] = _held.__dict__.setdefault("locks", set())
    if lock in mine:
        yield
        return
    with contextlib.ExitStack() as stack:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(_taken(lock, seconds))
        except OSError as error:
            raise FileProblem(place, f"cannot be written: {error.strerror}; it is as it was") from None
        mine.add(lock)
        stack.callback(mine.discard, lock)
        yield


def confirm(written: Path) -> None:
    """Make sure that what was just moved into place, a file or a folder, stays there in a power cut.

    Raises:
        FileProblem: The disk does not confirm it; it is there, whole.
    """
    try:
        sync(written.parent)
    except OSError as error:
        problem = f"is written, but the disk does not confirm it: {error.strerror}; check the disk"
        raise FileProblem(written, problem) from None


def sync(place: Path) -> None:
    """Make sure that a file's bytes, or the names in a folder, survive a power cut."""
    descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _part_of(place: Path) -> Path:
    return place.with_name(f".{place.name}.part")


def _old_of(target: Path) -> Path:
    """Return where the old folder lies while a swap takes two steps."""
    return target.with_name(f".{target.name}.part.old")


@contextlib.contextmanager
def _part(place: Path) -> Iterator[BinaryIO]:
    """Open the temporary file of a file, which is its own lock; whatever happens but a kill, it goes."""
    part = _part_of(place)
    with (
        _taken(part, LOCK_SECONDS) as descriptor,
        open(part, "r+b", opener=lambda *_: os.dup(descriptor)) as stream,
    ):
        yield stream


@contextlib.contextmanager
def _taken(file: Path, seconds: float) -> Iterator[int]:
    """Lock an empty file; it goes, unless it got another name."""
    descriptor = _take(file, seconds)
    try:
        yield descriptor
    finally:
        with contextlib.suppress(OSError):  # of a disk that became read-only
            if _is_at(descriptor, file):
                file.unlink()
        os.close(descriptor)


def _take(file: Path, seconds: float) -> int:
    """Make an empty file that nobody else has, waiting for whoever has it.

    A disk that has no locks is an error at once, not waited for.
    """
    end = time.monotonic() + seconds
    while True:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(file, flags, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(descriptor, file):
                status = os.fstat(descriptor)
                if (stat.S_ISREG(status.st_mode), status.st_size, status.st_nlink) == (True, 0, 1):
                    return descriptor
                file.unlink()  # what a kill left
        except BlockingIOError:
            if time.monotonic() > end:
                raise TimeoutError(errno.ETIMEDOUT, "another process has been at it for too long") from None
            time.sleep(_POLL_SECONDS)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_at(descriptor: int, file: Path) -> bool:
    """Return whether an open file still has this name: who had it may have renamed or removed it."""
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat(follow_symlinks=False))
    except FileNotFoundError:
        return False


def _sweep(target: Path) -> None:
    """Remove what a killed run left; killed between two renames, it left the target beside its place."""
    aside, old = _part_of(target), _old_of(target)
    if old.exists() and not target.exists():
        old.rename(target)
    for left in (aside, old):
        shutil.rmtree(left, ignore_errors=True)


def _swap(aside: Path, target: Path) -> None:
    if not target.exists():
        aside.rename(target)
    elif not _exchange(aside, target):
        old = _old_of(target)
        target.rename(old)
        try:
            aside.rename(target)
        except OSError as error:
            _put_back(old, target, error)
            raise
        shutil.rmtree(old, ignore_errors=True)


def _put_back(old: Path, target: Path, error: OSError) -> None:
    """Rename the old folder back; where that cannot be done either, raise the error that says where it is."""
    try:
        old.rename(target)
    except OSError:
        problem = (
            f"cannot be written: {error.strerror}; it lies whole in {old}, and the next run puts it back"
        )
        raise FileProblem(target, problem) from None


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step, where the system can (Linux's renameat2)."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    return bool(rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _EXCHANGE) == 0)
