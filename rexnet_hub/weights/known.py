"""Remember, within this process, the digest of a file that nobody has changed since it was hashed.

A file is stamped only under a read lease, so while nobody has it open for writing; who opens it later and
writes moves the time of its last change, which no call sets back.
"""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from rexnet_hub.weights.lease import lease_holds, take_lease

#: A disk's clock may tick slowly: two changes within one tick leave the same stamp, so young files get none.
SETTLED_NS = 2_000_000_000


class Stamp(NamedTuple):
    """What is the same of a file as long as nobody changes it; times in nanoseconds."""

    device: int
    inode: int
    size_bytes: int
    modified_ns: int
    changed_ns: int


_digests: dict[Stamp, str] = {}


def take_stamp(descriptor: int) -> Stamp | None:
    """Stamp an open file; None where a change could go unseen. It is good while the file stays open."""
    if not take_lease(descriptor):
        return None
    status = os.fstat(descriptor)
    if time.time_ns() - status.st_ctime_ns < SETTLED_NS:
        return None
    return Stamp(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def recall_sha256(stamp: Stamp | None) -> str | None:
    """Give the digest that a file with this stamp had, if it was hashed in this process."""
    return None if stamp is None else _digests.get(stamp)


def remember_sha256(descriptor: int, stamp: Stamp | None, sha256: str) -> None:
    """Keep the digest of the bytes that were read since the stamp was taken."""
    if stamp is not None and lease_holds(descriptor):
        _digests[stamp] = sha256
