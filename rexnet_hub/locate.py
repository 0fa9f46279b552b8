"""Find a model's repo by name, Hub id or folder.

A name of the index is first looked up in the lock: where it was published, its Hub repo is taken at
the locked commit; where it was not, the released file is converted once, in our own cache. What is
no name is a folder if there is one, else a Hub id. A `Path` is a folder, whatever it is called.
"""

from __future__ import annotations

import functools
import logging
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from rexnet_hub.errors import FileProblem, MismatchError, RepoError, UnknownModelError, UsageError
from rexnet_hub.hub.cache import REPO_ID, Wanted, bring_again, bring_config, bring_repo, is_offline
from rexnet_hub.index import Entry, Index, load_index
from rexnet_hub.index.lock import Measured, read_lock
from rexnet_hub.index.reading.checks import is_plain_name
from rexnet_hub.layout import CONFIG_FILE, WEIGHTS_FILE, find_cache_dir
from rexnet_hub.repo.config import RepoConfig, read_config, render_config
from rexnet_hub.repo.folder import Repo, fetch_released, read_repo, write_repo
from rexnet_hub.whole_files import locked

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Access:
    """How to get at a repo; attributes as the arguments of `AutoModel.from_pretrained`."""

    revision: str | None = None
    cache_dir: Path | str | None = None
    local_files_only: bool = False
    token: str | bool | None = None


def find_entry(source: str | Path) -> Entry | None:
    """Find the model of the index that has this name, if there is one; a `Path` is no name.

    What is wrong in the index is said in the log, once.
    """
    if isinstance(source, Path):
        return None
    index: Index = load_index()
    if index.errors:
        _say_errors(len(index.errors), str(index.errors[0]))
    return next((entry for entry in index.models if entry.name == str(source)), None)


@functools.cache
def _say_errors(count: int, first: str) -> None:
    log.warning("errors in the index: %d, the first: %s; rexnet-hub validate lists all", count, first)


def find_repo(source: str | Path, access: Access | None = None) -> Repo:
    """Find a repo on this machine, fetching what is missing.

    Raises:
        UnknownModelError: Neither a model, nor a folder, nor a Hub id.
        HubError, FetchError: It cannot be brought here.
        RepoError: It cannot be loaded, or not by us.
        MismatchError: What is promised of it does not agree.
    """
    access = access or Access()
    if (entry := find_entry(source)) is not None:
        measured = read_lock().of(entry.name)
        _say_replaced(entry)
        if measured.hub is not None:
            return _published_repo(measured, access)
        if access.revision is not None:
            raise UsageError(f"{entry.name} is not on a Hub yet, so it has no revision {access.revision!r}")
        return _released_repo(entry, measured, access)
    if Path(source).is_dir():
        return read_repo(Path(source))
    return _hub_repo(_wanted(source, access))


def find_config(source: str | Path, access: Access | None = None) -> RepoConfig:
    """Find only the config.json of a folder or Hub repo; arguments as in `find_repo`."""
    if Path(source).is_dir():
        return read_config(Path(source) / CONFIG_FILE)
    return read_config(bring_config(_wanted(source, access or Access())).folder / CONFIG_FILE)


def _wanted(source: str | Path, access: Access) -> Wanted:
    if isinstance(source, Path) or Path(source).exists():
        found = "is a file, not a repo folder: rexnet-hub convert or stage makes one of a checkpoint"
        raise FileProblem(source, found if Path(source).exists() else "there is no such folder")
    if not REPO_ID.match(str(source)):
        raise UnknownModelError(str(source), [known.name for known in load_index().models])
    return Wanted(repo_id=str(source), **vars(access))


def _say_replaced(entry: Entry) -> None:
    if (claim := entry.extra.get("superseded_by")) is not None:
        log.warning("%s is superseded by %s", entry.name, claim.text)


def _published_repo(measured: Measured, access: Access) -> Repo:
    """Find a published model: at the locked commit, unless another revision is asked for."""
    assert measured.hub is not None
    pinned = access.revision is None
    revision = measured.hub.commit if pinned else access.revision
    repo = _hub_repo(Wanted(repo_id=measured.hub.repo_id, **vars(replace(access, revision=revision))))
    locked = measured.safetensors.sha256 if pinned and measured.safetensors else None
    return _promised(repo, locked, "the lock")


def _hub_repo(wanted: Wanted) -> Repo:
    """Bring a Hub repo's files, and hold receipt and record against each other."""
    snapshot = bring_repo(wanted)
    repo = replace(read_repo(snapshot.folder), renew=lambda: bring_again(snapshot, [WEIGHTS_FILE]))
    return _promised(repo, snapshot.weights_sha256, "the Hub's own record")


def _promised(repo: Repo, sha256: str | None, whose: str) -> Repo:
    """Add one more promise about the weights; two that differ are refused before a byte is read."""
    if sha256 is None or repo.weights_sha256 in (None, sha256):
        return replace(repo, weights_sha256=repo.weights_sha256 or sha256)
    raise MismatchError(
        repo.weights,
        what=f"its SHA-256 by {whose}",
        stated=str(repo.weights_sha256),
        found=sha256,
        advice="One of the two was changed after publishing: do not load it, report it.",
    )


def _released_repo(entry: Entry, measured: Measured, access: Access) -> Repo:
    """Make the repo of a model from its released file, once, in our cache."""
    if not is_plain_name(entry.name):
        raise RepoError(
            f"{entry.location}: {entry.name[:80]!a} cannot name a folder; rexnet-hub validate says why"
        )
    cache_dir = Path(access.cache_dir) if access.cache_dir else find_cache_dir()
    folder = cache_dir / "repos" / entry.name
    offline = access.local_files_only or is_offline()
    if (repo := _current(entry, folder)) is None:
        if offline:
            raise RepoError(f"{entry.name} is not in the cache {cache_dir}; load it once with a network")
        _make_released(entry, measured, cache_dir, folder)
        repo = read_repo(folder)

    def renew() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        _make_released(entry, measured, cache_dir, folder)

    locked = measured.safetensors.sha256 if measured.safetensors else None
    return _promised(replace(repo, renew=None if offline else renew), locked, "the lock")


def _current(entry: Entry, folder: Path) -> Repo | None:
    """Read the repo that an earlier load made, unless it is damaged or of another released file."""
    try:
        repo = read_repo(folder)
        same = (folder / CONFIG_FILE).read_text(encoding="utf-8") == render_config(entry)
    except (RepoError, FileProblem, OSError):
        return None
    prefix = (entry.released.digest_prefix if entry.released else None) or ""
    of_it = repo.receipt is not None and repo.receipt.source.sha256.startswith(prefix)
    return repo if same and of_it else None


def _make_released(entry: Entry, measured: Measured, cache_dir: Path, folder: Path) -> None:
    checkpoint = fetch_released(entry, cache_dir=cache_dir, measured=measured)
    try:
        with locked(folder):
            if _current(entry, folder) is None:
                shutil.rmtree(folder, ignore_errors=True)
                write_repo(entry, checkpoint, folder)
    except OSError as error:
        raise FileProblem(folder, f"cannot be written: {error.strerror}") from None
