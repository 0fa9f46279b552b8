"""List the name of every file and folder that is read or written."""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE_DIR = Path(__file__).resolve().parent

# One repo on the Hub, one folder on disk: the same four files.
WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
CARD_FILE = "README.md"
RECEIPT_FILE = "receipt.json"
REPO_FILES = (CARD_FILE, CONFIG_FILE, WEIGHTS_FILE, RECEIPT_FILE)

# Of a signed repo, two more.
STATEMENT_FILE = "statement.json"
SIGNATURE_FILE = "model.sig"
SIGNATURE_FILES = (STATEMENT_FILE, SIGNATURE_FILE)

LOCK_FILE = "lock.json"

# Of the cache: released files by their digests, and the repos that were made of them.
RELEASED_FOLDER, REPOS_FOLDER = "released", "repos"


def receipt_of(weights: Path) -> Path:
    """Return the file of a receipt: `receipt.json` beside a repo's weights, else named after the weights."""
    return weights.with_name(RECEIPT_FILE if weights.name == WEIGHTS_FILE else f"{weights.stem}.receipt.json")


def find_index_dir() -> Path:
    """Find the model index: the checkout's folder, else the wheel's copy.

    `REXNET_HUB_INDEX` names another folder or file and wins over both.
    """
    if override := os.environ.get("REXNET_HUB_INDEX"):
        return Path(override)
    checkout = PACKAGE_DIR.parent / "model_index"
    return checkout if checkout.is_dir() else PACKAGE_DIR / "model_index"


def find_cache_dir() -> Path:
    """Find the folder for fetched and converted files; it may not exist yet.

    `REXNET_HUB_CACHE` wins, then `XDG_CACHE_HOME/rexnet_hub`, then `~/.cache/rexnet_hub`.
    """
    if override := os.environ.get("REXNET_HUB_CACHE"):
        return Path(override)
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "rexnet_hub"


def find_state_dir() -> Path:
    """Find the folder for what no clearing of the cache may lose; it may not exist yet.

    `XDG_STATE_HOME/rexnet_hub`, then `~/.local/state/rexnet_hub`.
    """
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "rexnet_hub"
