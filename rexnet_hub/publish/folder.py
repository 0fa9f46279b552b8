"""Put a repo in a folder's place, whole: a reader, and a machine that stops, see the old or the new."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from rexnet_hub.errors import FileProblem
from rexnet_hub.whole_files import confirm, sync_folder

LOCK_SECONDS = 600  # longer than any copy that another run may be at
_AT_FDCWD, _EXCHANGE = -100, 2


def replace_folder(target: Path, source: Path) -> None:
    """Copy `source` beside `target`, sync it, and swap the two in one step.

    What an earlier run left behind when it was killed is swept.

    Raises:
        FileProblem: It cannot be written, and the target is as it was; or it is, and the disk does not
            confirm it.
    """
    with _alone(target) as aside:
        try:
            _copy(source, aside)
            _swap(aside, target)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        confirm(target)


def sweep_beside(target: Path) -> None:
    """Remove what a run that was killed after it had done its work left beside the target.

    Raises:
        FileProblem: The folder that it is in cannot be written.
    """
    if any(left.exists() for left in _left(target)):
        with _alone(target):
            pass


@contextlib.contextmanager
def _alone(target: Path) -> Iterator[Path]:
    """Keep other runs away, and sweep; give the place to write at beside the target."""
    aside, old = _left(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(target.parent, os.W_OK | os.X_OK):  # where no lock can be made, it is waited for
            raise PermissionError(errno.EACCES, "no permission to write there")
        with FileLock(target.with_name(f".{target.name}.lock"), timeout=LOCK_SECONDS):
            if old.exists() and not target.exists():  # killed between two renames
                old.rename(target)
            for left in (aside, old):
                shutil.rmtree(left, ignore_errors=True)
            yield aside
    except Timeout:
        raise FileProblem(target, "is being published by another run; try again when it is done") from None
    except OSError as error:
        raise FileProblem(target, f"cannot be written: {error.strerror}; it is as it was") from None


def _left(target: Path) -> tuple[Path, Path]:
    """Name what is written beside a target: the new folder, and the old one where a swap takes two steps."""
    aside = target.with_name(f".{target.name}.publishing")
    return aside, aside.with_name(f"{aside.name}.old")


def _copy(source: Path, aside: Path) -> None:
    aside.mkdir()
    for file in sorted(source.iterdir()):
        with file.open("rb") as given, (aside / file.name).open("wb") as taken:
            shutil.copyfileobj(given, taken, 1 << 20)
            taken.flush()
            os.fsync(taken.fileno())
    sync_folder(aside)


def _swap(aside: Path, target: Path) -> None:
    if not target.exists():
        aside.rename(target)
    elif not _exchange(aside, target):
        _, old = _left(target)
        target.rename(old)
        try:
            aside.rename(target)
        except OSError as error:
            _bring_back(old, target, error)
            raise
        shutil.rmtree(old, ignore_errors=True)


def _bring_back(old: Path, target: Path, error: OSError) -> None:
    """Give the old repo its place again; where that cannot be done either, say where it is."""
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
