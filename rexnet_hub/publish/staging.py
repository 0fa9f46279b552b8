"""Stage a model's whole repo folder: what a load needs, and the card; every claim of it checked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rexnet_hub.identity import Identity
from rexnet_hub.index import Entry, Measured
from rexnet_hub.pages.card import derive_card
from rexnet_hub.repo.folder import Repo, released_identity, write_repo
from rexnet_hub.verify import require_truth, verify_model
from rexnet_hub.weights.receipt import Receipt


def stage(
    entry: Entry, checkpoint: Path, out: Path, *, measured: Measured, repo_id: str | None = None
) -> Path:
    """Write an entry's repo folder and check every claim of it; one that is false leaves no folder.

    Args:
        checkpoint: The released file; its size and digest must be those that the entry and the lock say.
        measured: What the lock says of the model.
        repo_id: Where the repo will be on the Hub, for the card's snippets.

    Raises:
        MismatchError: The checkpoint is not the file that is stated.
        RexnetHubError: A claim is false; all that are false are named.
        OutputExistsError: `out` holds something.
    """

    def check(folder: Path) -> None:
        require_truth(verify_model(entry, checkpoint=checkpoint, repo=folder, measured=measured))

    identity = released_identity(entry, measured)
    return write_staged(
        entry, checkpoint, out, measured=measured, repo_id=repo_id, identity=identity, check=check
    ).folder


def write_staged(
    entry: Entry,
    checkpoint: Path,
    out: Path,
    *,
    measured: Measured | None = None,
    repo_id: str | None = None,
    identity: Identity | None = None,
    check: Callable[[Path], None] | None = None,
) -> Repo:
    """Write an entry's repo folder with its card; arguments and errors as of `stage`.

    Args:
        identity: What is stated of the checkpoint.
        check: Called with the whole folder before it is moved into place; what it raises leaves none.
    """

    def card(receipt: Receipt) -> str:
        return derive_card(
            entry, receipt.output, measured=measured, standin=receipt.stand_in, repo_id=repo_id
        )

    return write_repo(entry, checkpoint, out, identity=identity, card=card, check=check)
