"""List the releases of a repo on a Hub, and bring one back to be published again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rexnet_hub.errors import PublishError, UsageError
from rexnet_hub.hub.remote import RemoteRepo, RemoteState
from rexnet_hub.index import load_index, read_lock
from rexnet_hub.layout import WEIGHTS_FILE, is_repo_id
from rexnet_hub.patience import Patience
from rexnet_hub.publish.plan import compare_files
from rexnet_hub.publish.there import OWN_NAMES, Target


@dataclass(frozen=True, kw_only=True)
class Release:
    """A tag of a repo, and what it stands for.

    Attributes:
        weights_sha256: None where the commit has no weights that the Hub records so.
        is_head: Whether our files at the head are these.
        is_loaded: Whether the model's name loads these, by the lock.
    """

    repo_id: str
    tag: str
    commit: str
    weights_sha256: str | None
    is_head: bool
    is_loaded: bool


def list_releases(
    source: str, *, token: str | bool | None = None, patience: Patience | None = None
) -> tuple[Release, ...]:
    """List a repo's tags, the newest commit first; those of another history come last.

    Args:
        source: A model that the lock has on a Hub, or `hf:OWNER/NAME`.

    Raises:
        UnknownModelError, UsageError: It is neither.
        HubError: The repo could not be read.
    """
    repo_id, locked = source.removeprefix("hf:"), None
    if not source.startswith("hf:"):
        hub = read_lock().of(load_index().find(source).name).hub
        if hub is None:
            raise UsageError(f"{source} is not on a Hub yet, by the lock; a repo is named hf:OWNER/NAME")
        repo_id, locked = hub.repo_id, hub.commit
    if not is_repo_id(repo_id):
        raise UsageError(f"{source}: is no repo; give a model or hf:OWNER/NAME")
    remote = RemoteRepo(repo_id=repo_id, token=token, patience=patience or Patience())
    head = remote.read()
    if head.head is None:
        raise PublishError(f"hf:{repo_id}: there is no such repo, or the token may not see it")
    history = [commit for commit, _ in remote.messages(head.head)]
    places = {commit: place for place, commit in enumerate(history)}
    states = {commit: remote.read(commit) for commit in {*head.tags.values(), *filter(None, [locked])}}
    tags = sorted(head.tags.items(), key=lambda item: (places.get(item[1], len(places)), item[0]))
    return tuple(
        Release(
            repo_id=repo_id,
            tag=tag,
            commit=commit,
            weights_sha256=weights.sha256 if (weights := states[commit].files.get(WEIGHTS_FILE)) else None,
            is_head=not differing(states[commit], head),
            is_loaded=locked is not None and not differing(states[commit], states[locked]),
        )
        for tag, commit in tags
    )


def differing(stated: RemoteState, found: RemoteState) -> list[str]:
    """List which files of ours two commits hold otherwise, and how, by the Hub's record."""
    words = {"add": "gone", "remove": "new", "change": "changed"}
    own = {name: file for name, file in stated.files.items() if name in OWN_NAMES}
    changes = compare_files(own, found.files, OWN_NAMES)
    return [f"{change.name} {words[change.kind]}" for change in changes if change.kind != "keep"]


@contextlib.contextmanager
def released_repo(target: Target, tag: str) -> Iterator[Path]:
    """Yield our files of a release in a folder, each compared with the Hub's record of it.

    Raises:
        PublishError: The repo has no such tag, or is no repo on a Hub.
        HubError: It could not be read.
    """
    if target.remote is None or (commit := target.state.tags.get(tag)) is None:
        raise PublishError(f"{target}: has no release {tag}; rexnet-hub versions {target} lists them")
    with Target(target.remote, target.remote.read(commit)) as then:
        yield then.copy(then.ours)
