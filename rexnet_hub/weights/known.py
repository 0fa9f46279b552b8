"""Remember, within this process, what was read of a file that nobody has changed since.

A file is stamped only under a read lease, so while nobody has it open for writing; who opens it later and
writes moves the time of its last change, which no call sets back.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import NamedTuple

from rexnet_hub.weights.checkpoint.manifest import Manifest
from rexnet_hub.weights.lease import kind_of_disk, lease_holds, take_lease

#: A disk's clock may tick slowly: two changes within one tick leave the same stamp, so young files get none.
SETTLED_NS = 2_000_000_000
#: Here a write through a shared map of the file moves no time.
_UNTIMED_KINDS = frozenset({"tmpfs"})


class Stamp(NamedTuple):
    """What is the same of a file as long as nobody changes it; times in nanoseconds."""

    device: int
    inode: int
    size_bytes: int
    modified_ns: int
    changed_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What was read of a safetensors file: its digest, where its data begins, and its tensors."""

    sha256: str
    start_bytes: int
    manifest: Manifest


_known: dict[Stamp, Known] = {}


def take_stamp(descriptor: int) -> Stamp | None:
    """Stamp an open file; None where a change could go unseen. It is good while the file stays open."""
    if kind_of_disk(descriptor) in _UNTIMED_KINDS or not take_lease(descriptor):
        return None
    status = os.fstat(descriptor)
    if time.time_ns() - status.st_ctime_ns < SETTLED_NS:
        return None
    return Stamp(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def recall(stamp: Stamp | None) -> Known | None:
    """Give what is known of the file with this stamp, if it was read in this process."""
    return None if stamp is None else _known.get(stamp)


def remember(descriptor: int, stamp: Stamp | None, known: Known) -> None:
    """Keep what was read since the stamp was taken."""
    if stamp is not None and lease_holds(descriptor):
        _known[stamp] = known
