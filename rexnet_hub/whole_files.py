"""Write a file whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from rexnet_hub.errors import FileProblem


def write_whole(file: Path, data: bytes) -> None:
    """Put bytes in a file's place: a reader, and a machine that stops, see the old or the new.

    A link stays a link, and the file keeps its permissions.

    Raises:
        FileProblem: It cannot be written, and is as it was; or it is, and the disk does not confirm it.
    """
    file = Path(os.path.realpath(file))
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        if file.exists():
            temporary.chmod(file.stat().st_mode & 0o7777)
        temporary.replace(file)
    except OSError as error:
        with contextlib.suppress(OSError):  # of a disk that became read-only
            temporary.unlink(missing_ok=True)
        raise FileProblem(file, f"cannot be written: {error.strerror}") from error
    confirm(file)


def confirm(written: Path) -> None:
    """Make sure that what was just moved into place, a file or a folder, stays there in a power cut.

    Raises:
        FileProblem: The disk does not confirm it; it is there, whole.
    """
    try:
        sync_folder(written.parent)
    except OSError as error:
        problem = f"is written, but the disk does not confirm it: {error.strerror}; check the disk"
        raise FileProblem(written, problem) from None


def sync_folder(folder: Path) -> None:
    """Make sure that the names in a folder survive a power cut."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
