"""Run commands as near to Windows as another system can be made, and print what each did; a script.

On Windows it runs them as they are. Elsewhere the package alone sees `sys.platform` as `win32`, no POSIX
module and no POSIX part of `os` and `signal`; nobody opens a folder, flushes a file that is open for reading
only, or renames, replaces or removes a file that is open; a lock is `msvcrt.locking`, and standard output has
a code page.
"""

import builtins
import contextlib
import importlib
import io
import json
import os
import sys
import types
from pathlib import Path

MODULES = ("fcntl", "resource", "pwd", "grp", "termios")
OF_OS = (
    *("fork", "pread", "preadv", "pwrite", "fchmod", "getuid", "geteuid", "sched_getaffinity"),
    *("memfd_create", "O_NOFOLLOW", "O_DIRECTORY", "O_CLOEXEC", "O_NONBLOCK", "O_TMPFILE"),
)
OF_SIGNAL = ("SIGALRM", "alarm", "setitimer", "SIGKILL", "SIGXFSZ")
OPEN_FILES = Path("/proc/self/fd")


class Without(types.ModuleType):
    """A module in place of another, without some names and with others."""

    def __init__(self, real, missing=(), **others):
        super().__init__(real.__name__)
        self.__dict__.update(others, _real=real, _missing=missing)

    def __getattr__(self, name):
        if name in self._missing:
            raise AttributeError(f"module {self._real.__name__} has no attribute {name}: this is Windows")
        return getattr(self._real, name)


def refuse(file):
    raise PermissionError(13, "Permission denied", str(file))


def lock_bytes(descriptor, mode, count):
    """Lock as `msvcrt.locking` does: an error of permission where another has it."""
    fcntl = importlib.import_module("fcntl")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        refuse(descriptor)


def open_file(file, *arguments, **options):
    return refuse(file) if Path(file).is_dir() else os.open(file, *arguments, **options)


def flush_file(descriptor):
    fcntl = importlib.import_module("fcntl")
    if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(9, "Bad file descriptor")
    os.fsync(descriptor)


def keep_open_files():
    """Let no file that this process has open be renamed, replaced or removed."""

    def guard(call):
        def guarded(file, *arguments, **options):
            is_file = "dir_fd" not in options and Path(file).is_file()
            if is_file and any(held.exists() and held.samefile(file) for held in OPEN_FILES.glob("*")):
                refuse(file)
            return call(file, *arguments, **options)

        return guarded

    for name in ("rename", "replace", "unlink", "remove"):
        setattr(os, name, guard(getattr(os, name)))


def become_windows():
    """Show the package another system."""
    real_import, signal = builtins.__import__, importlib.import_module("signal")
    keep_open_files()
    shown = {
        "sys": Without(sys, platform="win32"),
        "os": Without(os, OF_OS, open=open_file, fsync=flush_file),
        "signal": Without(signal, OF_SIGNAL),
        "msvcrt": Without(os, LK_NBLCK=2, locking=lock_bytes),
    }

    def import_as_on_windows(name, scope=None, *arguments, **options):
        if str((scope or {}).get("__name__", "")).startswith("rexnet_hub"):
            if name in MODULES:
                raise ModuleNotFoundError(f"No module named {name!r}: this is Windows", name=name)
            if name in shown:
                return shown[name]
        return real_import(name, scope, *arguments, **options)

    setattr(builtins, "__import__", import_as_on_windows)  # noqa: B010 - its signature is wider


def run(words):
    """Run one command, its output in the code page of Western Europe; give exit code, output and errors."""
    from rexnet_hub.cli import main

    streams = [io.TextIOWrapper(io.BytesIO(), encoding="cp1252") for _ in range(2)]
    with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
        code = main(words)
        for stream in streams:
            stream.flush()
    return [code, *(stream.buffer.getvalue().decode("cp1252") for stream in streams)]


def render_site():
    """Render the site; give how many files it has."""
    from rexnet_hub.index import load_index, read_lock
    from rexnet_hub.pages.site import render_site

    return len(render_site(load_index().models, read_lock()))


def load(source):
    """Load a model as a user does; give how many parameters it has."""
    from rexnet_hub import AutoModel

    return sum(parameter.numel() for parameter in AutoModel.from_pretrained(source).parameters())


if __name__ == "__main__":
    if sys.platform != "win32":
        become_windows()
    told = {name: run(words) for name, words in json.loads(sys.argv[1]).items()}
    print(json.dumps(told | {"site": render_site(), "load": load(sys.argv[2])}))
