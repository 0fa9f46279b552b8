"""Read and query the model index and its lock of measured values."""

from rexnet_hub.index.entry import Claim, Entry, Preprocessing
from rexnet_hub.index.loading import Index, load_index
from rexnet_hub.index.lock import Lock, Measured, read_lock

__all__ = ["Claim", "Entry", "Index", "Lock", "Measured", "Preprocessing", "load_index", "read_lock"]
