"""Write a file whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from rexnet_hub.errors import FileProblem


def write_whole(file: Path, data: bytes) -> None:
    """Put bytes in a file's place: a reader, and a machine that stops, see the old or the new.

    A link stays a link, and the file keeps its permissions.

    Raises:
        FileProblem: It cannot be written; it is as it was.
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
        _sync_folder(file.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise FileProblem(file, f"cannot be written: {error.strerror}") from error


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
