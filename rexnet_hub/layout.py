"""List the files and folders that are read or written, and check names."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

PACKAGE_DIR = Path(__file__).resolve().parent

# One repo on the Hub, one folder on disk: the same four files.
WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
CARD_FILE = "README.md"
RECEIPT_FILE = "receipt.json"
REPO_FILES = (CARD_FILE, CONFIG_FILE, WEIGHTS_FILE, RECEIPT_FILE)
# Of a repo whose entry names the licence's text, one more; the receipt then states it.
LICENSE_FILE = "LICENSE"
LABELS_FILE = "labels.txt"

# Of a signed repo, two more.
STATEMENT_FILE = "statement.json"
SIGNATURE_FILE = "model.sig"
SIGNATURE_FILES = (STATEMENT_FILE, SIGNATURE_FILE)
ALL_FILES = (*REPO_FILES, LICENSE_FILE, *SIGNATURE_FILES)
# Of a measured one, two more for each evaluation: its record and predictions, named by the record's SHA-256.
RECORD_SUFFIX, PREDICTIONS_SUFFIX = ".record.json", ".predictions"
# And two in all: what its network answers, named by its SHA-256 beside the lock, and the picture that it saw.
GOLDEN_FILE, GOLDEN_PICTURE = "golden.json", "golden.png"
DEMO_PICTURE = PACKAGE_DIR / "demo_picture.png"
_EVIDENCE = re.compile(
    r"evaluation-[0-9a-f]{16}(?:\.record\.json|\.predictions)|golden(?:-[0-9a-f]{16})?\.json|golden\.png"
)
SIGNED_BESIDE = (CARD_FILE, LICENSE_FILE, *SIGNATURE_FILES)  # what a load needs only to check that

# Of a zoo: the folder of its index, or one file beside its other files.
INDEX_FOLDER = "model_index"
ROOT_NAMES = ("model-index.yml", "model-index.yaml", "model-index.json")
LOCK_FILE, LEDGER_FILE = "lock.json", "ledger.json"
# Beside the lock: the record and predictions of each evaluation that it states, named as in a repo.
EVIDENCE_FOLDER = "evidence"

# Of the cache: released files by their digests, and the repos that were made of them.
RELEASED_FOLDER, REPOS_FOLDER = "released", "repos"

MAX_NAME = 200
#: What Windows takes for a device, whatever it ends in.
_DEVICE = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])(?: *\..*)?", re.IGNORECASE)
_HUB_NAME = re.compile(r"(?!.*(?:--|\.\.|\.git\Z))\w(?:[\w.-]{0,94}\w)?", re.ASCII)


def find_name_danger(name: str) -> str | None:
    """Return why a name must be no file's, folder's or word of a command's; None where it may.

    As a path it would lead elsewhere, as an argument be an option, or to a reader look like another name.
    """
    if not 0 < len(name) <= MAX_NAME:
        return f"has {len(name)} characters, of 1 to {MAX_NAME}"
    if not name.isprintable():
        return "has a character that nobody can see"
    if taken := sorted(set("/\\:") & set(name)):
        return f"has {' '.join(taken)} in it"
    if name[0] in ".- " or name[-1] in ". ":
        return "begins with a dot, hyphen or space, or ends in a dot or space"
    return "is a device's name on Windows" if _DEVICE.fullmatch(name) else None


def find_name_problem(name: str) -> str | None:
    """Return why a name cannot be a folder's, a word of a command and a Hub repo's; None if it can."""
    takes = "at most 96 ASCII letters, digits and between them - _ . but no -- and no .., nor .git at the end"
    not_hubs = None if _HUB_NAME.fullmatch(name) else f"is none that the Hub takes: {takes}"
    return find_name_danger(name) or not_hubs


def find_path_problem(path: str) -> str | None:
    """Return why a relative path cannot be one on every system; None if it can. A folder may be hidden."""
    parts = (part.lstrip(".") for part in path.split("/") if part not in (".", ".."))
    problem = next((danger for part in parts if (danger := find_name_danger(part))), None)
    return problem or ('has one of * ? " < > | in it' if set('*?"<>|') & set(path) else None)


def is_file_name(name: str) -> bool:
    """Return whether a released file's name can be kept in the cache."""
    return bool(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*", name)) and find_name_danger(name) is None


def is_repo_id(text: str) -> bool:
    """Return whether a text is OWNER/NAME as the Hub takes it. Source: huggingface_hub's own check."""
    parts = text.split("/")
    return len(parts) == 2 and all(map(_HUB_NAME.fullmatch, parts))


def receipt_of(weights: Path) -> Path:
    """Return the file of a receipt: `receipt.json` beside a repo's weights, else named after the weights."""
    return weights.with_name(RECEIPT_FILE if weights.name == WEIGHTS_FILE else f"{weights.stem}.receipt.json")


def labels_of(index_file: Path, name: str) -> Path:
    """Return the file, beside an index's, of the names of a model's classes, where they are its alone."""
    return index_file.with_name(f"{name}.{LABELS_FILE}")


def evidence_names(record_sha256: str) -> tuple[str, str]:
    """Return what an evaluation's record and predictions are called, beside the lock and in a repo."""
    stem = f"evaluation-{record_sha256[:16]}"
    return stem + RECORD_SUFFIX, stem + PREDICTIONS_SUFFIX


def golden_name(sha256: str) -> str:
    """Return what golden logits are called beside the lock; in a repo they are `GOLDEN_FILE`."""
    return f"golden-{sha256[:16]}.json"


def is_evidence(name: str) -> bool:
    """Return whether a file is called as evidence is, beside the lock or in a repo."""
    return _EVIDENCE.fullmatch(name) is not None


def is_repo_file(name: str) -> bool:
    """Return whether a repo of ours may hold a file of this name."""
    return name in ALL_FILES or is_evidence(name)


_chosen_index: ContextVar[Path | None] = ContextVar("chosen_index", default=None)


@contextlib.contextmanager
def chosen_index(path: Path | None) -> Iterator[None]:
    """Make `find_index_dir` find this one inside; None changes nothing."""
    before = _chosen_index.set(path or _chosen_index.get())
    try:
        yield
    finally:
        _chosen_index.reset(before)


def find_index_dir() -> Path:
    """Find the model index: the checkout's folder, else the wheel's copy.

    `REXNET_HUB_INDEX` names another folder or file, or a zoo, and wins over both, `chosen_index` over all.
    """
    if override := _chosen_index.get() or os.environ.get("REXNET_HUB_INDEX"):
        named, inside = Path(override), Path(override) / INDEX_FOLDER
        return inside if os.path.isdir(inside) else named  # noqa: PTH112 - pathlib's own raises where it may not look
    checkout = PACKAGE_DIR.parent / INDEX_FOLDER
    return checkout if checkout.is_dir() else PACKAGE_DIR / INDEX_FOLDER


def find_index_above(folder: Path) -> Path | None:
    """Find the index of the folder, or of the nearest one above it that has one.

    None where there is none, and where `REXNET_HUB_INDEX` names another: a command's own option still wins.
    """
    if os.environ.get("REXNET_HUB_INDEX"):
        return None
    above = (place / name for place in (folder, *folder.parents) for name in (INDEX_FOLDER, *ROOT_NAMES))
    # A link that leads nowhere is one, and is said to be: what is above is not meant.
    return next((place for place in above if os.path.lexists(place)), None)


def real_path(path: Path) -> Path:
    """Return a path with its links followed; in a loop of them as far as that goes, where pathlib raises."""
    return Path(os.path.realpath(path))


def expand_home(path: Path | str) -> Path:
    """Return a path with `~` as the home folder; of nobody that this machine knows it stays as it is."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - pathlib's own raises there


def find_cache_dir() -> Path:
    """Find the folder for fetched and converted files; it may not exist yet.

    `REXNET_HUB_CACHE` wins, then `XDG_CACHE_HOME/rexnet_hub`, then `~/.cache/rexnet_hub`.
    """
    if override := os.environ.get("REXNET_HUB_CACHE"):
        return Path(override)
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "rexnet_hub"


def find_trust_config() -> Path | None:
    """Find the trust configuration of a Sigstore, as `REXNET_HUB_SIGSTORE` names it; None: the public one."""
    return Path(named) if (named := os.environ.get("REXNET_HUB_SIGSTORE")) else None


def mark_used(folder: Path) -> None:
    """Set a folder's time to now, which is when the cache last gave it; a cache of others stays as it is."""
    with contextlib.suppress(OSError):
        os.utime(folder)


def find_state_dir() -> Path:
    """Find the folder for what no clearing of the cache may lose; it may not exist yet.

    `XDG_STATE_HOME/rexnet_hub`, then `~/.local/state/rexnet_hub`.
    """
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "rexnet_hub"
