"""Find a model's repo by name, Hub id or folder.

A name of the index is first looked up in the lock: where it was published, its Hub repo is taken at
the locked commit; where it was not, the released file is converted once, in our own cache. What is
no name is a folder if there is one, else a Hub id. A `Path` is a folder, whatever it is called, and so is
`local-dir:FOLDER`; `hf-hub:OWNER/NAME` is a Hub id, perhaps with `@REVISION`.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import shutil
from dataclasses import replace
from pathlib import Path

from rexnet_hub.addresses import HubFile
from rexnet_hub.errors import (
    FileProblem,
    MismatchError,
    RepoError,
    UnknownModelError,
    UsageError,
    file_problems,
    refuse_unused,
)
from rexnet_hub.hub.snapshot import Access, Wanted, fetch_again, fetch_config, fetch_repo, is_offline
from rexnet_hub.identity import Identity, gather
from rexnet_hub.index import Entry, Index, load_index
from rexnet_hub.index.lock import Measured, find_in_lock, read_lock
from rexnet_hub.keys import CertifiedIdentity, read_signer
from rexnet_hub.layout import (
    CONFIG_FILE,
    RELEASED_FOLDER,
    REPOS_FOLDER,
    WEIGHTS_FILE,
    expand_home,
    find_cache_dir,
    find_trust_config,
    is_repo_id,
    mark_used,
)
from rexnet_hub.repo.config import RepoConfig, read_config, render_config
from rexnet_hub.repo.folder import (
    Repo,
    compare_witnesses,
    describe_witnesses,
    fetch_weights,
    file_identity,
    find_sources,
    no_weights,
    read_repo,
    read_stated,
    released_identity,
    source_identity,
    source_tensors,
    write_repo,
)
from rexnet_hub.signing import require_one_signer, require_signature
from rexnet_hub.terminal import printable
from rexnet_hub.whole_files import locked

#: How timm writes which of a folder and a Hub id is meant.
FOLDER_SCHEME, HUB_SCHEME = "local-dir:", "hf-hub:"

log = logging.getLogger(__name__)


def read_source(source: str | Path) -> str | Path:
    """Read what a person names a model by: a Path if it is a folder, else a text without what says nothing.

    Raises:
        UsageError: It is empty.
    """
    if isinstance(source, Path):
        return source
    folder = source.removeprefix(FOLDER_SCHEME)
    if not folder.removeprefix(HUB_SCHEME).strip():
        raise UsageError("no model is named: give a name of the index, a folder, or OWNER/NAME on the Hub")
    if folder != source or source.startswith("~"):
        return expand_home(folder)
    return source if Path(source).is_dir() else source.rstrip("/")


def name_of(source: str | Path) -> str:
    """Return what a model is called: an index name is its own, a folder or repo has its last part."""
    if isinstance(source := read_source(source), Path) or Path(source).is_dir():
        return Path(source).resolve().name
    return source.partition("@")[0].rpartition("/")[2]


def find_entry(source: str | Path) -> Entry | None:
    """Find the model of the index that has this name, if there is one.

    A `Path` is no name, nor is what has a slash in it. What is wrong in the index is logged, once.

    Raises:
        RepoError: It was withdrawn.
    """
    if isinstance(source := read_source(source), Path) or Path(source).name != source:
        return None
    index: Index = load_index()
    if index.errors:
        _warn_once(index.warning)
    entry = index.get(source)
    if entry is not None and (reason := entry.said("withdrawn")) is not None:
        newer = f"; {by} replaces it" if (by := entry.said("superseded_by")) else ""
        raise RepoError(f"{entry.name} was withdrawn: {reason}{newer}")
    return entry


@functools.cache
def _warn_once(message: str) -> None:
    log.warning("%s", printable(message))


def find_repo(source: str | Path, access: Access | None = None) -> Repo:
    """Find a repo on this machine, fetching what is missing.

    Raises:
        UnknownModelError: Neither a model, nor a folder, nor a Hub id.
        HubError, FetchError: It cannot be fetched.
        RepoError: It cannot be loaded, or not by us.
        MismatchError: What is stated of it does not agree.
        SignatureProblem: It must be signed, and is not, or not by the trusted key.
    """
    access, source, entry = access or Access(), read_source(source), find_entry(source)
    if access.trusted_key is None and (entry is None or entry.claim("trusted_key") is None):
        return _find_unsigned(source, entry, access)
    given = None if access.trusted_key is None else read_signer(access.trusted_key)
    signer = require_one_signer(entry, given)
    assert signer is not None
    asks = isinstance(signer, CertifiedIdentity) and find_trust_config() is None
    if asks and (access.local_files_only or is_offline()):
        problem = "offline, an identity is checked by Sigstore's keys in a file only"
        raise UsageError(f"{problem}: name it in REXNET_HUB_SIGSTORE")
    repo = _find_unsigned(source, entry, replace(access, trusted_key=str(signer)))
    by_id = None if Path(source).is_dir() else name_of(source)
    return require_signature(repo, signer, name=entry.name if entry else by_id)


def _find_unsigned(source: str | Path, entry: Entry | None, access: Access) -> Repo:
    """Find a repo whose signature, if it must have one, is still to be checked."""
    if entry is not None:
        measured = read_lock().of(entry.name)
        if (claim := entry.extra.get("superseded_by")) is not None:
            log.warning("%s", printable(f"{entry.name} is superseded by {claim.text}"))
        if measured.hub is not None:
            return _published_repo(entry, measured, access)
        if access.trusted_key is not None:
            raise RepoError(f"{entry.name} must be signed, and only what is published is: it is not yet")
        if access.revision is not None:
            raise UsageError(f"{entry.name} is not on a Hub yet, so it has no revision {access.revision!r}")
        return _released_repo(entry, measured, access)
    if Path(source).is_dir():
        refuse_unused(f"the folder {source}", revision=access.revision)
        return read_repo(Path(source))
    return _hub_repo(_wanted(source, access))


def find_repo_config(source: str | Path, access: Access | None = None) -> RepoConfig:
    """Find only the config.json of a folder or Hub repo; arguments as in `find_repo`."""
    access, source = access or Access(), read_source(source)
    if access.trusted_key is not None:
        return find_repo(source, access).config
    if Path(source).is_dir():
        refuse_unused(f"the folder {source}", revision=access.revision)
        return read_stated(Path(source))[0]
    return read_config(fetch_config(_wanted(source, access)).folder / CONFIG_FILE)


def _wanted(source: str | Path, access: Access) -> Wanted:
    if isinstance(source, Path) or Path(source).exists():
        problem = "is a file, not a repo folder: rexnet-hub convert or stage makes one of a checkpoint"
        raise FileProblem(source, problem if Path(source).exists() else "there is no such folder")
    repo_id, at, revision = source.removeprefix(HUB_SCHEME).partition("@")
    if at and not revision:
        raise UsageError(f"{source}: names no revision after the @; leave that out for the newest")
    if not is_repo_id(repo_id):
        raise UnknownModelError(source, [known.name for known in load_index().models])
    if revision:
        refuse_unused(f"{source}, which names one,", revision=access.revision)
        access = replace(access, revision=revision)
    return Wanted(repo_id=repo_id, **vars(access))


def _published_repo(entry: Entry, measured: Measured, access: Access) -> Repo:
    """Find a published model: at the locked commit, unless another revision is asked for."""
    assert measured.hub is not None
    if access.revision is not None:
        return _hub_repo(Wanted(repo_id=measured.hub.repo_id, **vars(access)))
    pinned = replace(access, revision=measured.hub.commit)
    repo = _hub_repo(Wanted(repo_id=measured.hub.repo_id, **vars(pinned)))
    released_identity(entry, measured, repo=repo).agreed(f"the released file of {entry.name}")
    return _locked(entry, measured, repo)


def _hub_repo(wanted: Wanted) -> Repo:
    """Fetch a Hub repo's files, and compare receipt and record."""
    snapshot = fetch_repo(wanted)
    repo, sha256 = read_repo(snapshot.folder), snapshot.weights_sha256
    place = f"{wanted.repo_id}@{snapshot.commit[:12]}"
    identity = repo.identity + gather("the Hub's own record", sha256, place)
    hub = HubFile(wanted.repo_id, snapshot.commit, WEIGHTS_FILE)
    repo = replace(repo, identity=identity.agreed(repo.weights), hub=hub)

    def renew() -> Repo:
        """Fetch the weights anew, past the cache."""
        fetch_again(snapshot, WEIGHTS_FILE)
        return repo

    return replace(repo, renew=renew)


def _locked(entry: Entry, measured: Measured, repo: Repo) -> Repo:
    """Add what lock and witnesses state of a model's weights; of those that are fetched anew too."""
    identity = repo.identity + Identity(entry.tensor_statements)
    identity += gather("the lock", measured.safetensors, find_in_lock(entry.name, "safetensors"))
    identity, renew = identity.agreed(repo.weights), repo.renew
    return replace(repo, identity=identity, renew=renew and (lambda: _locked(entry, measured, renew())))


def _log_witnesses(entry: Entry, measured: Measured, repo: Repo, checkpoint: Path) -> None:
    """Log what witnesses say of weights that were made just now, and what is doubtful of them still."""
    output = repo.receipt.output if repo.receipt else None
    answers = compare_witnesses(entry, checkpoint, output, repo.weights)
    line, doubt = describe_witnesses(entry, measured, answers)
    say = log.warning if doubt else log.info
    for text in filter(None, (line, doubt)):
        say("%s", printable(text))


def _released_repo(entry: Entry, measured: Measured, access: Access) -> Repo:
    """Make the repo of a model from a source of its weights, once, in our cache."""
    entry.require_name()
    released_identity(entry, measured).agreed(f"the released file of {entry.name}")
    cache_dir = Path(access.cache_dir) if access.cache_dir else find_cache_dir()
    folder = _cached_repo(entry, measured, cache_dir)
    offline = access.local_files_only or is_offline()
    if (repo := _current(entry, measured, folder)) is None:
        if not entry.sources:
            raise no_weights(entry)
        if offline:
            raise RepoError(f"{entry.name} is not in the cache {cache_dir}; load it once with a network")
        repo = _make_released(entry, measured, cache_dir, folder, access.token)

    def renew() -> Repo:
        """Make the repo anew, of a file that is checked again."""
        shutil.rmtree(folder, ignore_errors=True)
        return _make_released(entry, measured, cache_dir, folder, access.token)

    return _locked(entry, measured, replace(repo, renew=None if offline else renew))


def _cached_repo(entry: Entry, measured: Measured, cache_dir: Path) -> Path:
    identity = released_identity(entry, measured)
    source = identity.address(entry.released.url if entry.released else "")
    known = "\n".join((source, *sorted(identity.digests.values()), render_config(entry)))
    key = hashlib.sha256(known.encode()).hexdigest()[:16]
    return cache_dir / REPOS_FOLDER / f"{entry.name}-{key}"


def find_places(entry: Entry, measured: Measured, cache_dir: Path) -> list[Path]:
    """List what of a cache this model needs: its sources' files and, until it is on a Hub, its repo."""
    # A file stays where it came to before the lock stated its digest.
    pairs = [(known, each) for known in (measured, Measured()) for each in entry.sources]
    addresses = {source_identity(entry, known, each).address(each.url): None for known, each in pairs}
    repo = [_cached_repo(entry, measured, cache_dir)] if addresses and not measured.hub else []
    return [*(cache_dir / RELEASED_FOLDER / address for address in addresses), *repo]


def _current(entry: Entry, measured: Measured, folder: Path) -> Repo | None:
    """Read the repo that an earlier load made, unless it is damaged or of another released file."""
    try:
        repo = read_repo(folder)
        same = (folder / CONFIG_FILE).read_text(encoding="utf-8") == render_config(entry)
    except (RepoError, FileProblem, MismatchError, OSError):
        return None
    wrong = released_identity(entry, measured, repo=repo).contradictions()
    if not same or repo.receipt is None or wrong:
        return None
    mark_used(folder)
    return repo


def _make_released(
    entry: Entry, measured: Measured, cache_dir: Path, folder: Path, token: str | bool | None
) -> Repo:
    checkpoint = fetch_weights(entry, cache_dir=cache_dir, measured=measured, token=token)
    sources = find_sources(entry, cache_dir=cache_dir, measured=measured)
    if len(sources) > 1:
        source_tensors(entry, sources).agreed(f"the weights of {entry.name}")
    with file_problems(folder, "cannot be written"), locked(folder):
        if (repo := _current(entry, measured, folder)) is None:
            shutil.rmtree(folder, ignore_errors=True)
            identity = file_identity(entry, measured, checkpoint)
            repo = write_repo(entry, checkpoint, folder, identity=identity)
            _log_witnesses(entry, measured, repo, checkpoint)
        return repo
