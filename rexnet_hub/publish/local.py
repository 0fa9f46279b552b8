"""List the files of a staged repo with their digests; refuse any that does not belong."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from rexnet_hub.errors import FileProblem
from rexnet_hub.hub.snapshot import RepoFile, digest_both
from rexnet_hub.repo.folder import require_own_files


@contextlib.contextmanager
def readable(place: Path) -> Iterator[None]:
    """Raise what the disk refuses while a file or folder is read as an error of ours."""
    try:
        yield
    except OSError as error:
        raise FileProblem(place, f"cannot be read: {error.strerror}") from None


def list_files(folder: Path) -> dict[str, RepoFile]:
    """Digest every file of a folder and of the folders in it, by its path there."""
    with readable(folder):
        files = [file for file in sorted(folder.rglob("*")) if file.is_symlink() or not file.is_dir()]
        return {file.relative_to(folder).as_posix(): digest_both(file) for file in files}


def list_staged(folder: Path) -> dict[str, RepoFile]:
    """List a staged repo's files.

    Raises:
        FileProblem: A file is missing, or one is there that belongs to no repo.
    """
    require_own_files(folder)
    return list_files(folder)


def content_tag(files: Mapping[str, RepoFile]) -> str:
    """Return the tag of exactly these files: the same bytes give the same tag, others another."""
    lines = "".join(f"{file.sha256}  {name}\n" for name, file in sorted(files.items()))
    return f"files-{hashlib.sha256(lines.encode()).hexdigest()[:12]}"
