"""List what the cache holds, and remove what no model of the index needs."""

from __future__ import annotations

import contextlib
import re
import shutil
import stat
import time
from dataclasses import dataclass
from pathlib import Path

from rexnet_hub.errors import FileProblem, MismatchError, RepoError, file_problems
from rexnet_hub.index import Index, Lock
from rexnet_hub.layout import RELEASED_FOLDER, REPOS_FOLDER, is_file_name, is_repo_file, receipt_of
from rexnet_hub.locate import find_places
from rexnet_hub.repo.folder import read_repo
from rexnet_hub.weights.digest import digest_file
from rexnet_hub.weights.receipt import read_receipt
from rexnet_hub.whole_files import locked

#: The folders of the cache, and how what is of ours in them is named.
_NAMES = {RELEASED_FOLDER: re.compile(r"[0-9a-f]{64}"), REPOS_FOLDER: re.compile(r".+-[0-9a-f]{16}")}
_LEFT = re.compile(r"\.(.+?)\.(part|lock|part\.old)")
#: A younger one may be of a run that is at it, on a disk that has no locks.
_LEFT_SECONDS = 86400.0


@dataclass(frozen=True, kw_only=True)
class CachedItem:
    """One file or folder of a cache.

    Attributes:
        of: The models that need it, else what it is called.
        last_used: When, in seconds since 1970: a folder's time is set at each use, where it may be.
        state: `needed` by a model or `unneeded`, `damaged`, `left behind` by a killed run, `at work?` for a
            day, or `not ours`, which is never removed.
    """

    place: Path
    of: str
    size_bytes: int
    last_used: float
    state: str


def list_cache(index: Index, lock: Lock, cache_dir: Path, *, check: bool = False) -> list[CachedItem]:
    """List what is in a cache; no link is followed.

    Args:
        check: Whether every file is read and digested, so that a damaged one is seen.
    """
    needed: dict[Path, list[str]] = {}
    for entry in index.models:
        for place in find_places(entry, lock.of(entry.name), cache_dir):
            needed.setdefault(place, []).append(entry.name)
    items = []
    for top in sorted(cache_dir.iterdir()) if cache_dir.exists() else ():
        names = _NAMES.get(top.name) if _is_folder(top) else None
        for place in sorted(top.iterdir()) if names else [top]:
            items.append(_describe(place, names, needed.get(place, []), check))
    return items


def _is_folder(place: Path) -> bool:
    return place.is_dir() and not place.is_symlink()


def _is_file(place: Path) -> bool:
    return place.is_file() and not place.is_symlink()


def _describe(place: Path, names: re.Pattern[str] | None, models: list[str], check: bool) -> CachedItem:
    """Measure what is at a place, and decide whose it is."""
    size_bytes, last_used = 0, 0.0
    inside = sorted(place.rglob("*")) if _is_folder(place) else []
    for file in (place, *inside):
        with contextlib.suppress(FileNotFoundError):  # a run that is at it moved it away
            status = file.lstat()
            size_bytes += 0 if stat.S_ISDIR(status.st_mode) else status.st_size
            last_used = max(last_used, status.st_mtime)
    if names is None or not _is_ours(place, names, inside):
        state = "not ours"
    elif _LEFT.fullmatch(place.name):
        state = "left behind" if time.time() - last_used > _LEFT_SECONDS else "at work?"
    elif check and not _is_whole(place):
        state = "damaged"
    else:
        state = "needed" if models else "unneeded"
    is_released = names is _NAMES[RELEASED_FOLDER] and inside
    of = ", ".join(models) or (inside[-1] if is_released else place).name
    return CachedItem(place=place, of=of, size_bytes=size_bytes, last_used=last_used, state=state)


def _is_ours(place: Path, names: re.Pattern[str], inside: list[Path]) -> bool:
    """Return whether a place and all that is in it are what this package writes, by kind and name."""
    left, is_released = _LEFT.fullmatch(place.name), names is _NAMES[RELEASED_FOLDER]
    is_one_file = left is not None and (is_released or left[2] == "lock")
    if not names.fullmatch(left[1] if left else place.name):
        return False
    if not (_is_file if is_one_file else _is_folder)(place):
        return False
    for file in inside:
        if is_released and file.parent == place and names.fullmatch(file.name) and _is_folder(file):
            continue  # named by the digest of the first fetch
        name = left[1] if (left := _LEFT.fullmatch(file.name)) else file.name
        if not _is_file(file) or not (is_file_name(name) if is_released else is_repo_file(name)):
            return False
    return True


def _is_whole(place: Path) -> bool:
    """Return whether the files of a folder have the digests that the folder or the receipt states."""
    try:
        if place.parent.name == RELEASED_FOLDER:
            files = {file for file in place.rglob("*") if not file.is_dir()}
            converted = (file for file in files if file.suffix == ".safetensors")
            receipts = {receipt_of(file): file for file in converted if receipt_of(file) in files}
            stated = {file: file.parent.name for file in files - receipts.keys()}
            stated |= {file: read_receipt(receipt).output.sha256 for receipt, file in receipts.items()}
            return bool(files) and all(digest_file(file).sha256 == sha256 for file, sha256 in stated.items())
        repo = read_repo(place)
        repo.identity.require(repo.weights, digest_file(repo.weights))
        return repo.receipt is not None
    except (FileProblem, RepoError, MismatchError):
        return False


def find_prunable(items: list[CachedItem], *, everything: bool = False) -> list[CachedItem]:
    """List the items that may go: what no model needs, with `everything` also what can be fetched again."""
    states = {"unneeded", "damaged", "left behind"} | ({"needed"} if everything else set())
    return [item for item in items if item.state in states]


def remove_cached(item: CachedItem) -> None:
    """Remove an item from the cache, unless a run is at it.

    Raises:
        FileProblem: It is in use, or it cannot be removed.
    """
    left = _LEFT.fullmatch(item.place.name)
    place = item.place.with_name(left[1]) if left else item.place
    with locked(place, seconds=0), file_problems(item.place, "cannot be removed"):
        if item.place.is_dir():
            shutil.rmtree(item.place)
        else:
            item.place.unlink(missing_ok=True)
