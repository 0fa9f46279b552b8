"""Bring a repo's files from a Hub to the client's cache, all from one commit.

The client checks sizes, not digests. But it files each blob under the Hub's own record of it: the
SHA-256 of an LFS object, the git object id of any other file. That is what a file is held against
here, with no request and offline too.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from rexnet_hub.errors import HubError, MismatchError, RepoError
from rexnet_hub.hub.faults import hub_faults
from rexnet_hub.hub.patience import terminal_progress, within
from rexnet_hub.hub.redirects import watched
from rexnet_hub.layout import CONFIG_FILE, RECEIPT_FILE, WEIGHTS_FILE

REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*\Z")
COMMIT = re.compile(r"[0-9a-f]{40}\Z")
#: How long to wait for the answer that says which commit a revision is.
STEP_SECONDS = 10.0
#: How long one file may take, in whatever drops its bytes come: 66 MB in half an hour is 37 kB a second.
WEIGHTS_SECONDS, SMALL_FILE_SECONDS = 1800.0, 120.0
RETRY_SECONDS = 0.5

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which repo, and how to get at it; arguments as in `AutoModel.from_pretrained`."""

    repo_id: str
    revision: str | None = None
    cache_dir: Path | str | None = None
    local_files_only: bool = False
    token: str | bool | None = None


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Files of one commit, in the cache.

    Attributes:
        recorded: For each file the Hub's record of it: a SHA-256 (64 digits) or a git object id (40).
    """

    wanted: Wanted
    commit: str
    folder: Path
    recorded: Mapping[str, str]

    @property
    def weights_sha256(self) -> str | None:
        """The Hub's digest of the weights, where it keeps one."""
        digest = self.recorded.get(WEIGHTS_FILE, "")
        return digest if len(digest) == 64 else None


def bring_config(wanted: Wanted) -> Snapshot:
    """Bring config.json alone; it settles the commit, with at most one request if it is cached.

    Raises:
        HubError: It cannot be brought.
        RepoError: The repo has no config.json, or the cache leads out of itself.
        MismatchError: What came twice is not what the Hub says that it is.
    """
    try:
        file = _bring(wanted, CONFIG_FILE)
    except HubError as error:
        if error.kind == "no-file":
            raise RepoError(f"{wanted.repo_id}: is no model repo, it has no {CONFIG_FILE}") from None
        if not error.is_transient or _is_offline(wanted) or (cached := _cached(wanted, CONFIG_FILE)) is None:
            raise
        file = cached
        log.warning("%s; taking what the cache has: commit %s", error, file.parent.name[:12])
    commit = wanted.revision if wanted.revision and COMMIT.match(wanted.revision) else _commit_of(file)
    return _checked(wanted, commit, file.parent, (CONFIG_FILE,))


def bring_repo(wanted: Wanted) -> Snapshot:
    """Bring what a network is loaded from: config.json, then weights and receipt of the same commit.

    The small files are checked here; the weights are for their reader to check, who has the bytes.

    Raises:
        HubError, RepoError, MismatchError: As `bring_config`, or the repo has no safetensors file.
    """
    first = bring_config(wanted)
    pinned = replace(wanted, revision=first.commit)
    try:
        _bring(pinned, WEIGHTS_FILE)
    except HubError as error:
        if error.kind == "no-file":
            raise RepoError(_without_weights(pinned)) from None
        raise
    found = [CONFIG_FILE, WEIGHTS_FILE]
    if _bring_optional(pinned, RECEIPT_FILE):
        found.append(RECEIPT_FILE)
    return _checked(pinned, first.commit, first.folder, found)


def bring_again(snapshot: Snapshot, names: Iterable[str]) -> Snapshot:
    """Bring files of a snapshot anew, in place of what the cache holds of them.

    Raises:
        MismatchError: The Hub may not be asked.
        HubError: It cannot be brought.
    """
    wanted = snapshot.wanted
    for name in names:
        if _is_offline(wanted):
            found = digest_as(snapshot.folder / name, snapshot.recorded.get(name, "?" * 64))
            raise _mismatch(snapshot, name, found)
        _bring(replace(wanted, revision=snapshot.commit), name, again=True)
    return snapshot


def digest_as(file: Path, record: str) -> str:
    """Digest a file as its record does: SHA-256 for 64 digits, git's id of a blob for 40."""
    data = file.read_bytes()
    if len(record) == 64:
        return hashlib.sha256(data).hexdigest()
    git = start_git_id(len(data))
    git.update(data)
    return git.hexdigest()


def start_git_id(size_bytes: int) -> hashlib._Hash:
    """Return the hash that makes git's id of a blob, ready for its bytes."""
    return hashlib.sha1(b"blob %d\0" % size_bytes, usedforsecurity=False)


def _checked(wanted: Wanted, commit: str, folder: Path, names: Iterable[str]) -> Snapshot:
    """Hold each file's place against the cache, and each small file against its record."""
    names = tuple(names)
    records = {name: _record(wanted, folder / name) for name in names}
    recorded = {name: record for name, record in records.items() if record}
    snapshot = Snapshot(wanted=wanted, commit=commit, folder=folder, recorded=recorded)
    for name in recorded:
        if name == WEIGHTS_FILE or digest_as(folder / name, recorded[name]) == recorded[name]:
            continue
        bring_again(snapshot, [name])
        if (found := digest_as(folder / name, recorded[name])) != recorded[name]:
            raise _mismatch(snapshot, name, found)
    return snapshot


def _record(wanted: Wanted, file: Path) -> str | None:
    """Find the Hub's record of a cached file, and refuse a path that leaves the cache."""
    root = _cache_root(wanted)
    real = file.resolve()
    if not real.is_relative_to(root) or not real.is_file():
        raise RepoError(f"{file}: leads out of the cache {root}, or to no regular file; remove {file.parent}")
    name = file.readlink().name if file.is_symlink() else ""
    return name if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", name) else None


def _mismatch(snapshot: Snapshot, name: str, found: str) -> MismatchError:
    wanted = snapshot.wanted
    advice = "Load it online to have it fetched again; if it differs again, do not use it, report it."
    where = f"{wanted.repo_id}@{snapshot.commit[:12]}/{name}"
    return MismatchError(
        where, what="its digest", stated=snapshot.recorded.get(name, "none"), found=found, advice=advice
    )


def _bring(wanted: Wanted, name: str, *, again: bool = False) -> Path:
    """Bring one file; what fails at once is tried once more, since the client does not retry it all."""
    start = time.monotonic()
    try:
        return _bring_once(wanted, name, again=again)
    except HubError as error:
        if not error.is_transient or time.monotonic() - start > STEP_SECONDS / 2:
            raise
        if not again and _cached(wanted, name) is not None:
            raise
    time.sleep(RETRY_SECONDS)
    return _bring_once(wanted, name, again=again)


def _cached(wanted: Wanted, name: str) -> Path | None:
    import huggingface_hub

    found = huggingface_hub.try_to_load_from_cache(
        wanted.repo_id, name, cache_dir=wanted.cache_dir, revision=wanted.revision
    )
    return Path(found) if isinstance(found, str) else None


def _bring_once(wanted: Wanted, name: str, *, again: bool) -> Path:
    is_pinned = wanted.revision is not None and COMMIT.match(wanted.revision)
    if is_pinned and not again and (cached := _cached(wanted, name)) is not None:
        return cached
    import huggingface_hub

    def download() -> str:
        return huggingface_hub.hf_hub_download(
            wanted.repo_id,
            name,
            revision=wanted.revision,
            cache_dir=wanted.cache_dir,
            local_files_only=wanted.local_files_only,
            token=wanted.token,
            force_download=again,
            etag_timeout=STEP_SECONDS,
        )

    def ask() -> str:
        return download() if _is_offline(wanted) else watched(download)

    limit_seconds = WEIGHTS_SECONDS if name == WEIGHTS_FILE else SMALL_FILE_SECONDS
    faults = hub_faults("could not be fetched", wanted.repo_id, revision=wanted.revision)
    with faults, terminal_progress():
        return Path(within(limit_seconds, ask))


def _bring_optional(wanted: Wanted, name: str) -> bool:
    """Bring a file that a repo may lack; that it does is remembered by the client's cache."""
    import huggingface_hub

    known = huggingface_hub.try_to_load_from_cache(
        wanted.repo_id, name, cache_dir=wanted.cache_dir, revision=wanted.revision
    )
    if isinstance(known, str):
        return True
    if known is not None or _is_offline(wanted):  # known to be missing, or nobody to ask
        return False
    try:
        _bring(wanted, name)
    except HubError as error:
        if error.kind == "no-file":
            return False
        raise
    return True


def _without_weights(wanted: Wanted) -> str:
    """Say that a repo has no weights that are read, and how to convert those that it has."""
    import huggingface_hub

    def ask() -> huggingface_hub.ModelInfo:
        return huggingface_hub.HfApi().model_info(
            wanted.repo_id, revision=wanted.revision, token=wanted.token, timeout=STEP_SECONDS
        )

    with hub_faults("could not be listed", wanted.repo_id, revision=wanted.revision):
        files = within(SMALL_FILE_SECONDS, lambda: watched(ask))
    names = sorted(row.rfilename for row in files.siblings or ())
    said = f"{wanted.repo_id}: has no {WEIGHTS_FILE}"
    pickles = [name for name in names if name.endswith((".bin", ".pth", ".pt", ".ckpt"))]
    if not pickles:
        return said
    pickle = pickles[0]
    convert = f"hf download {wanted.repo_id} {pickle} --local-dir DIR && rexnet-hub convert DIR/{pickle}"
    return f"{said}; its {pickle} is a pickle, which is never loaded. Convert it: {convert}"


def is_offline() -> bool:
    """Say whether the Hub's own switch, HF_HUB_OFFLINE, says that nothing is asked of any network."""
    from huggingface_hub import constants

    return constants.is_offline_mode()


def _is_offline(wanted: Wanted) -> bool:
    return wanted.local_files_only or is_offline()


def _cache_root(wanted: Wanted) -> Path:
    from huggingface_hub import constants

    return Path(wanted.cache_dir or constants.HF_HUB_CACHE).expanduser().resolve()


def _commit_of(file: Path) -> str:
    """Read the commit out of the cache's own layout, `snapshots/COMMIT/config.json`."""
    commit = file.parent.name
    if not COMMIT.match(commit):
        raise RepoError(f"{file}: is not where the client's cache keeps files; is huggingface_hub too new?")
    return commit
