"""Read what a target holds: which files are ours, their digests, the card there and the one we wrote last."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from rexnet_hub.errors import FileProblem, HubError, UsageError
from rexnet_hub.hub.remote import RemoteRepo, RemoteState
from rexnet_hub.hub.snapshot import digest_both
from rexnet_hub.layout import (
    CARD_FILE,
    RECEIPT_FILE,
    REPO_FILES,
    SIGNATURE_FILES,
    find_name_danger,
    find_name_problem,
    is_file_name,
    is_repo_id,
)
from rexnet_hub.pages.edits import remove_added
from rexnet_hub.patience import Patience, retry
from rexnet_hub.publish.local import content_tag, list_files, readable
from rexnet_hub.weights.receipt import read_receipt

#: What the Hub itself keeps in a repo.
HUBS_OWN = ".gitattributes"
OWN_NAMES = frozenset({*REPO_FILES, *SIGNATURE_FILES})
#: Of hf: and what is no target, such as HF: and https:, but of no folder: a drive has one letter.
_SCHEME = re.compile(r"[A-Za-z][\w+.-]+:")
#: How the title of each commit of ours begins, also where a pull request was merged and its message cut.
TITLE = "Publish "
ADDED_MARK = re.compile(r"^Card-Added: (\d{1,9}-\d{1,9}(?: \d{1,9}-\d{1,9})*)$", re.MULTILINE)


class Target(contextlib.ExitStack):
    """A folder, or a repo on a Hub at one commit, each file of it read once, for as long as the block runs.

    Attributes:
        place: The one or the other.
        remote: The repo on a Hub; None of a folder.
    """

    def __init__(self, place: Path | RemoteRepo, state: RemoteState | None = None) -> None:
        super().__init__()
        self.place, self._files = place, dict[str, Path]()
        self.remote = place if isinstance(place, RemoteRepo) else None
        if state is not None:
            self.state = state

    def __str__(self) -> str:
        return str(self.place) if isinstance(self.place, Path) else f"hf:{self.place.repo_id}"

    @property
    def name(self) -> str:
        """The repo's, without its owner."""
        return Path(str(self)).name

    @functools.cached_property
    def state(self) -> RemoteState:
        """What is there; of a folder its files alone, and a digest of them as the head."""
        if isinstance(self.place, RemoteRepo):
            return self.place.read()
        with readable(self.place):
            if not self.place.is_dir():
                return RemoteState()
        files = list_files(self.place)
        return RemoteState(head=content_tag(files).removeprefix("files-"), files=files)

    @functools.cached_property
    def _scratch(self) -> Path:
        assert self.remote is not None
        return self.enter_context(self.remote.scratch())

    def read(self, name: str) -> Path:
        """Return a file of it, downloaded; what is not what the Hub records of it is asked for once more."""
        if isinstance(self.place, Path):
            return self.place / name
        if name not in self._files:
            folders = (self._scratch / attempt for attempt in ("first", "again"))
            patience = replace(self.place.patience, attempts=2)
            self._files[name] = retry(lambda: self._download(name, next(folders)), patience)
        return self._files[name]

    def _download(self, name: str, folder: Path) -> Path:
        assert self.remote is not None
        recorded, head = self.state.files[name], str(self.state.head)
        digests = digest_both(file := self.remote.download(name, head, folder))
        if digests.sha256 == recorded.sha256 or digests.git_id == recorded.git_id:
            return file
        problem = f"{name} at {head} reads otherwise than the Hub records it; run it again"
        raise HubError(self.remote.repo_id, f"{self.remote.repo_id}: {problem}", kind="no-answer")

    def copy(self, names: Iterable[str]) -> Path:
        """Return a folder with those of these files that are there; of a folder itself."""
        if isinstance(self.place, Path):
            return self.place
        folder = self._scratch / "copy" / self.name
        folder.mkdir(parents=True, exist_ok=True)
        for name in self.state.files.keys() & set(names):
            shutil.copyfile(self.read(name), folder / name)
        return folder

    @functools.cached_property
    def ours(self) -> frozenset[str]:
        """The files there that are a publication's; all others are other people's.

        They are those that every repo has, its signature, and what the receipt there states and is still as
        it states. A receipt of an earlier release states no file, and then wrote no other.
        """
        names = set(filter(is_file_name, self.state.files.keys() - OWN_NAMES - {HUBS_OWN}))
        stated = self._read_stated() if names else {}
        is_as_stated = {n: digest_both(self.read(n)).sha256 == stated[n] for n in names & stated.keys()}
        return OWN_NAMES | {name for name, holds in is_as_stated.items() if holds}

    @property
    def others(self) -> set[str]:
        """The files there that are other people's."""
        return self.state.files.keys() - self.ours - {HUBS_OWN}

    def _read_stated(self) -> Mapping[str, str]:
        if RECEIPT_FILE not in self.state.files:
            return {}
        try:
            return read_receipt(self.read(RECEIPT_FILE)).files
        except FileProblem:  # none of ours
            return {}

    def read_cards(self, card: str) -> tuple[str, str | None]:
        """Read the card that is there, and of the one that we published last what is ours, to tell people's.

        Ours is what the receipt there states. Where that stands, commits tell; none of them is believed.

        Args:
            card: What is to be published; where the card there is the same, nothing is to be told.

        Returns:
            Both; None where nothing tells: the history is squashed, others wrote the card, it is no UTF-8.
        """
        if CARD_FILE not in self.state.files:
            return "", ""
        blob = b"blob %d\0" % len(card.encode()) + card.encode()
        if self.state.files[CARD_FILE].git_id == hashlib.sha1(blob, usedforsecurity=False).hexdigest():
            return card, card  # which needs no download
        card_there = self._read_card()
        stated = self._read_stated().get(CARD_FILE)
        if stated is None or "\ufffd" in card_there:  # which could not be written back as it was
            return card_there, None
        texts = self._list_own(card_there, card)
        same = (own for own in texts if hashlib.sha256(own.encode()).hexdigest() == stated)
        return card_there, next(same, None)

    def _read_card(self) -> str:
        return self.read(CARD_FILE).read_text("utf-8-sig", errors="replace")

    def _list_own(self, card_there: str, card: str) -> Iterator[str]:
        """List what may be our last card: what is there, or is new, or was there; less what people added."""
        yield from (card_there, card)
        if self.remote is None:
            return
        messages = self.remote.messages(str(self.state.head))
        marks = {message: match[1] for _, message in messages if (match := ADDED_MARK.search(message))}
        yield from (remove_added(card_there, added) for added in marks.values())
        for commit, message in messages:
            if message.startswith(TITLE):
                with Target(self.remote, self.remote.read(commit)) as then:
                    if CARD_FILE in then.state.files:
                        yield remove_added(then._read_card(), marks.get(message, ""))


def parse_repo_id(to: str, name: str) -> str:
    """Parse `hf:OWNER` or `hf:OWNER/NAME` as the id of a repo, by default of this name.

    Raises:
        UsageError: It is neither.
    """
    owner, _, given = to.removeprefix("hf:").partition("/")
    repo_id = f"{owner}/{given or name}"
    if not given and (problem := find_name_problem(name)):
        raise UsageError(f"{name[:80]!a} can name no repo: it {problem}")
    if not is_repo_id(repo_id):
        raise UsageError(f"{to}: is no target; give hf:OWNER, hf:OWNER/NAME or a folder")
    return repo_id


def find_target(
    to: str | Path, name: str, *, token: str | bool | None = None, patience: Patience | None = None
) -> Target:
    """Find the place that a target means for a repo of this name; nothing is asked of it yet.

    Raises:
        UsageError: The target or the name makes no sense.
    """
    if danger := find_name_danger(name):
        raise UsageError(f"{name[:80]!a} can name no repo: it {danger}")
    if not _SCHEME.match(str(to)):
        return Target(Path(to) / name)
    repo_id = parse_repo_id(str(to), name)
    return Target(RemoteRepo(repo_id=repo_id, token=token, patience=patience or Patience()))
