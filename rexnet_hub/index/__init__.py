"""The model index: read, ask, and what machines measured beside it."""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # As typing's own, without the time that importing it takes.
if TYPE_CHECKING:
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

# Opened on first use, so that `list` runs from its own copy without making records.
_DOORS = {
    **dict.fromkeys(("Lock", "Measured", "read_lock"), "lock"),
    **dict.fromkeys(("Fix", "Problem"), "problems"),
    "load_index": "load",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'rexnet_hub.index' has no attribute {name!r}")
    return getattr(importlib.import_module(f"rexnet_hub.index.{_DOORS.get(name, 'entry')}"), name)
