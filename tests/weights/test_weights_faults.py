"""Whatever goes wrong, no file under its final name is ever incomplete or wrong."""

import errno
import json
import os
import pathlib
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from checkpoints import fingerprint, names_in, save

from rexnet_hub.errors import CheckpointError, FileProblem
from rexnet_hub.identity import Identity
from rexnet_hub.layout import PACKAGE_DIR
from rexnet_hub.weights.checkpoint.sandbox import list_in_child
from rexnet_hub.weights.convert import convert_checkpoint
from rexnet_hub.weights.digest import digest_file, private_copy
from rexnet_hub.weights.fetch import fetch

#: A file, and from Python 3.13 on a folder.
PATHLIB = pathlib.__file__.removesuffix("/__init__.py").removesuffix(".py")
KILLER = Path(__file__).with_name("killer.py")


@pytest.fixture
def source(tmp_path):
    """Save some megabytes, so that a kill can meet every stage."""
    state = {f"w.{i}": torch.full((100, 1000), float(i)) for i in range(8)}
    return save(state, tmp_path / "source.pth", "legacy")


@pytest.fixture
def folder(tmp_path):
    """Make an empty folder to write into."""
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder"


def kill_often(mode, limit, act, source, folder, expected):
    """Run killer.py; give its report."""
    arguments = [
        str(PACKAGE_DIR.parent),
        mode,
        str(limit),
        act,
        str(source),
        str(folder),
        json.dumps(expected),
    ]
    return json.loads(subprocess.check_output([sys.executable, str(KILLER), *arguments], text=True))


def right_conversion(source, tmp_path):
    """Convert once undisturbed; give the digest of each file."""
    (tmp_path / "right").mkdir()
    convert_checkpoint(source, tmp_path / "right" / "model.safetensors")
    return {file.name: digest_file(file).sha256 for file in (tmp_path / "right").iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["call", "time"])
def test_a_killed_conversion_leaves_nothing_wrong(mode, source, folder, tmp_path):
    """Killed before each call on files, and at 50 moments: both files right or absent; then swept."""
    expected = right_conversion(source, tmp_path)

    report = kill_often(mode, 50 if mode == "time" else 400, "convert", source, folder, expected)

    assert report["wrong"] == []
    assert report["left"] == ["model.safetensors", "receipt.json"]
    assert report["kills"] >= 25 if mode == "call" else report["kills"] == 50


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["call", "time"])
def test_a_killed_fetch_leaves_nothing_wrong(mode, source, folder):
    """Killed before each call that touches files, and at 50 moments: the cached file is right or absent."""
    expected = {"file.pth": digest_file(source).sha256}

    report = kill_often(mode, 50 if mode == "time" else 400, "fetch", source, folder, expected)

    assert report["wrong"] == []
    assert set(report["left"]) <= {"file.pth", f".{Identity().address(source.as_uri())}.lock"}
    assert report["kills"] >= 20 if mode == "call" else report["kills"] == 50


def failing_call(number, code, name):
    """Make our n-th call of this name raise, as if the system had; say in the list that it did."""
    left, hits = [number], []

    def watch(frame, event, function):
        if event == "c_call" and function.__name__ == name:
            where = frame.f_code.co_filename
            if not where.startswith((str(PACKAGE_DIR), PATHLIB)):
                return
            left[0] -= 1
            if left[0] == 0:
                hits.append(name)
                raise OSError(code, os.strerror(code))

    return watch, hits


@pytest.mark.parametrize("name", ["open", "write", "fsync", "pread", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_each_failing_call_of_a_conversion_is_one_refusal(code, name, source, folder):
    """A call that fails, early or late, is one error of ours that says why; the old weights stay whole."""
    out = folder / "model.safetensors"
    convert_checkpoint(source, out)
    before, number, failures = out.read_bytes(), 1, 0
    while True:
        watch, hits = failing_call(number, code, name)
        said = ""
        sys.setprofile(watch)
        try:
            convert_checkpoint(source, out)
        except (FileProblem, CheckpointError) as error:
            said = str(error)
        finally:
            sys.setprofile(None)
        if not hits:
            break
        failures += 1
        assert os.strerror(code) in said
        assert out.read_bytes() == before
        assert set(names_in(folder)) <= {"model.safetensors", "receipt.json"}
        number = max(number + 1, 2 * number - 2)
    assert failures >= 2


def limited(script, size_bytes, *arguments):
    """Run a script in a process that may write files of a bounded size; give what it prints."""
    head = (
        "import resource, sys; sys.path.insert(0, sys.argv[1])\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size_bytes}, {size_bytes}))\n"
        "from pathlib import Path\n"
        "from rexnet_hub.errors import RexnetHubError\n"
        "from rexnet_hub.weights.convert import convert_checkpoint\n"
        "from rexnet_hub.weights.fetch import fetch\n"
        "try:\n"
        f"    {script}\n"
        "except RexnetHubError as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    command = [sys.executable, "-c", head, str(PACKAGE_DIR.parent), *map(str, arguments)]
    return subprocess.check_output(command, text=True)


@pytest.mark.parametrize("size_bytes", [0, 1000, 1_000_000, 3_000_000])
def test_a_file_that_cannot_grow_is_a_problem_of_that_file(size_bytes, source, folder):
    """With no room for the output, neither act leaves anything, and says why."""
    convert = "convert_checkpoint(Path(sys.argv[2]), Path(sys.argv[3]))"
    said = limited(convert, size_bytes, source, folder / "model.safetensors")
    assert said.startswith("FileProblem")
    assert "File too large" in said
    assert names_in(folder) == []

    bring = "fetch(Path(sys.argv[2]).as_uri(), file_name='a.pth', cache_dir=Path(sys.argv[3]))"
    said = limited(bring, size_bytes, source, folder)
    assert said.startswith("FileProblem")
    assert "File too large" in said
    assert not any(file.is_file() for file in folder.rglob("*"))


def unwritable(folder):
    """Give a folder that this user cannot write to; for root only the system has one."""
    if os.geteuid() == 0:
        return Path("/proc")
    folder.chmod(0o500)
    return folder


def test_a_folder_that_cannot_be_written_is_said_to_be_so(source, folder):
    """A read-only folder, one that is not there, and a file in its place are named."""
    locked = unwritable(folder)
    for place in (locked, folder / "none", source):
        with pytest.raises(FileProblem, match=str(place)):
            convert_checkpoint(source, place / "model.safetensors")
    for place in (locked, source):
        with pytest.raises(FileProblem, match=str(place)):
            fetch(source.as_uri(), file_name="a.pth", cache_dir=place)


def test_two_conversions_at_once_end_in_one_right_pair(source, folder, tmp_path):
    """Two processes that convert different files to the same place leave one of the two whole pairs."""
    other = save({"w.0": torch.zeros(5)}, tmp_path / "other.pth", "zip")
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from rexnet_hub.weights.convert import convert_checkpoint\n"
        "for _ in range(4): convert_checkpoint(Path(sys.argv[2]), Path(sys.argv[3]))"
    )
    out = folder / "model.safetensors"
    children = [
        subprocess.Popen([sys.executable, "-c", script, str(PACKAGE_DIR.parent), str(file), str(out)])
        for file in (source, other, source)
    ]
    assert [child.wait() for child in children] == [0, 0, 0]

    receipt = json.loads((folder / "receipt.json").read_text())
    assert receipt["output"]["sha256"] == digest_file(out).sha256
    assert fingerprint(out) in {fingerprint(source), fingerprint(other)}
    assert names_in(folder) == ["model.safetensors", "receipt.json"]


def test_a_source_that_changes_while_it_is_read_is_refused(source, folder):
    """A file that somebody writes to meanwhile is refused, not read half old and half new."""
    stop = threading.Event()

    def scribble():
        with source.open("r+b") as stream:
            while not stop.is_set():
                stream.seek(-4, 2)
                stream.write(os.urandom(4))
                stream.flush()

    thread = threading.Thread(target=scribble)
    thread.start()
    try:
        said = ""
        for _ in range(50):  # a copy may be made within one tick of the disk's clock
            try:
                convert_checkpoint(source, folder / "model.safetensors", allow_nonfinite=True)
            except FileProblem as error:
                said = str(error)
                break
    finally:
        stop.set()
        thread.join()
    assert "changed while it was read" in said


def test_a_file_replaced_by_another_does_not_change_what_was_read(source, folder):
    """What is converted is what was digested: a later write to the source does not reach the copy."""
    with private_copy(source, folder=folder) as (copy, digest):
        size = source.stat().st_size
        source.write_bytes(bytes(size))
        assert len(list_in_child(copy).tensors) == 8
        assert digest.size_bytes == size


# What the child does in place of listing tensors, how long it has by the clock, and how the refusal begins.
ACTS = {
    "memory": ("bytearray(1 << 40)", 60, "takes more than 256 MiB"),
    "memory, not by Python": ("(sandbox.os.abort())", 60, "broke the process that read it (exit -6"),
    "processor time": ("any(iter(int, 1))", 60, "broke the process that read it"),
    "the clock": ("__import__('time').sleep(60)", 1, "could not be read within 1 seconds"),
    "a written file": ("open(WRITTEN, 'w').write('x' * 9999)", 60, "broke the process that read it (exit"),
    "an error of its own": ("1 / 0", 60, "broke the process that read it (exit 1,"),
}


@pytest.mark.parametrize("act", ACTS)
def test_a_child_that_breaks_a_limit_is_a_refusal(act, tmp_path, monkeypatch):
    """Memory, a crash, CPU time, the clock, a written file: each ends the child alone, in one refusal."""
    from rexnet_hub.weights.checkpoint import sandbox

    code, patience, start = ACTS[act]
    written = tmp_path / "written"
    lines = (
        "import sys; sys.path.append(sys.argv[1])",
        "from rexnet_hub.weights.checkpoint import sandbox",
        f"sandbox.PATIENCE, WRITTEN = {patience}, {str(written)!r}",
        f"sandbox.list_tensors = lambda source, wrapper: {code}",
        "sandbox.serve(sys.argv[2])",
    )
    monkeypatch.setattr(sandbox, "_CHILD", "\n".join(lines))
    monkeypatch.setattr(sandbox, "PATIENCE", patience)
    monkeypatch.setattr(sandbox, "CPU_SECONDS", 1)
    file = save({"w": torch.ones(1)}, tmp_path / "a.pth", "legacy")
    with private_copy(file) as (copy, _):
        before = sorted(Path("/proc/self/fd").iterdir())
        with pytest.raises(CheckpointError) as refusal:
            list_in_child(copy)
        assert sorted(Path("/proc/self/fd").iterdir()) == before
    assert refusal.value.problem.startswith(start)
    assert not written.exists() or written.read_bytes() == b""


def test_the_limits_of_the_child_are_real():
    """Under its limits a process gets no more memory, no more time and writes no file."""
    script = (
        "import sys; sys.path.append(sys.argv[1])\n"
        "from rexnet_hub.weights.checkpoint.sandbox import MEMORY_BYTES, set_limits\n"
        "set_limits(1)\n"
        "try: bytearray(2 * MEMORY_BYTES)\n"
        "except MemoryError: print('memory', flush=True)\n"
        "import os\n"
        "try: os.write(os.open(sys.argv[2], os.O_CREAT | os.O_WRONLY), b'x')\n"
        "except OSError: print('file', flush=True)\n"
        "while True: pass\n"
    )
    command = [sys.executable, "-I", "-S", "-c", script, str(PACKAGE_DIR.parent), "/dev/shm/x"]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    Path("/dev/shm/x").unlink(missing_ok=True)

    assert child.stdout.split() == ["memory", "file"]
    assert child.returncode < 0


@pytest.mark.parametrize("container", ["legacy", "zip"])
def test_memory_stays_small(container, tmp_path, folder):
    """A checkpoint of 65 MB converts in some forty megabytes, the reading child included."""
    file = save({f"w.{i}": torch.ones(4_000_000) for i in range(4)}, tmp_path / "a.pth", container)
    script = (
        "import resource, sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from rexnet_hub.weights.convert import convert_checkpoint\n"
        "convert_checkpoint(Path(sys.argv[2]), Path(sys.argv[3]))\n"
        "status = Path('/proc/self/status').read_text()\n"
        "print(status.partition('VmHWM:')[2].split()[0])\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    arguments = [str(PACKAGE_DIR.parent), str(file), str(folder / "model.safetensors")]
    used = subprocess.check_output([sys.executable, "-c", script, *arguments], text=True).split()

    assert sum(map(int, used)) < 80_000
