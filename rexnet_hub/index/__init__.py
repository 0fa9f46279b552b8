"""The model index: read, ask, and what machines measured beside it."""

from rexnet_hub.index.entry import (
    Claim,
    Collection,
    Entry,
    Index,
    Location,
    Paper,
    Preprocessing,
    Released,
    Result,
    Snapshot,
)
from rexnet_hub.index.load import load_index
from rexnet_hub.index.lock import Lock, Measured, read_lock
from rexnet_hub.index.problems import Fix, Problem

__all__ = [
    "Claim",
    "Collection",
    "Entry",
    "Fix",
    "Index",
    "Location",
    "Lock",
    "Measured",
    "Paper",
    "Preprocessing",
    "Problem",
    "Released",
    "Result",
    "Snapshot",
    "load_index",
    "read_lock",
]
