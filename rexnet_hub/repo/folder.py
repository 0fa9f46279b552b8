"""An entry's repo folder: write it whole, read it back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from rexnet_hub.errors import FileProblem, OutputExistsError, RepoError
from rexnet_hub.index import Entry, Measured, Released
from rexnet_hub.index.network import entry_tensors
from rexnet_hub.layout import CONFIG_FILE, RECEIPT_FILE, WEIGHTS_FILE
from rexnet_hub.repo.config import RepoConfig, read_config, render_config
from rexnet_hub.weights.convert import convert_checkpoint
from rexnet_hub.weights.fetch import fetch
from rexnet_hub.weights.receipt import Receipt, read_receipt
from rexnet_hub.whole_files import locked, whole_folder, write_whole


@dataclass(frozen=True, kw_only=True)
class Repo:
    """A repo folder that can be loaded.

    Attributes:
        receipt: What its weights were made from; None in repos that others wrote.
        weights_sha256: What the weights must be: by the receipt, by the lock, by the Hub's record.
        renew: Brings the weights anew, where they came from a cache that may be damaged.
    """

    folder: Path
    config: RepoConfig
    weights: Path
    receipt: Receipt | None
    weights_sha256: str | None = None
    renew: Callable[[], object] | None = field(default=None, compare=False, repr=False)


def read_repo(folder: Path) -> Repo:
    """Read a repo folder: of ours, of timm's or of transformers'.

    Raises:
        RepoError: It lacks config.json or model.safetensors, or one of its files is not what it must be.
        FileProblem: There is no such folder.
    """
    if not folder.is_dir():
        raise FileProblem(folder, "there is no such folder")
    config = read_config(folder / CONFIG_FILE)
    weights = folder / WEIGHTS_FILE
    if not weights.is_file():
        pickles = sorted(file.name for file in folder.iterdir() if file.suffix in {".bin", ".pth", ".pt"})
        advice = f"; convert its pickle first: rexnet-hub convert {folder / pickles[0]}" if pickles else ""
        raise RepoError(f"{folder}: has no {WEIGHTS_FILE}{advice}")
    receipt = read_receipt(folder / RECEIPT_FILE) if (folder / RECEIPT_FILE).is_file() else None
    sha256 = receipt.output.sha256 if receipt else None
    return Repo(folder=folder, config=config, weights=weights, receipt=receipt, weights_sha256=sha256)


def fetch_released(entry: Entry, *, cache_dir: Path, measured: Measured) -> Path:
    """Bring an entry's released file to the cache, checked, with a progress bar on a terminal.

    Args:
        measured: What the lock says of the model: its full digest, where there is one, must hold, from the
            cache too; else only the prefix in the file's name can be checked.

    Raises:
        FetchError: It cannot be brought here.
        MismatchError: It is not the file that the entry names.
        RepoError: The entry names no weights.
    """
    released = entry.released
    if released is None:
        raise RepoError(f"{entry.location}: {entry.name} names no Weights, so there is nothing to fetch")
    with tqdm(
        desc=released.file_name,
        total=released.size_bytes,
        unit="B",
        unit_scale=True,
        disable=None,
        leave=False,
    ) as bar:

        def show(done_bytes: int, total_bytes: int | None) -> None:
            bar.total = total_bytes
            bar.update(done_bytes - bar.n)

        return _fetch(released, measured, cache_dir, show)


def _fetch(
    released: Released, measured: Measured, cache_dir: Path, show: Callable[[int, int | None], None]
) -> Path:
    return fetch(
        released.url,
        file_name=released.file_name,
        size_bytes=released.size_bytes,
        digest_prefix=released.digest_prefix,
        progress=show,
        sha256=measured.released.sha256 if measured.released else None,
        cache_dir=cache_dir,
    ).path


def write_repo(
    entry: Entry,
    checkpoint: Path,
    out: Path,
    *,
    complete: Callable[[Path, Receipt], None] | None = None,
) -> Repo:
    """Write what a load needs of an entry's repo, weights, config and receipt: aside, then moved into place.

    What an earlier run left aside when it was killed is swept.

    Args:
        checkpoint: The released file, already on this machine.
        out: A folder that does not exist yet or is empty.
        complete: Called with the folder and its receipt before it is moved, to add files and to check all;
            what it raises leaves no folder.

    Raises:
        OutputExistsError: `out` holds something.
        CheckpointError: The checkpoint is not one, or not of this entry's network.
        FileProblem: It cannot be written.
    """
    expected = entry_tensors(entry)
    with locked(out):
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise OutputExistsError(out, "is not empty; name a new folder or remove it")
        with whole_folder(out) as aside:
            receipt = convert_checkpoint(checkpoint, aside / WEIGHTS_FILE, expected=expected)
            write_whole(aside / CONFIG_FILE, render_config(entry).encode())
            if complete is not None:
                complete(aside, receipt)
    return read_repo(out)
