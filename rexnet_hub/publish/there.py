"""Read what a target holds: which files are ours, their digests, the card there and the one we wrote last."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from rexnet_hub.errors import FileProblem, HubError
from rexnet_hub.hub.remote import RemoteRepo, RemoteState
from rexnet_hub.hub.snapshot import digest_both
from rexnet_hub.layout import CARD_FILE, RECEIPT_FILE, REPO_FILES, SIGNATURE_FILES
from rexnet_hub.pages.edits import remove_added
from rexnet_hub.patience import retry
from rexnet_hub.weights.receipt import read_receipt

#: What the Hub itself keeps in a repo.
HUBS_OWN = ".gitattributes"
OWN_NAMES = frozenset({*REPO_FILES, *SIGNATURE_FILES})
CARD_MARK = re.compile(r"^Card-SHA256: ([0-9a-f]{64})$", re.MULTILINE)
ADDED_MARK = re.compile(r"^Card-Added: (\d+-\d+(?: \d+-\d+)*)$", re.MULTILINE)
Read = Callable[[str], Path]


@contextlib.contextmanager
def reader(remote: RemoteRepo, state: RemoteState) -> Iterator[Read]:
    """Yield a function that downloads a file of a commit, once, to a folder that is gone after the block.

    What is not what the Hub records of it is asked for once more.
    """
    with contextlib.ExitStack() as stack:
        scratch = functools.cache(lambda: stack.enter_context(remote.scratch()))

        @functools.cache
        def read(name: str) -> Path:
            recorded, attempts = state.files[name], itertools.count()

            def read_once() -> Path:
                file = remote.download(name, str(state.head), scratch() / str(next(attempts)))
                digests = digest_both(file)
                if digests.sha256 == recorded.sha256 or digests.git_id == recorded.git_id:
                    return file
                problem = f"{name} at {state.head} reads otherwise than the Hub records it; plan again"
                raise HubError(remote.repo_id, f"{remote.repo_id}: {problem}", kind="no-answer")

            return retry(read_once, replace(remote.patience, attempts=2))

        yield read


@contextlib.contextmanager
def signature_at(place: RemoteRepo | Path) -> Iterator[Path]:
    """Yield a folder with statement and signature of a published repo, as far as they are there."""
    if isinstance(place, Path):
        yield place
        return
    state = place.read()
    with tempfile.TemporaryDirectory(prefix="rexnet-hub-") as scratch, reader(place, state) as read:
        for name in state.files.keys() & set(SIGNATURE_FILES):
            shutil.copyfile(read(name), Path(scratch, name))
        yield Path(scratch)


def find_ours(there: Iterable[str], read: Read) -> frozenset[str]:
    """Find the files there that are a publication's; all others are other people's.

    They are those that every repo has, its signature, and what the receipt there states and is still as it
    states. A receipt of an earlier release states no file, and then wrote no other.
    """
    names = set(there)
    if RECEIPT_FILE not in names or not (unknown := names - OWN_NAMES - {HUBS_OWN}):
        return OWN_NAMES
    stated = _read_stated(read)
    return OWN_NAMES | {
        name for name in unknown & stated.keys() if digest_both(read(name)).sha256 == stated[name]
    }


def _read_stated(read: Read) -> Mapping[str, str]:
    try:
        return read_receipt(read(RECEIPT_FILE)).files
    except FileProblem:  # none of ours
        return {}


def read_cards(remote: RemoteRepo, state: RemoteState, card: str, read: Read) -> tuple[str, str | None]:
    """Read the card that is there, and of the one that we published last what is ours, to tell people's.

    Args:
        card: What is to be published; where the card there is the same, nothing is to be told.

    Returns:
        Both; None where nothing tells: the history was squashed, others wrote the card, or it is no UTF-8.
    """
    if CARD_FILE not in state.files:
        return "", ""
    file = read(CARD_FILE)
    card_there = file.read_text("utf-8", errors="replace")
    digest, new_digest = (hashlib.sha256(data).hexdigest() for data in (file.read_bytes(), card.encode()))
    if digest == new_digest:
        return card_there, card_there
    if "\ufffd" in card_there:  # it could not be written back as it was
        return card_there, None
    messages = remote.messages(str(state.head))
    for commit, message in messages:
        if mark := CARD_MARK.search(message):
            base = card_there
            if mark[1] != digest:
                with remote.scratch() as scratch:
                    base = remote.download(CARD_FILE, commit, scratch).read_text("utf-8", errors="replace")
            # A release that was published again is marked where it was published first.
            marks = (ADDED_MARK.search(message) for _, message in messages if mark[0] in message)
            return card_there, remove_added(base, next((added[1] for added in marks if added), ""))
    stated = _read_stated(read).get(CARD_FILE) if RECEIPT_FILE in state.files else None
    return card_there, {digest: card_there, new_digest: card}.get(str(stated))
