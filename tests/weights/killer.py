"""Run one act again and again, each time ended at another moment, and look at the folder after each.

    python killer.py ROOT MODE LIMIT ACT ARGUMENT...

MODE `call`: the process kills itself before its n-th call that touches files, n from 1 until the act
gets through. MODE `time`: killed from outside LIMIT times, at moments spread evenly over the time that the
act takes; where it was through before, again at another moment. Prints one JSON line: how often it was
killed, and what was wrong. Imports neither torch nor numpy, so a run takes milliseconds.
"""

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, sys.argv[1])

from rexnet_hub.weights.convert import convert_checkpoint
from rexnet_hub.weights.fetch import fetch

CALLS = {
    "write",
    "fsync",
    "rename",
    "replace",
    "unlink",
    "remove",
    "open",
    "flock",
    "mkdir",
    "ftruncate",
    "close",
}
GOLDEN = 0.6180339887  # its multiples, less their whole part, fill 0..1 evenly however many there are
MODULES = {"posix", "fcntl", "_io", "io", None}


def act_of(name, arguments):
    """Give the act, and what must hold in its folder whenever it is looked at."""
    source, folder, expected = Path(arguments[0]), Path(arguments[1]), json.loads(arguments[2])
    if name == "convert":
        out = folder / "model.safetensors"
        return lambda: convert_checkpoint(source, out), folder, expected
    return lambda: fetch(source.as_uri(), file_name="file.pth", cache_dir=folder), folder, expected


def files_in(folder):
    """List the files below a folder."""
    return [file for file in folder.rglob("*") if file.is_file()]


def wrong_in(folder, expected):
    """List the files whose final name holds anything but the one right content."""
    wrong = []
    for file in files_in(folder):
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        if file.name in expected and expected[file.name] not in (digest, ""):
            wrong.append(f"{file.name} is {digest}")
        if file.name not in expected and not file.name.startswith("."):
            wrong.append(f"{file.name} should not be there")
    return wrong


def kill_at(number):
    """Make this process kill itself before its n-th call that touches a file."""
    left = number

    def watch(frame, event, function):
        nonlocal left
        name = getattr(function, "__name__", "")
        if event == "c_call" and name in CALLS and getattr(function, "__module__", None) in MODULES:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(watch)


def run(act, *, before=None, seconds=None):
    """Run the act in a fork; say whether it was killed."""
    pid = os.fork()
    if pid == 0:
        if before:
            kill_at(before)
        act()
        sys.setprofile(None)
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status)


def main():
    """Kill, look, and at last let it get through and look whether it swept."""
    _, _, mode, limit, name, *arguments = sys.argv
    act, folder, expected = act_of(name, arguments)
    kills, wrong = 0, []
    run(act)  # all is warm from here on
    for file in files_in(folder):
        file.unlink()
    started = time.monotonic()
    run(act)
    whole = time.monotonic() - started
    tries = int(limit) if mode == "call" else 10 * int(limit)
    for number in range(1, tries + 1):
        for file in files_in(folder):
            if number % 2:  # every other time into an empty folder, else over what is there
                file.unlink()
        moment = {"before": number} if mode == "call" else {"seconds": whole * (number * GOLDEN % 1)}
        killed = run(act, **moment)
        kills += killed
        wrong += wrong_in(folder, expected)
        if (mode == "call" and not killed and number % 2) or (mode == "time" and kills == int(limit)):
            break
    run(act)
    wrong += wrong_in(folder, expected)
    left = sorted(file.name for file in files_in(folder))
    print(json.dumps({"kills": kills, "wrong": wrong, "left": left, "seconds": whole}))


main()
