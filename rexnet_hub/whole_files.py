"""Write files and folders whole or not at all, one process at a time.

What is not complete is called `.NAME.part`, beside its final name, and who writes it has locked `.NAME.lock`
there; what a killed run left is swept by the next that writes under that name. On a disk without locks the
lock is that the file is there: then nobody can tell a killed run from one that works, and it is said.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from rexnet_hub.errors import FileProblem, file_problems

#: How long another process is waited for: longer than any copy or conversion that it may be at.
LOCK_SECONDS = 600.0
#: How long one lock file is waited for on a disk that cannot say whether somebody still has it.
_UNSURE_SECONDS = 3.0
_POLL_SECONDS = 0.05
#: What a disk answers to a call that it does not have: some network and user-space file systems.
_LACKING = frozenset({errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL})
_UNSURE = (
    "and this disk has no locks to say whether a process still has it or a killed one left it: "
    "wait for who writes there, or remove it"
)
_AS_IT_WAS = "; it is as it was"
_AT_FDCWD, _EXCHANGE = -100, 2
_held = threading.local()


def open_regular(file: Path) -> BinaryIO:
    """Open a file for reading; a folder, pipe or device is refused, not waited for.

    Raises:
        FileProblem: It cannot be read, or is no regular file.
    """
    with file_problems(file, "cannot be read"):
        descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise FileProblem(file, "is not a regular file")
        return os.fdopen(descriptor, "rb")


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
    with file_problems(places[0], "cannot be written"), contextlib.ExitStack() as stack:
        for place in places:
            stack.enter_context(_locked(place, LOCK_SECONDS))
        for place in places:
            stack.callback(_remove, _part_of(place))
        with contextlib.ExitStack() as opened:
            yield tuple(opened.enter_context(_part(place)) for place in places)
        for place in places[1:]:
            with file_problems(place, "cannot be written"):
                place.unlink(missing_ok=True)
        for place in places:
            _part_of(place).replace(place)
    confirm(places[0])


def replace_files(files: Mapping[Path, tuple[bytes | None, bytes | None]]) -> None:
    """Write several files, all or none: of each what is there now, and what shall be; None is no file.

    New files get their names first, and what goes goes last: killed between two, a process leaves each file
    whole, and none that names one which is not there.

    Raises:
        FileProblem: One cannot be written, or is another than it was: all are as they were.
    """
    places = {Path(os.path.realpath(file)): files[file] for file in sorted(files)}
    with contextlib.ExitStack() as stack:
        for place, (old, new) in places.items():
            with file_problems(place, "cannot be written", then=_AS_IT_WAS):
                stack.enter_context(_locked(place, LOCK_SECONDS))
                if _read_writable(place) != old:
                    raise FileProblem(place, "was changed meanwhile, and stays as it is now; run again")
                if new is not None:
                    stack.callback(_remove, _part_of(place))
                    with _part(place) as stream:
                        stream.write(new)
        turns = {place: (old is not None, new is None) for place, (old, new) in places.items()}
        try:
            for place in sorted(places, key=turns.__getitem__):
                with file_problems(place, "cannot be written", then=_AS_IT_WAS):
                    place.unlink() if places[place][1] is None else _part_of(place).replace(place)
        except BaseException:
            for place, (old, new) in places.items():
                if (place if new is None else _part_of(place)).exists():  # it is as it was
                    continue
                place.unlink() if old is None else write_whole(place, old)
            raise
    for place in places:
        confirm(place)


def _read_writable(file: Path) -> bytes | None:
    """Read a file that is to be replaced, which a read-only one must not be; None where there is none."""
    with contextlib.suppress(FileNotFoundError), file.open("r+b") as stream:
        return stream.read()
    return None


@contextlib.contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Make a folder to fill; at the end, all of it on disk, it takes the target's place.

    Where there is a folder already the two are swapped in one step, if the system can. What it is in is made
    if it is not there.

    Raises:
        FileProblem: It cannot be written, and the target is as it was; or it is, and the disk does not
            confirm it.
    """
    if _holds_this_process(target):
        raise FileProblem(target, "is the folder that this runs in, and would be replaced; name another")
    with locked(target):
        aside = _part_of(target)
        with file_problems(target, "cannot be written", then=_AS_IT_WAS):
            _sweep(target)
            aside.mkdir()
            try:
                yield aside
                for written in (*aside.iterdir(), aside):
                    sync(written)
                _swap(aside, target)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
        confirm(target)


def _holds_this_process(folder: Path) -> bool:
    try:
        return Path.cwd().is_relative_to(os.path.realpath(folder))
    except OSError:  # it runs in a folder that is gone
        return False


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
    with contextlib.ExitStack() as stack:
        with file_problems(place, "cannot be written", then=_AS_IT_WAS):
            place.absolute().parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(_locked(place, seconds))
        yield


@contextlib.contextmanager
def _locked(place: Path, seconds: float) -> Iterator[None]:
    """Lock a place in a folder that is there; a system's error stays one."""
    lock = place.absolute().with_name(f".{place.name}.lock")
    mine: set[Path] = _held.__dict__.setdefault("locks", set())
    if lock in mine:
        yield
        return
    descriptor = _take(lock, seconds)
    mine.add(lock)
    try:
        yield
    finally:
        mine.discard(lock)
        _release(descriptor, lock)


def confirm(written: Path) -> None:
    """Make sure that what was just moved into place, a file or a folder, stays there in a power cut.

    Raises:
        FileProblem: The disk does not confirm it; it is there, whole.
    """
    with file_problems(written, "is written, but the disk does not confirm it", then="; check the disk"):
        sync(written.parent)


def sync(place: Path) -> None:
    """Make sure that a file's bytes, or the names in a folder, survive a power cut.

    Windows, and some network file systems, have no such call for a folder.
    """
    if sys.platform == "win32" and place.is_dir():
        return
    descriptor = os.open(place, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _LACKING:
            raise
    finally:
        os.close(descriptor)


def _part_of(place: Path) -> Path:
    return place.with_name(f".{place.name}.part")


def _old_of(target: Path) -> Path:
    """Return where the old folder lies while a swap takes two steps."""
    return target.with_name(f".{target.name}.part.old")


@contextlib.contextmanager
def _part(place: Path) -> Iterator[BinaryIO]:
    """Open the temporary file of a file, new whatever was there; at the end it is on disk, and closed."""
    part = _part_of(place)
    part.unlink(missing_ok=True)
    with part.open("x+b") as stream:
        yield stream
        stream.flush()
        os.fsync(stream.fileno())
    if place.exists():
        part.chmod(place.stat().st_mode & 0o7777)


def _take(lock: Path, seconds: float) -> int:
    """Make a lock file that nobody else has, waiting for whoever has it."""
    end, unsure_of, unsure_end = time.monotonic() + seconds, 0, 0.0
    while True:
        descriptor, is_mine = _open_lock(lock)
        try:
            try:
                _lock(descriptor)
                is_mine = True
            except BlockingIOError:
                is_mine = False
            except OSError as error:
                if error.errno not in _LACKING:
                    raise
                if unsure_of != (made := os.fstat(descriptor).st_ctime_ns):
                    unsure_of, unsure_end = made, time.monotonic() + _UNSURE_SECONDS
            if is_mine and _is_at(descriptor, lock):
                return descriptor
            if not is_mine and unsure_of and time.monotonic() > unsure_end:
                raise TimeoutError(errno.ETIMEDOUT, f"{lock} is there, {_UNSURE}")
            if not is_mine and time.monotonic() > end:
                raise TimeoutError(errno.ETIMEDOUT, "another process has been at it for too long")
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        time.sleep(0 if is_mine else _POLL_SECONDS)


def _open_lock(lock: Path) -> tuple[int, bool]:
    """Open a lock file; return whether it was made by this call."""
    flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)
    while True:
        with contextlib.suppress(FileExistsError):
            return os.open(lock, flags | os.O_CREAT | os.O_EXCL, 0o666), True
        with contextlib.suppress(FileNotFoundError):
            return os.open(lock, flags), False


def _lock(descriptor: int) -> None:
    """Lock an open file, or raise the system's error: BlockingIOError where another process has it."""
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError(errno.EAGAIN, error.strerror) from None
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _release(descriptor: int, lock: Path) -> None:
    """Remove a lock file, then close it, lest it be another's; Windows removes none that is open."""
    if sys.platform == "win32":
        os.close(descriptor)
        _remove(lock)
    else:
        with contextlib.suppress(OSError):  # of a disk that became read-only
            if _is_at(descriptor, lock):
                lock.unlink()
        os.close(descriptor)


def _remove(file: Path) -> None:
    """Remove a file if it is there, and if it can be."""
    with contextlib.suppress(OSError):
        file.unlink(missing_ok=True)


def _is_at(descriptor: int, file: Path) -> bool:
    """Return whether an open file still has its name; on Windows it cannot lose it."""
    if sys.platform == "win32":
        return True
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
            try:
                old.rename(target)
            except OSError:
                where = f"it lies whole in {old}, and the next run puts it back"
                raise FileProblem(target, f"cannot be written: {error.strerror}; {where}") from None
            raise
        shutil.rmtree(old, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step, where the system can (Linux's renameat2)."""
    if sys.platform == "win32":
        return False
    import ctypes

    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    return bool(rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _EXCHANGE) == 0)
