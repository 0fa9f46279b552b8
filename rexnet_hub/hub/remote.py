"""Read and change one repo on a Hub: every call is one request, every fault a clear error."""

from __future__ import annotations

import contextlib
import functools
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rexnet_hub.errors import HubError
from rexnet_hub.hub.client import call_client
from rexnet_hub.hub.faults import hub_faults
from rexnet_hub.hub.snapshot import RepoFile
from rexnet_hub.patience import Patience, is_transient, retry

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, GitRefs, HfApi, ModelInfo

T = TypeVar("T")
#: The branch that says of a repo: made for a publication that is not finished, and then to be public.
UNFINISHED = "not-yet-public"
#: What a repo is where the Hub did not say what its token may do.
UNCHECKED = "was not checked for the right to write"


@dataclass(frozen=True, kw_only=True)
class RemoteState:
    """A repo at one commit, and its tags.

    Attributes:
        head: The commit; None where there is no such repo.
        repo_id: By which it answered: another than was asked for where it was renamed.
    """

    head: str | None = None
    files: Mapping[str, RepoFile] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    is_private: bool = False
    is_unfinished: bool = False
    repo_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class RemoteRepo:
    """A repo on the Hub that the client's settings name.

    Attributes:
        token: As in huggingface_hub; None for the one that is logged in.
        patience: How long to wait for each call.
    """

    repo_id: str
    token: str | bool | None = None
    patience: Patience = field(default_factory=Patience)

    def read(self, revision: str | None = None) -> RemoteState:
        """Read what there is; a repo or commit that is missing, or that the token cannot see, has no head."""

        def ask() -> tuple[ModelInfo, GitRefs]:
            info = self._api.model_info(self.repo_id, revision=revision, files_metadata=True)
            return info, self._api.list_repo_refs(self.repo_id)

        try:
            info, refs = self._read("could not be read", ask, revision=revision)
        except HubError as error:
            if error.kind in ("no-repo", "no-revision"):
                return RemoteState()
            raise
        files = {
            row.rfilename: RepoFile(
                size_bytes=row.size or 0, sha256=row.lfs.sha256 if row.lfs else None, git_id=row.blob_id or ""
            )
            for row in info.siblings or ()
        }
        tags = {tag.name: tag.target_commit for tag in refs.tags}
        return RemoteState(
            head=info.sha,
            files=files,
            tags=tags,
            is_private=bool(info.private),
            is_unfinished=any(branch.name == UNFINISHED for branch in refs.branches),
            repo_id=info.id,
        )

    def messages(self, commit: str) -> list[tuple[str, str]]:
        """List the history from a commit back: (commit, its title and message)."""

        def ask() -> list[tuple[str, str]]:
            rows = self._api.list_repo_commits(self.repo_id, revision=commit)
            return [(row.commit_id, f"{row.title}\n\n{row.message}") for row in rows]

        return self._read("could not list its commits", ask, revision=commit)

    def download(self, name: str, commit: str, folder: Path) -> Path:
        """Download one file at a commit, past every cache but `folder`."""

        def fetch() -> str:
            return self._api.hf_hub_download(self.repo_id, name, revision=commit, cache_dir=folder)

        return Path(self._read("could not be read back", fetch, revision=commit))

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """Make a folder to download to, which is gone after the block."""
        with hub_faults("could not be read back", self.repo_id):
            folder = tempfile.TemporaryDirectory(prefix="rexnet-hub-", ignore_cleanup_errors=True)
        with folder as path:
            yield Path(path)

    def find_token(self) -> str | None:
        """Return the token that every request sends; None where there is none."""
        from huggingface_hub import get_token

        if self.token is False or isinstance(self.token, str):
            return self.token or None
        return self._call(UNCHECKED, get_token)

    def whoami(self, token: str) -> Mapping[str, Any]:
        """Request whose token it is and what it may do; of one token once a minute at most."""
        return self._read(UNCHECKED, lambda: _ask_whoami(hub_url(), token, int(time.monotonic() // 60)))

    def may_write(self) -> bool:
        """Request whether the token may write to the repo, which is there."""

        def ask() -> bool:
            answer = self._request("GET", f"/api/models/{self.repo_id}/auth-check/write")
            return answer.status_code not in (401, 403) and answer.raise_for_status().is_success

        return self._read(UNCHECKED, ask)

    def validate_card(self, card: str) -> tuple[list[str], list[str]]:
        """Request what the Hub says of a card: errors, for which it takes no commit, and warnings."""

        def ask() -> tuple[list[str], list[str]]:
            given = {"content": card, "repoType": "model"}
            answer = self._request("POST", "/api/validate-yaml", json=given)
            told = (answer if answer.status_code == 400 else answer.raise_for_status()).json()
            errors, warnings = ([str(row["message"]) for row in told[of]] for of in ("errors", "warnings"))
            return errors, warnings

        return self._read("has a card that the Hub did not check", ask)

    def create(self) -> None:
        """Make the repo, private."""
        self._call("could not be made", partial(self._api.create_repo, self.repo_id, private=True))

    def mark_unfinished(self) -> None:
        """Mark a repo that was made private only until all is there."""
        make = partial(self._api.create_branch, self.repo_id, branch=UNFINISHED)
        self._call("could not be marked as unfinished", make)

    def make_public(self) -> None:
        """Turn the repo public."""
        change = partial(self._api.update_repo_settings, self.repo_id, private=False)
        self._call("is whole, but could not be turned public", change)

    def mark_finished(self) -> None:
        """Take that mark away."""
        take = partial(self._api.delete_branch, self.repo_id, branch=UNFINISHED)
        self._call(f"is whole, but kept its branch {UNFINISHED}", take)

    def send(self, files: Mapping[str, Path]) -> None:
        """Send the content of files to the Hub's store without a commit, where it lacks them."""
        send = partial(self._api.preupload_lfs_files, self.repo_id, _additions(files))
        self._call("did not take the files", send)

    def commit(
        self,
        files: Mapping[str, Path],
        removed: Iterable[str],
        *,
        parent: str,
        title: str,
        message: str,
        as_pr: bool = False,
    ) -> str:
        """Make one commit on top of `parent`, or open a pull request with it; return the commit."""
        from huggingface_hub import CommitOperationDelete

        make = partial(
            self._api.create_commit,
            self.repo_id,
            # Made anew each time: the client lets an operation be used once only.
            [*_additions(files), *map(CommitOperationDelete, removed)],
            commit_message=title,
            commit_description=message,
            parent_commit=parent,
            create_pr=as_pr,
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Warnings while validating metadata")  # the plan has shown them
            return str(self._call("could not be committed to", make).oid)

    def open_requests(self, title: str) -> list[str]:
        """List the open pull requests with this title, as `refs/pr/N`."""

        def ask() -> list[str]:
            requests = self._api.get_repo_discussions(
                self.repo_id, discussion_type="pull_request", discussion_status="open"
            )
            return [f"refs/pr/{request.num}" for request in requests if request.title == title]

        return self._read("could not list its pull requests", ask)

    def tag(self, tag: str, commit: str) -> None:
        """Tag a commit; a tag that exists is never moved."""
        make = partial(self._api.create_tag, self.repo_id, tag=tag, revision=commit)
        self._call(f"could not be tagged {tag}", make, revision=commit)

    @property
    def _api(self) -> HfApi:
        import huggingface_hub

        return huggingface_hub.HfApi(token=self.token)

    def _request(self, method: str, path: str, **given: Any) -> Any:
        from huggingface_hub import get_session
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

        headers = build_hf_headers(token=self.token)
        return get_session().request(method, hub_url() + path, headers=headers, **given)

    def _call(self, doing: str, call: Callable[[], T], *, revision: str | None = None) -> T:
        return call_client(
            call, doing, self.repo_id, patience=self.patience, revision=revision, every_thread=True
        )

    def _read(self, doing: str, call: Callable[[], T], *, revision: str | None = None) -> T:
        """Make a call that changes nothing; what fails is tried again, unless it was slow to fail."""
        slow = time.monotonic() + self.patience.step_seconds

        def may_fare_better(error: Any) -> bool:
            is_slow = getattr(error, "kind", "") == "no-answer" and time.monotonic() > slow
            return is_transient(error) and not is_slow

        return retry(lambda: self._call(doing, call, revision=revision), self.patience, on=may_fare_better)


def list_repos(owner: str, patience: Patience) -> list[str]:
    """List the ids of an owner's repos, as far as the token of the environment may see them."""
    hub = RemoteRepo(repo_id=owner, patience=patience)
    return hub._read("could not be listed", lambda: [row.id for row in hub._api.list_models(author=owner)])


@functools.lru_cache(maxsize=8)
def _ask_whoami(endpoint: str, token: str, minute: int) -> Mapping[str, Any]:
    from huggingface_hub import HfApi

    return HfApi(endpoint=endpoint, token=token).whoami()


def hub_url() -> str:
    """Return the address of the Hub that the client talks to (HF_ENDPOINT)."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def _additions(files: Mapping[str, Path]) -> list[CommitOperationAdd]:
    from huggingface_hub import CommitOperationAdd

    return [CommitOperationAdd(name, str(path)) for name, path in sorted(files.items())]
