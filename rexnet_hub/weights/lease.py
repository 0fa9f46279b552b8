"""Hold a file still while it is read: a read lease, which the kernel of Linux gives.

While the lease is held nobody has the file open for writing, and who tries to open it so, or to cut it,
waits: until the lease is given back, or for the system's patience (45 seconds in
/proc/sys/fs/lease-break-time), after which it is taken away. So a lease that is still there at the end
says that the bytes were the same all along.
"""

from __future__ import annotations

import fcntl
import os
import signal
from pathlib import Path

from rexnet_hub.errors import FileProblem

# Kinds of file system on which every writer goes through this kernel; on others a lease proves nothing.
LOCAL_KINDS = frozenset({"ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "xfs"})


def take_lease(descriptor: int) -> bool:
    """Take a read lease on an open file; say whether there is one. It goes with the file's closing."""
    if not hasattr(fcntl, "F_SETLEASE") or kind_of_disk(descriptor) not in LOCAL_KINDS:
        return False
    try:
        # A waiting writer is announced by a signal; this one is ignored unless somebody handles it.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError:  # somebody is writing, the file is another user's, or the system has no leases
        return False
    return True


def lease_holds(descriptor: int) -> bool:
    """Say whether a lease that was taken is still there, and nobody waits for its end."""
    return fcntl.fcntl(descriptor, fcntl.F_GETLEASE) == fcntl.F_RDLCK


def kind_of_disk(descriptor: int) -> str | None:
    """Name the kind of file system that a file is on, as Linux does."""
    device = os.fstat(descriptor).st_dev
    sought = f"{os.major(device)}:{os.minor(device)}"
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, PermissionError):
        return None
    except OSError as error:
        raise FileProblem("/proc/self/mountinfo", f"cannot be read: {error.strerror}") from None
    for line in mounts.splitlines():
        fields, _, kind = line.partition(" - ")
        if fields.split(" ")[2] == sought:
            return kind.split(" ")[0]
    return None
