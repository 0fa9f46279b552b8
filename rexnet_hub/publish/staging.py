"""Stage a model's whole repo folder: what a load needs, and the card; every claim of it checked."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rexnet_hub.errors import PublishError
from rexnet_hub.identity import Identity
from rexnet_hub.imagenet.data.dataset import read_file
from rexnet_hub.index import Entry, Measured
from rexnet_hub.index.lock import find_evidence_dir, read_lock
from rexnet_hub.layout import (
    CARD_FILE,
    DEMO_PICTURE,
    GOLDEN_FILE,
    GOLDEN_PICTURE,
    RECEIPT_FILE,
    REPO_FILES,
    SIGNATURE_FILE,
    SIGNATURE_FILES,
    golden_name,
)
from rexnet_hub.pages.card import derive_card
from rexnet_hub.pages.edits import merge_cards
from rexnet_hub.pages.snippets import find_place
from rexnet_hub.publish.local import readable
from rexnet_hub.publish.plan import has_standins, require_trained
from rexnet_hub.publish.there import Target
from rexnet_hub.repo.folder import Repo, file_identity, find_entry_of, read_repo, write_repo
from rexnet_hub.verify import require_truth, verify_model
from rexnet_hub.weights.receipt import ParentFacts, Receipt, read_receipt, render_receipt


def stage(
    entry: Entry,
    checkpoint: Path,
    out: Path,
    *,
    measured: Measured,
    repo_id: str | None = None,
    replaces: bool = False,
) -> Path:
    """Write an entry's repo folder and check every claim of it; one that is false leaves no folder.

    Args:
        checkpoint: A source of the weights; it must be the file that the entry and the lock state.
        measured: What the lock says of the model.
        repo_id: Where the repo will be on the Hub, for the card's snippets.
        replaces: As of `write_repo`.

    Raises:
        MismatchError: The checkpoint is not the file that is stated.
        RexnetHubError: A claim is false; all that are false are named.
        OutputExistsError: `out` holds something.
    """

    def check(folder: Path) -> None:
        require_truth(verify_model(entry, checkpoint=checkpoint, repo=folder, measured=measured))

    identity = file_identity(entry, measured, checkpoint)
    options: dict[str, Any] = {"measured": measured, "repo_id": repo_id, "replaces": replaces}
    return write_staged(entry, checkpoint, out, identity=identity, check=check, **options).folder


def write_staged(
    entry: Entry,
    checkpoint: Path,
    out: Path,
    *,
    measured: Measured | None = None,
    repo_id: str | None = None,
    identity: Identity | None = None,
    check: Callable[[Path], None] | None = None,
    parent: ParentFacts | None = None,
    model: Mapping[str, Any] | None = None,
    replaces: bool = False,
) -> Repo:
    """Write an entry's repo folder with its card and evidence; arguments and errors as of `stage`.

    Args:
        identity: What is stated of the checkpoint.
        check: Called with the whole folder before it is moved into place; what it raises leaves none.
        parent, model, replaces: As of `write_repo`.
    """

    def beside(receipt: Receipt) -> dict[str, bytes]:
        card = derive_card(
            entry, receipt.output, measured=measured, standin=receipt.stand_in, repo_id=repo_id
        )
        files = list_evidence(measured if measured and not receipt.stand_in else Measured())
        return {CARD_FILE: card.encode()} | {name: read_file(file) for name, file in files.items()}

    return write_repo(
        entry,
        checkpoint,
        out,
        identity=identity,
        beside=beside,
        check=check,
        parent=parent,
        model=model,
        replaces=replaces,
    )


def list_evidence(measured: Measured) -> dict[str, Path]:
    """List the evidence of what was measured, by its name in a repo: the files that are copied there."""
    files = {name: find_evidence_dir() / name for name in measured.evidence}
    if measured.golden:
        files |= {GOLDEN_FILE: files.pop(golden_name(measured.golden)), GOLDEN_PICTURE: DEMO_PICTURE}
    return files


def render_for(folder: Path, repo_id: str | None, *, is_signed_next: bool = False) -> dict[str, str]:
    """Render what a staged folder would hold otherwise, had it been staged for another place.

    Only the card's lines that name the place are other ones, fields of ours in another layout, and the
    receipt's digest of the card. Of what is no whole repo of the index nothing is rendered; a plan says why
    it must not be published.

    Args:
        repo_id: Of the place on a Hub; None for a folder.
        is_signed_next: Whether a signature of the folder is replaced.

    Returns:
        By file, its new text.

    Raises:
        PublishError: The folder is signed, with a card for another place.
        FileProblem, RepoError: A file of it is not what it must be.
    """
    if any(not (folder / name).is_file() for name in REPO_FILES):
        return {}
    with readable(folder):
        card = (folder / CARD_FILE).read_text("utf-8")
    place = find_place(card)
    before, after = (derive_own(folder, at, like=card) for at in (place, repo_id))
    if before is None or after is None:
        return {}
    merge = merge_cards(before, card, after)
    if merge.text == card or merge.conflicts:  # a plan says which line of the card is false
        return {}
    if (folder / SIGNATURE_FILE).exists() and not is_signed_next:
        if before == after:
            return {}
        raise PublishError(
            f"{folder}: is signed with a card for {place or 'no place on a Hub'}, and is published as "
            f"{repo_id or 'a folder'}; stage it for there (--to) and sign it, or sign it now: --sign KEY"
        )
    receipt = read_receipt(folder / RECEIPT_FILE)
    stated = dict(receipt.files)
    if CARD_FILE in stated:
        stated[CARD_FILE] = hashlib.sha256(after.encode()).hexdigest()
    return {CARD_FILE: merge.text, RECEIPT_FILE: render_receipt(replace(receipt, files=stated))}


def derive_own(folder: Path, repo_id: str | None, *, like: str | None) -> str | None:
    """Derive a staged repo's card anew, for a place; None of a model that neither it nor the index states.

    Args:
        repo_id, like: As of `derive_card`.

    Raises:
        FileProblem, RepoError: A file of it is not what it must be.
    """
    if (entry := find_entry_of(folder)) is None:
        return None
    receipt, measured = read_receipt(folder / RECEIPT_FILE), read_lock().of_entry(entry)
    standin = receipt.stand_in
    return derive_card(entry, receipt.output, measured=measured, standin=standin, repo_id=repo_id, like=like)


@contextlib.contextmanager
def repo_with(folder: Path, texts: Mapping[str, str]) -> Iterator[Path]:
    """Yield a staged folder, or where some of its files are other ones a copy of it with those, unsigned."""
    if not texts:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="rexnet-hub-") as scratch:
        copy = Path(scratch) / folder.resolve().name
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns(*SIGNATURE_FILES))
        for name, text in texts.items():
            (copy / name).write_bytes(text.encode())
        yield copy


@contextlib.contextmanager
def merged_repo(folder: Path, target: Target, *, is_signed_next: bool) -> Iterator[Path]:
    """Yield a staged folder, with what people wrote into the card there; the receipt states it without.

    What cannot be merged is yielded as it is, and a plan says why it must not be published.

    Args:
        is_signed_next: Whether a signature of the folder is replaced.

    Raises:
        PublishError: The weights are stand-ins and the target is a real Hub; nothing was asked of it.
        HubError: The card there could not be read.
    """
    texts = {}
    if is_signed_next or not (folder / SIGNATURE_FILE).exists():
        if target.remote:
            require_trained(folder, stand_in=has_standins(read_repo(folder, as_stated=False)))
        with readable(folder):
            card = (folder / CARD_FILE).read_text("utf-8")
        there, base = target.read_cards(card)
        merge = merge_cards(base, there, card)
        if merge.text != card and not merge.conflicts:
            texts[CARD_FILE] = merge.text
    with repo_with(folder, texts) as merged:
        yield merged
