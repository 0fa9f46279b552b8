"""Run an act again and again, each time ended at another of its calls on files, and look after each.

    python failing_calls.py ROOT ACT WAYS FOLDER ARGUMENT...

WAYS is a list such as `KILL,EIO`: the n-th call, n from 1 until the act gets through, ends the process or
fails as if the system had said so. After each the act is run once more, undisturbed. Prints JSON: for each
run the way, the call, what was said, and the state that was found after it and after the second run; and
the state that an undisturbed run leaves.
"""

import errno
import hashlib
import json
import os
import pathlib
import shutil
import signal
import sys
import traceback
from pathlib import Path

sys.path.insert(0, sys.argv[1])

from rexnet_hub.errors import RexnetHubError
from rexnet_hub.layout import PACKAGE_DIR

CHANGING = {"write", "fsync", "rename", "replace", "unlink", "rmdir", "open", "mkdir", "chmod"}
ENDING = {"KILL": CHANGING | {"close", "flock"}}
MODULES = {"posix", "fcntl", "_io", "io", None}
#: The standard library's modules that act on files for us; from 3.13 on pathlib is a folder.
STANDARD = tuple(
    module.__file__.removesuffix("/__init__.py").removesuffix(".py") for module in (pathlib, shutil)
)
#: What converting does on its own has a sweep of its own.
ELSEWHERE = str(PACKAGE_DIR / "weights")


def watcher(way, number, told):
    """Make a profile function that ends the act at its n-th call, and tells the call's name."""
    left, names = number, ENDING.get(way, CHANGING)

    def watch(frame, event, function):
        nonlocal left
        name = getattr(function, "__name__", "")
        if event != "c_call" or name not in names or getattr(function, "__module__", None) not in MODULES:
            return
        where = frame.f_code.co_filename
        ours = where.startswith((str(PACKAGE_DIR), *STANDARD))
        if not ours or within_elsewhere(frame):
            return
        left -= 1
        if left == 0:
            os.write(told, f"{name}\n".encode())
            if way == "KILL":
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(getattr(errno, way), os.strerror(getattr(errno, way)))

    return watch


def within_elsewhere(frame):
    while frame is not None:
        if frame.f_code.co_filename.startswith(ELSEWHERE):
            return True
        frame = frame.f_back
    return False


def run(act, way=None, number=0):
    """Run the act, in a fork if it is killed; give the call that failed and what was said, or empty texts."""
    reading, told = os.pipe()
    pid = os.fork() if way == "KILL" else None
    said = ""
    if not pid:
        try:
            sys.setprofile(watcher(way, number, told) if way else None)
            act()
        except RexnetHubError as error:
            said = f"{type(error).__name__}: {error}"
        except BaseException:
            said = traceback.format_exc()
        sys.setprofile(None)
        if pid == 0:
            os._exit(0)
    os.close(told)
    with os.fdopen(reading) as stream:
        call = stream.read().strip()
    if pid:
        os.waitpid(pid, 0)
    return call, said


def state(folder):
    """Name what a folder holds: each file but locks, by its digest."""
    digests = {}
    for file in sorted(folder.rglob("*")):
        name = str(file.relative_to(folder))
        if not file.is_file():
            digests[name] = "folder"
        elif not name.endswith(".lock"):
            digests[name] = hashlib.sha256(file.read_bytes()).hexdigest()
    return digests


def act_of(name, folder, arguments):
    """Give the act, and what brings the folder back to how it was before."""
    first, second = map(Path, arguments)
    target = folder / "small"
    if name == "stage":
        from rexnet_hub.index import load_index
        from rexnet_hub.publish.staging import write_staged
        from rexnet_hub.repo import folder as repo

        entry, made = load_index(first).find("small"), folder.with_name("made")
        receipt = write_staged(entry, second, made).receipt

        def convert(source, out, **given):  # what it makes is always the same, and was made
            for file in (made / "model.safetensors", made / "receipt.json"):
                os.link(file, out.with_name(file.name))
            return receipt

        vars(repo)["convert_checkpoint"] = convert
        return lambda: write_staged(entry, second, target), lambda: None
    from rexnet_hub import whole_files
    from rexnet_hub.publish import apply_plan, plan, plan_publish

    if name == "publish-in-two-steps":  # on a file system that cannot swap two folders
        whole_files._exchange = lambda one, other: False
    plan._false_claims = lambda repo: {}  # of weights that are no file of safetensors, to be quick

    def begin():
        shutil.copytree(first, target)

    begin()
    made = plan_publish(second, folder)
    return lambda: apply_plan(made if target.exists() else plan_publish(second, folder)), begin


def main():
    """Sweep every call, in each of the ways."""
    name, ways, folder, arguments = sys.argv[2], sys.argv[3].split(","), Path(sys.argv[4]), sys.argv[5:]
    act, begin = act_of(name, folder, arguments)
    act()  # so that whatever it imports is there
    whole, rows = state(folder), []
    for way in ways:
        for number in range(1, 1000):
            shutil.rmtree(folder)
            folder.mkdir()
            begin()
            call, said = run(act, way, number)
            if not call:
                break
            row = {"way": way, "call": call, "said": said, "after": state(folder)}
            row["again"] = run(act)[1]
            rows.append(row | {"end": state(folder)})
    print(json.dumps({"whole": whole, "rows": rows}))


main()
