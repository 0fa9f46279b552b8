"""Put a repo in a folder's place, whole: a reader, and a machine that stops, see the old or the new."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from pathlib import Path

from filelock import FileLock, Timeout

from rexnet_hub.errors import FileProblem
from rexnet_hub.repo import sync_folder

LOCK_SECONDS = 600  # longer than any copy that another run may be at
_AT_FDCWD, _EXCHANGE = -100, 2


def replace_folder(target: Path, source: Path) -> None:
    """Copy `source` beside `target`, sync it, and swap the two in one step.

    What an earlier run left behind when it was killed is swept.

    Raises:
        FileProblem: It cannot be written; the target is as it was.
    """
    aside = target.with_name(f".{target.name}.publishing")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(target.parent, os.W_OK | os.X_OK):  # where no lock can be made, it is waited for
            raise PermissionError(errno.EACCES, "no permission to write there")
        with FileLock(target.with_name(f".{target.name}.lock"), timeout=LOCK_SECONDS):
            _recover(target, aside)
            try:
                _copy(source, aside)
                _swap(aside, target)
                sync_folder(target.parent)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
    except Timeout:
        raise FileProblem(target, "is being published by another run; try again when it is done") from None
    except OSError as error:
        raise FileProblem(target, f"cannot be written: {error.strerror}; it is as it was") from None


def _recover(target: Path, aside: Path) -> None:
    """Bring back what a kill between two renames left under the other name; sweep the rest."""
    old = aside.with_name(f"{aside.name}.old")
    if old.exists() and not target.exists():
        old.rename(target)
    for left in (aside, old):
        shutil.rmtree(left, ignore_errors=True)


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
        old = aside.with_name(f"{aside.name}.old")
        target.rename(old)
        aside.rename(target)
        shutil.rmtree(old, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step, where the system can (Linux's renameat2)."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    return bool(rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _EXCHANGE) == 0)
