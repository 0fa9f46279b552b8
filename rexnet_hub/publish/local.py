"""The files of a staged repo, each with its digests, and nothing among them that does not belong."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rexnet_hub.errors import FileProblem
from rexnet_hub.hub.cache import start_git_id
from rexnet_hub.layout import REPO_FILES, SIGNATURE_FILES
from rexnet_hub.weights.digest import CHUNK_BYTES


@dataclass(frozen=True, kw_only=True)
class LocalFile:
    """A file, digested both ways that a Hub records one."""

    size_bytes: int
    sha256: str
    git_id: str


@contextlib.contextmanager
def readable(place: Path) -> Iterator[None]:
    """Let what the disk says while a file or folder is read rise as an error of ours."""
    try:
        yield
    except OSError as error:
        raise FileProblem(place, f"cannot be read: {error.strerror}") from None


def digest_both(file: Path) -> LocalFile:
    """Digest a file with SHA-256 and as git does a blob, in one reading."""
    with readable(file):
        size_bytes = file.stat().st_size
        sha256, git = hashlib.sha256(), start_git_id(size_bytes)
        with file.open("rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                sha256.update(chunk)
                git.update(chunk)
    return LocalFile(size_bytes=size_bytes, sha256=sha256.hexdigest(), git_id=git.hexdigest())


def list_staged(folder: Path) -> dict[str, LocalFile]:
    """List a staged repo's files.

    Raises:
        FileProblem: A file is missing, or one is there that belongs to no repo.
    """
    there = {file.name for file in folder.iterdir()}
    if missing := [name for name in REPO_FILES if not (folder / name).is_file()]:
        raise FileProblem(folder, f"is not a whole repo: {', '.join(missing)} missing")
    if strange := sorted(there - set(REPO_FILES) - set(SIGNATURE_FILES)):
        raise FileProblem(folder, f"holds what belongs to no repo: {', '.join(strange)}; move it away")
    return {name: digest_both(folder / name) for name in sorted(there)}


def content_tag(files: Mapping[str, LocalFile]) -> str:
    """Name the tag of exactly these files: the same bytes give the same tag, others another."""
    lines = "".join(f"{file.sha256}  {name}\n" for name, file in sorted(files.items()))
    return f"files-{hashlib.sha256(lines.encode()).hexdigest()[:12]}"
