"""One repo on a Hub, to be read and changed: every call is one act, and every fault a message."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from rexnet_hub.errors import HubError
from rexnet_hub.hub.faults import hub_faults
from rexnet_hub.hub.patience import Patience, within

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, GitRefs, HfApi, ModelInfo

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file as the Hub records it: by its SHA-256 if it is an LFS object, else by git's id of it."""

    size_bytes: int
    sha256: str | None
    git_id: str


@dataclass(frozen=True, kw_only=True)
class RemoteState:
    """A repo at one commit, and its tags.

    Attributes:
        head: The commit; None where there is no such repo.
    """

    head: str | None = None
    files: Mapping[str, RemoteFile] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    is_private: bool = False


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
        """Read what there is; a repo that is missing, or that the token cannot see, has no head."""

        def ask() -> tuple[ModelInfo, GitRefs]:
            info = _api().model_info(self.repo_id, revision=revision, files_metadata=True, token=self.token)
            return info, _api().list_repo_refs(self.repo_id, token=self.token)

        try:
            info, refs = self._call("could not be read", ask, revision=revision)
        except HubError as error:
            if error.kind == "no-repo" and "gated" not in str(error):
                return RemoteState()
            raise
        files = {
            row.rfilename: RemoteFile(
                size_bytes=row.size or 0, sha256=row.lfs.sha256 if row.lfs else None, git_id=row.blob_id or ""
            )
            for row in info.siblings or ()
        }
        tags = {tag.name: tag.target_commit for tag in refs.tags}
        return RemoteState(head=info.sha, files=files, tags=tags, is_private=bool(info.private))

    def messages(self, commit: str) -> list[tuple[str, str]]:
        """List the history from a commit back: (commit, message)."""
        rows = self._call(
            "could not list its commits",
            lambda: list(_api().list_repo_commits(self.repo_id, revision=commit, token=self.token)),
            revision=commit,
        )
        return [(row.commit_id, row.message) for row in rows]

    def download(self, name: str, commit: str, folder: Path) -> Path:
        """Download one file at a commit, past every cache but `folder`."""
        import huggingface_hub

        def bring() -> str:
            return huggingface_hub.hf_hub_download(
                self.repo_id, name, revision=commit, cache_dir=folder, token=self.token
            )

        return Path(self._call("could not be read back", bring, revision=commit))

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """Make a folder to download to, which is gone after the block."""
        with hub_faults("could not be read back", self.repo_id):
            folder = tempfile.TemporaryDirectory(prefix="rexnet-hub-")
        with folder as path:
            yield Path(path)

    def create(self, *, private: bool) -> None:
        """Make the repo; one that exists is left as it is."""
        self._call(
            "could not be made",
            lambda: _api().create_repo(self.repo_id, private=private, exist_ok=True, token=self.token),
        )

    def send(self, files: Mapping[str, Path]) -> None:
        """Send the content of files to the Hub's store without a commit, where it lacks them."""
        self._call(
            "did not take the files",
            lambda: _api().preupload_lfs_files(self.repo_id, _additions(files), token=self.token),
        )

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
        """Make one commit on top of `parent`, or open a pull request with it; give the commit."""
        from huggingface_hub import CommitOperationDelete

        # Made anew each time: the client lets an operation be used once only.
        operations: list[CommitOperationAdd | CommitOperationDelete] = [*_additions(files)]
        operations += [CommitOperationDelete(name) for name in removed]
        done = self._call(
            "could not be committed to",
            lambda: _api().create_commit(
                self.repo_id,
                operations,
                commit_message=title,
                commit_description=message,
                parent_commit=parent,
                create_pr=as_pr,
                token=self.token,
            ),
        )
        return str(done.oid)

    def open_requests(self, title: str) -> list[str]:
        """Name the open pull requests with this title, as `refs/pr/N`."""
        found = self._call(
            "could not list its pull requests",
            lambda: list(
                _api().get_repo_discussions(
                    self.repo_id,
                    discussion_type="pull_request",
                    discussion_status="open",
                    token=self.token,
                )
            ),
        )
        return [f"refs/pr/{request.num}" for request in found if request.title == title]

    def tag(self, tag: str, commit: str) -> None:
        """Tag a commit; a tag that exists is never moved."""
        self._call(
            f"could not be tagged {tag}",
            lambda: _api().create_tag(self.repo_id, tag=tag, revision=commit, token=self.token),
            revision=commit,
        )

    def _call(self, doing: str, call: Callable[[], T], *, revision: str | None = None) -> T:
        """Make one call of the client: bounded, and its faults as errors of ours."""
        with hub_faults(doing, self.repo_id, revision=revision):
            return within(self.patience.call_seconds, call)


def hub_url() -> str:
    """Say which Hub the client talks to (HF_ENDPOINT)."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def _api() -> HfApi:
    import huggingface_hub

    return huggingface_hub.HfApi()


def _additions(files: Mapping[str, Path]) -> list[CommitOperationAdd]:
    from huggingface_hub import CommitOperationAdd

    return [CommitOperationAdd(name, str(path)) for name, path in sorted(files.items())]
