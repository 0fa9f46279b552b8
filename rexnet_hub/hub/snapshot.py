"""Fetch a repo's files from a Hub to the client's cache, all from one commit.

The client checks sizes, not digests. But it files each blob under the Hub's own record of it: the
SHA-256 of an LFS object, the git object id of any other file. A file is checked against that here,
with no request and offline too.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from rexnet_hub.addresses import HubFile
from rexnet_hub.errors import FileProblem, HubError, MismatchError, RepoError
from rexnet_hub.hub.client import call_client
from rexnet_hub.hub.faults import NOT_CACHED, hub_faults
from rexnet_hub.index import Lock
from rexnet_hub.layout import CONFIG_FILE, RECEIPT_FILE, SIGNED_BESIDE, WEIGHTS_FILE, is_evidence
from rexnet_hub.patience import Patience, is_transient, retry
from rexnet_hub.records import parse_json
from rexnet_hub.terminal import printable

COMMIT = re.compile(r"[0-9a-f]{40}\Z")
PATIENCE = Patience(step_seconds=10, total_seconds=120, attempts=2, wait_seconds=0.5)
#: How long the weights may take: 66 MB in half an hour is 37 kB a second.
WEIGHTS_SECONDS = 1800.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Access:
    """The settings for reading a repo; attributes as the arguments of `AutoModel.from_pretrained`."""

    revision: str | None = None
    cache_dir: Path | str | None = None
    local_files_only: bool = False
    token: str | bool | None = None
    trusted_key: Path | str | None = None


@dataclass(frozen=True, kw_only=True)
class Wanted(Access):
    """Which repo of a Hub is wanted, and how to get at it."""

    repo_id: str


class RepoFile(NamedTuple):
    """A file, digested both ways that a Hub records one: an LFS object's SHA-256, git's id of any other.

    Attributes:
        sha256: None where the Hub records git's id only.
    """

    size_bytes: int
    sha256: str | None
    git_id: str


class CachedRepo(NamedTuple):
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


def fetch_config(wanted: Wanted) -> CachedRepo:
    """Fetch config.json alone; it settles the commit, with at most one request if it is cached.

    Raises:
        HubError: It cannot be fetched.
        RepoError: The repo has no config.json, or the cache leads out of itself.
        MismatchError: What came twice is not what the Hub says that it is.
    """
    try:
        file = _fetch(wanted, CONFIG_FILE)
    except HubError as error:
        if error.kind == "no-file":
            raise RepoError(f"{wanted.repo_id}: is no model repo, it has no {CONFIG_FILE}") from None
        cached = _find_cached(wanted, CONFIG_FILE) if error.is_transient else None
        if not cached:
            raise
        file = cached
        log.warning("%s; taking what the cache has: commit %s", printable(str(error)), file.parent.name[:12])
    # The cache's own layout is `snapshots/COMMIT/config.json`.
    commit = next((text for text in (wanted.revision or "", file.parent.name) if COMMIT.match(text)), None)
    if commit is None:
        raise RepoError(f"{file}: is not where the client's cache keeps files; is huggingface_hub too new?")
    return _checked(wanted, commit, file.parent, (CONFIG_FILE,))


def fetch_repo(wanted: Wanted) -> CachedRepo:
    """Fetch what a network is loaded from: config.json, then weights and receipt of the same commit.

    Where a key is trusted, the other files that it signed are fetched too.

    The small files are checked here; the weights are for their reader to check, who has the bytes.

    Raises:
        HubError, RepoError, MismatchError: As `fetch_config`, or the repo has no safetensors file.
    """
    first = fetch_config(wanted)
    pinned = replace(wanted, revision=first.commit)
    try:
        _fetch(pinned, WEIGHTS_FILE)
    except HubError as error:
        if error.kind == "no-file":
            raise RepoError(_without_weights(pinned)) from None
        raise
    names = [CONFIG_FILE, WEIGHTS_FILE]
    for name in _list_beside(wanted, first.folder):
        try:
            _fetch(pinned, name)
            names.append(name)
        except HubError as error:  # a repo may lack it
            if error.kind != "no-file" and not _is_offline(pinned):
                raise
    return _checked(pinned, first.commit, first.folder, names)


def _list_beside(wanted: Wanted, folder: Path) -> Iterator[str]:
    """List what else is fetched: the receipt, and where a key is trusted, what else that key signed.

    Args:
        folder: Where the receipt is, when the next file is asked for.
    """
    yield RECEIPT_FILE
    if wanted.trusted_key:
        yield from SIGNED_BESIDE
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError):  # its check says so
            yield from filter(is_evidence, parse_json((folder / RECEIPT_FILE).read_bytes())["files"])


@contextlib.contextmanager
def downloaded_file(file: HubFile, *, token: str | bool | None = None) -> Iterator[tuple[Path, str | None]]:
    """Download one file to a folder that is gone after the block; yield it, and the Hub's SHA-256 of it.

    Raises:
        HubError: It cannot be fetched.
    """
    # A call that was given up, or interrupted, may still write there: what ended it is what is said.
    with tempfile.TemporaryDirectory(prefix="rexnet-hub-", ignore_cleanup_errors=True) as scratch:
        wanted = Wanted(repo_id=file.repo_id, revision=file.commit, cache_dir=scratch, token=token)
        path = _fetch(wanted, file.name)
        record = _record(wanted, path) or ""
        yield path, record if len(record) == 64 else None


def fetch_again(snapshot: CachedRepo, name: str) -> None:
    """Fetch a file of a snapshot anew, in place of what the cache holds of it.

    Raises:
        MismatchError: The Hub may not be asked.
        HubError: It cannot be fetched.
    """
    wanted = snapshot.wanted
    if _is_offline(wanted):
        digest = _digest_as(snapshot.folder / name, snapshot.recorded.get(name, ""))
        raise _mismatch(snapshot, name, digest)
    _fetch(replace(wanted, revision=snapshot.commit), name, again=True)


def digest_both(file: Path) -> RepoFile:
    """Digest a file with SHA-256 and as git does a blob, in one reading."""
    try:
        size_bytes = file.stat().st_size
        sha256, git = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size_bytes, usedforsecurity=False)
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                sha256.update(chunk)
                git.update(chunk)
    except OSError as error:
        raise FileProblem(file, f"cannot be read: {error.strerror}") from None
    return RepoFile(size_bytes=size_bytes, sha256=sha256.hexdigest(), git_id=git.hexdigest())


def _digest_as(file: Path, record: str) -> str:
    """Digest a file as its record does: SHA-256 for 64 digits, git's id of a blob for 40."""
    digests = digest_both(file)
    return digests.git_id if len(record) == 40 else str(digests.sha256)


def _checked(wanted: Wanted, commit: str, folder: Path, names: Iterable[str]) -> CachedRepo:
    """Check that each file lies in the cache, and each small file against its record."""
    names = tuple(names)
    records = {name: _record(wanted, folder / name) for name in names}
    recorded = {name: record for name, record in records.items() if record}
    snapshot = CachedRepo(wanted=wanted, commit=commit, folder=folder, recorded=recorded)
    for name in recorded:
        if name == WEIGHTS_FILE or _digest_as(folder / name, recorded[name]) == recorded[name]:
            continue
        fetch_again(snapshot, name)
        if (digest := _digest_as(folder / name, recorded[name])) != recorded[name]:
            raise _mismatch(snapshot, name, digest)
    return snapshot


def _record(wanted: Wanted, file: Path) -> str | None:
    """Read the Hub's record of a cached file off its blob's name; refuse a path that leaves the cache."""
    root = Path(wanted.cache_dir or _constants().HF_HUB_CACHE).expanduser().resolve()
    real = file.resolve()
    if not real.is_relative_to(root) or not real.is_file():
        raise RepoError(f"{file}: leads out of the cache {root}, or to no regular file; remove {file.parent}")
    name = file.readlink().name if file.is_symlink() else ""
    return name if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", name) else None


def _mismatch(snapshot: CachedRepo, name: str, digest: str) -> MismatchError:
    wanted = snapshot.wanted
    advice = "Load it online to have it fetched again; if it differs again, do not use it, report it."
    where = f"{wanted.repo_id}@{snapshot.commit[:12]}/{name}"
    stated = f"the Hub's own record states {snapshot.recorded.get(name, 'none')}"
    return MismatchError(where, [stated, f"its digest is {digest}"], advice=advice)


def _fetch(wanted: Wanted, name: str, *, again: bool = False) -> Path:
    """Fetch one file, or find it in the cache; what fails at once is tried once more."""
    import huggingface_hub

    cached = None if again else _find_cached(wanted, name)
    if _is_offline(wanted) or (wanted.revision and COMMIT.match(wanted.revision)):
        if cached:
            return cached
        if cached is False:
            raise HubError(wanted.repo_id, f"{wanted.repo_id}: has no {name}", kind="no-file")
    if _is_offline(wanted):
        problem = f"{wanted.repo_id} could not be fetched: {wanted.revision or 'main'} {NOT_CACHED}"
        raise HubError(wanted.repo_id, problem)

    def download() -> str:
        return huggingface_hub.hf_hub_download(
            wanted.repo_id,
            name,
            revision=wanted.revision,
            cache_dir=wanted.cache_dir,
            token=wanted.token,
            force_download=again,
            etag_timeout=PATIENCE.step_seconds,
        )

    patience = replace(PATIENCE, total_seconds=WEIGHTS_SECONDS) if name.endswith(".safetensors") else PATIENCE
    return Path(
        retry(
            lambda: call_client(
                download, "could not be fetched", wanted.repo_id, patience=patience, revision=wanted.revision
            ),
            # The client has been patient itself: what took long is not tried again, nor what is cached.
            replace(PATIENCE, total_seconds=PATIENCE.step_seconds / 2),
            on=lambda error: is_transient(error) and not cached,
        )
    )


def _find_cached(wanted: Wanted, name: str) -> Path | Literal[False] | None:
    """Find a file in the client's cache; False where the cache knows that the repo has none."""
    import huggingface_hub

    with hub_faults("could not be fetched", wanted.repo_id):
        cached = huggingface_hub.try_to_load_from_cache(
            wanted.repo_id, name, cache_dir=wanted.cache_dir, revision=wanted.revision
        )
    return Path(cached) if isinstance(cached, str) else None if cached is None else False


def find_hub_repos(lock: Lock) -> list[Any]:
    """List the client's own records of what its cache holds of the models that were published."""
    import huggingface_hub

    wanted = {measured.hub.repo_id for measured in lock.models.values() if measured.hub}
    folder = Path(_constants().HF_HUB_CACHE)
    repos = huggingface_hub.scan_cache_dir(folder).repos if wanted and folder.is_dir() else ()
    return sorted((repo for repo in repos if repo.repo_id in wanted), key=lambda repo: repo.repo_id)


def _without_weights(wanted: Wanted) -> str:
    """Return the problem of a repo without readable weights, and how to convert those that it has."""
    import huggingface_hub

    problem = f"{wanted.repo_id}: has no {WEIGHTS_FILE}"
    if _is_offline(wanted):
        return problem
    info = call_client(
        lambda: huggingface_hub.HfApi().model_info(
            wanted.repo_id, revision=wanted.revision, token=wanted.token, timeout=PATIENCE.step_seconds
        ),
        "could not be listed",
        wanted.repo_id,
        patience=PATIENCE,
        revision=wanted.revision,
    )
    names = sorted(row.rfilename for row in info.siblings or ())
    pickles = [name for name in names if name.endswith((".bin", ".pth", ".pt", ".ckpt"))]
    if not pickles:
        return problem
    pickle = pickles[0]
    download = f"hf download {wanted.repo_id} {CONFIG_FILE} {pickle} --local-dir DIR"
    convert = f"rexnet-hub convert DIR/{pickle} --out DIR/{WEIGHTS_FILE}"
    return f"{problem}; its {pickle} is a pickle, which is never loaded. Convert it: {download} && {convert}"


def is_offline() -> bool:
    """Return whether the Hub's own switch, HF_HUB_OFFLINE, says that nothing is asked of any network."""
    return bool(_constants().is_offline_mode())


def _is_offline(wanted: Wanted) -> bool:
    return wanted.local_files_only or is_offline()


def _constants() -> Any:
    from huggingface_hub import constants

    return constants
