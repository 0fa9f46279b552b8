"""Read and query the model index and its lock of measured values."""

from rexnet_hub.index.entry import (
    Claim,
    Entry,
    Location,
    Paper,
    Preprocessing,
    PublishedTable,
    Released,
    Result,
)
from rexnet_hub.index.lock import Lock, Measured, read_lock
from rexnet_hub.index.problems import Fix, Problem
from rexnet_hub.index.reading.read import Index, load_index

__all__ = [
    "Claim",
    "Entry",
    "Fix",
    "Index",
    "Location",
    "Lock",
    "Measured",
    "Paper",
    "Preprocessing",
    "Problem",
    "PublishedTable",
    "Released",
    "Result",
    "load_index",
    "read_lock",
]
