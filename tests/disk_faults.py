"""Run commands on a disk with a fault, then without it, and print what each did; a script for test_disks.py.

Arguments: a JSON object of what each command is called and its words, an empty folder, the faults. `OUT`
in the words is a folder of the command's own, a copy of the folder ZOO, with the index and the cache in it.
"""

import contextlib
import errno
import fcntl
import io
import json
import os
import resource
import shutil
import sys
import time
import traceback
from pathlib import Path


def without_locks(place):
    """Take flock away, as some network and user-space file systems do."""

    def refuse(*arguments):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    real, fcntl.flock = fcntl.flock, refuse
    try:
        yield
    finally:
        fcntl.flock = real


def full(place):
    """Let no file grow: for a test nearer than a full disk, and for the program the same."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def anothers(place):
    """Let the folders belong to another user, or for want of one be read-only."""
    folders = [place, *(file for file in place.rglob("*") if file.is_dir())]
    if os.geteuid() == 0:
        os.seteuid(65534)
    else:
        for folder in folders:
            folder.chmod(0o555)
    try:
        yield
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        for folder in folders:
            folder.chmod(0o755)


#: In this order: where all works, what is imported late is imported; another user may not be able to read it.
FAULTS = {"no locks": without_locks, "full": full, "another's": anothers}


def run(words):
    """Run one command; give its exit code or traceback, what it said, and how long it took."""
    from rexnet_hub.cli import main

    out, err = io.StringIO(), io.StringIO()
    start = time.monotonic()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code: int | str
        try:
            code = main(words)
        except BaseException:
            code = traceback.format_exc()
    return {"code": code, "said": err.getvalue(), "seconds": time.monotonic() - start}


def files_in(place):
    """List the files below a folder, hidden ones too."""
    return {str(file.relative_to(place)) for file in place.rglob("*") if file.is_file()}


def run_faulty(fault, words, place):
    """Run a command in a folder of its own with a fault, and again without it."""
    shutil.copytree(os.environ["ZOO"], place)
    os.environ["REXNET_HUB_INDEX"] = str(place / "index")
    os.environ["REXNET_HUB_CACHE"] = str(place / "cache")
    words = [word.replace("OUT", str(place)) for word in words]
    before = files_in(place)
    with contextlib.contextmanager(FAULTS[fault])(place):
        row = {"faulty": run(words)}
    row["left"] = sorted(files_in(place) - before)
    row["again"] = run(words)
    row["hidden"] = sorted(name for name in files_in(place) if "/." in f"/{name}")
    shutil.rmtree(place)
    return row


def main():
    """Run every command in turn under each fault, and print what each did as JSON."""
    commands, place, faults = json.loads(sys.argv[1]).items(), Path(sys.argv[2], "place"), sys.argv[3:]
    told = {fault: {name: run_faulty(fault, words, place) for name, words in commands} for fault in faults}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
