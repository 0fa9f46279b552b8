"""List what the cache holds, and remove what no model of the index needs."""

from __future__ import annotations

import contextlib
import re
import shutil
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rexnet_hub.errors import FileProblem, MismatchError, RepoError
from rexnet_hub.hub.snapshot import find_hub_repos
from rexnet_hub.index import Index, Lock
from rexnet_hub.layout import RELEASED_FOLDER, REPOS_FOLDER
from rexnet_hub.locate import find_places
from rexnet_hub.repo.folder import read_repo
from rexnet_hub.weights.digest import digest_file
from rexnet_hub.whole_files import locked

NEEDED, UNNEEDED, DAMAGED, LEFT, NEW, NOT_OURS = (
    "needed", "unneeded", "damaged", "left behind", "at work?", "not ours",
)  # fmt: skip
RELEASED, REPO, HUB_REPO = "released file", "converted repo", "Hub repo"
#: The folders of the cache, what is in them, and how it is called.
_FOLDERS = {
    RELEASED_FOLDER: (RELEASED, re.compile(r"[0-9a-f]{64}")),
    REPOS_FOLDER: (REPO, re.compile(r".+-[0-9a-f]{16}")),
}
_LEFT = re.compile(r"\.(.+)\.(?:part|lock|part\.old)")
#: A younger one may be a run's that is at it, on a disk that has no locks.
_LEFT_SECONDS = 86400.0


@dataclass(frozen=True, kw_only=True)
class CachedItem:
    """One file or folder of a cache.

    Attributes:
        of: The models that need it, else what it is called.
        last_used: When, in seconds since 1970: a folder's time is set at each use. In a cache of others it
            is when the folder was written.
        state: `needed` by a model of the index or `unneeded`, `damaged`, `left behind` by a killed run,
            `at work?` for a day, or `not ours`, which is never removed.
    """

    place: Path
    kind: str
    of: str
    size_bytes: int
    last_used: float
    state: str


def list_cache(index: Index, lock: Lock, cache_dir: Path, *, check: bool = False) -> list[CachedItem]:
    """List what is in a cache, and in the Hub client's own of the repos that the lock names.

    Args:
        check: Whether every file is read and digested, so that a damaged one is seen.
    """
    needed: dict[Path, list[str]] = {}
    for entry in index.models:
        for place in find_places(entry, lock.of(entry.name), cache_dir):
            needed.setdefault(place, []).append(entry.name)
    items = [_describe(place, needed.get(place, []), check) for place in _walk(cache_dir)]
    published = {measured.hub.repo_id for measured in lock.models.values() if measured.hub}
    return items + [
        CachedItem(
            place=repo.repo_path,
            kind=HUB_REPO,
            of=repo.repo_id,
            size_bytes=repo.size_on_disk,
            last_used=repo.last_accessed,
            state=NOT_OURS,
        )
        for repo in find_hub_repos(published)
    ]


def _walk(cache_dir: Path) -> Iterator[Path]:
    """Go through what is at its own place in the cache; a link is never followed."""
    for place in sorted(cache_dir.iterdir()) if cache_dir.exists() else ():
        if place.name in _FOLDERS and place.is_dir() and not place.is_symlink():
            yield from sorted(place.iterdir())
        else:
            yield place


def _describe(place: Path, models: list[str], check: bool) -> CachedItem:
    kind, name = _FOLDERS.get(place.parent.name, ("", re.compile("(?!)")))
    files = [place] if place.is_symlink() or not place.is_dir() else [place, *place.rglob("*")]
    size_bytes, last_used = 0, 0.0
    for file in files:
        with contextlib.suppress(FileNotFoundError):  # a run that is at it moved it away
            status = file.lstat()
            size_bytes += 0 if stat.S_ISDIR(status.st_mode) else status.st_size
            last_used = max(last_used, status.st_mtime)
    if kind and _LEFT.fullmatch(place.name) and not place.is_symlink():
        kind, state = "temporary", LEFT if time.time() - last_used > _LEFT_SECONDS else NEW
    elif not name.fullmatch(place.name) or place.is_symlink() or not place.is_dir():
        kind, state = "signed versions" if place.name == "signed" else "unknown", NOT_OURS
    elif check and not _is_whole(place, kind):
        state = DAMAGED
    else:
        state = NEEDED if models else UNNEEDED
    named = (file.name for file in files if kind == RELEASED and not file.is_dir())
    of = ", ".join(models) or next(named, place.name)
    return CachedItem(place=place, kind=kind, of=of, size_bytes=size_bytes, last_used=last_used, state=state)


def _is_whole(place: Path, kind: str) -> bool:
    """Return whether the files of a folder have the digests that the folder or the receipt states."""
    try:
        if kind == RELEASED:
            files = [file for file in place.rglob("*") if not file.is_dir()]
            return bool(files) and all(digest_file(file).sha256 == file.parent.name for file in files)
        repo = read_repo(place)
        repo.identity.require(repo.weights, digest_file(repo.weights))
        return repo.receipt is not None
    except (FileProblem, RepoError, MismatchError):
        return False


def find_prunable(items: list[CachedItem], *, everything: bool = False) -> list[CachedItem]:
    """List the items that may go: what no model needs, with `everything` also what can be fetched again."""
    states = {UNNEEDED, DAMAGED, LEFT} | ({NEEDED} if everything else set())
    return [item for item in items if item.state in states]


def remove_cached(item: CachedItem) -> None:
    """Remove an item from the cache, unless a run is at it.

    Raises:
        FileProblem: It is in use, or it cannot be removed.
    """
    left = _LEFT.fullmatch(item.place.name)
    with locked(item.place.with_name(left[1]) if left else item.place, seconds=0):
        try:
            if item.place.is_dir():
                shutil.rmtree(item.place)
            else:
                item.place.unlink(missing_ok=True)
        except OSError as error:
            raise FileProblem(item.place, f"cannot be removed: {error.strerror}") from None
