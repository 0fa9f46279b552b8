"""An index, a lock or a copy is written whole or not at all, whichever call on files fails."""

import errno
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from rexnet_hub.errors import FileProblem, RexnetHubError
from rexnet_hub.index import load_index
from rexnet_hub.index.change import fix_files
from rexnet_hub.index.lock import Lock, Measured, read_lock, write_lock
from rexnet_hub.layout import PACKAGE_DIR
from rexnet_hub.whole_files import locked, whole_files, whole_folder, write_whole

CALLS = {"open", "write", "flush", "fsync", "chmod", "rename", "replace"}
CODES = (errno.ENOSPC, errno.EIO, errno.EROFS)


def before_call(number, act):
    """Do something before the n-th call on files that our own code, or pathlib for it, makes."""
    left = [number]

    def watch(frame, event, function):
        is_call = event == "c_call" and function.__name__ in CALLS
        if is_call and not isinstance(function.__self__, str):  # text has a `replace` too
            where = frame.f_code.co_filename
            if where.startswith(str(PACKAGE_DIR)) or where.endswith("pathlib.py"):
                left[0] -= 1
                if left[0] == 0:
                    act()

    return watch, left


def fix(folder):
    """Fix an index in place, as `validate --fix` does."""
    fix_files([folder / "index.yml"])


def lock(folder):
    """Write a lock in the place of another."""
    write_lock(Lock(models={"a": Measured(parameters=2)}), folder / "lock.json")


ACTS = {"index.yml": fix, "lock.json": lock}


@pytest.fixture
def folder(tmp_path):
    """Make an index with a certain mistake, and a lock."""
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "index.yml").write_text("# kept\nModels:\n- Name: a\n  Metdata: {Epochs: 1}\n")
    write_lock(Lock(models={"a": Measured(parameters=1)}), tmp_path / "zoo" / "lock.json")
    return tmp_path / "zoo"


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("name", ACTS)
def test_each_failing_call_leaves_the_old_file_or_the_new(folder, name, code):
    """One error of ours that says why, no half of a file, nothing beside it; then it can be done again."""
    before, refused = contents(folder), 0

    def fail():
        raise OSError(code, os.strerror(code))

    for number in range(1, 100):
        watch, left = before_call(number, fail)
        sys.setprofile(watch)
        try:
            ACTS[name](folder)
        except RexnetHubError as problem:
            said = str(problem)
        else:
            said = ""
        finally:
            sys.setprofile(None)
        if left[0] > 0:
            break
        after = contents(folder)
        assert after.keys() == before.keys()
        if said:
            refused += 1
            assert os.strerror(code) in said
        (folder / name).write_bytes(before[name])
    assert refused >= 4
    assert contents(folder)[name] != before[name]
    assert load_index(folder / "index.yml").models or name == "lock.json"


@pytest.mark.parametrize("name", ACTS)
def test_killed_before_any_call_the_file_is_the_old_or_the_new(folder, name):
    """A process that ends before its n-th call leaves a whole file; the next run ends right."""
    before = contents(folder)[name]
    ACTS[name](folder)
    new, seen = contents(folder)[name], set()
    for number in range(1, 100):
        (folder / name).write_bytes(before)
        watch, _ = before_call(number, lambda: os._exit(9))
        child = os.fork()
        if child == 0:
            sys.setprofile(watch)
            ACTS[name](folder)
            os._exit(0)
        seen.add(contents(folder)[name] if os.waitpid(child, 0)[1] else None)
        if None in seen:
            break
    assert seen == {before, new, None} or seen == {before, None}
    ACTS[name](folder)
    assert contents(folder)[name] == new
    assert read_lock(folder / "lock.json").of("a").parameters == (2 if name == "lock.json" else 1)


def test_a_disk_that_became_read_only_is_a_message(folder, monkeypatch):
    """Where not even the temporary file can be removed, the write is told of, and the old stays."""
    before = contents(folder)

    def refuse(*arguments, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as broken:
        for call in ("os.fsync", "os.unlink"):
            broken.setattr(call, refuse)
        with pytest.raises(RexnetHubError, match=r"lock\.json: cannot be written: Read-only file system"):
            lock(folder)
    assert before.items() <= contents(folder).items()


@pytest.mark.slow
@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_disk_without_locks_is_written_all_the_same(tmp_path, monkeypatch, code):
    """That the lock file is there is the lock; what a killed run left is said within seconds, by its name."""

    def refuse(*arguments):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", refuse)
    started = time.monotonic()
    with locked(tmp_path / "a"):
        write_whole(tmp_path / "a", b"x")
        with whole_folder(tmp_path / "b") as folder:
            write_whole(folder / "c", b"y")
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["a", "b", "c"]
    assert time.monotonic() - started < 1
    left = tmp_path / ".a.lock"
    left.touch()
    with pytest.raises(FileProblem, match=rf"a: cannot be written: {left} is there, .* or remove it"):
        write_whole(tmp_path / "a", b"y")
    assert 1 < time.monotonic() - started < 10
    assert (tmp_path / "a").read_bytes() == b"x"
    left.unlink()
    write_whole(tmp_path / "a", b"y")
    assert (tmp_path / "a").read_bytes() == b"y"


def test_without_locks_only_one_of_many_writes_at_a_time(tmp_path, monkeypatch):
    """Three threads count in one file on a disk without locks, and no count is lost."""

    def refuse(*arguments):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr("fcntl.flock", refuse)
    file = tmp_path / "count"
    file.write_bytes(b"0")

    def count():
        for _ in range(5):
            with locked(file):
                write_whole(file, b"%d" % (int(file.read_bytes()) + 1))

    threads = [threading.Thread(target=count) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert file.read_bytes() == b"15"


def test_a_disk_that_flushes_no_folder_is_taken_as_it_is(tmp_path, monkeypatch):
    """Where fsync of a folder is not there (EINVAL, as some network disks say), a write is still a write."""
    real = os.fsync

    def refuse(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        real(descriptor)

    monkeypatch.setattr("os.fsync", refuse)
    write_whole(tmp_path / "a", b"x")
    assert (tmp_path / "a").read_bytes() == b"x"


def test_who_comes_second_waits_and_is_told_when_it_takes_too_long(tmp_path):
    """A place is one process's at a time; who waits too long is told of it; what a kill locked is free."""
    hold = (
        "import sys, time; from pathlib import Path; from rexnet_hub.whole_files import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    place = tmp_path / "new" / "a"
    child = subprocess.Popen([sys.executable, "-c", hold, str(place)], stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"held\n"
    with pytest.raises(FileProblem, match="at it for too long"), locked(place, seconds=0):
        pass
    child.kill()
    child.communicate()
    with locked(place, seconds=5), locked(place, seconds=0):  # its own thread may lock it again
        assert [file.name for file in place.parent.iterdir()] == [".a.lock"]
    assert list(place.parent.iterdir()) == []


def test_many_writers_of_one_file_end_in_one_of_theirs(tmp_path):
    """Writers at once wait for each other; each time the file is one whole writing, and nothing is left."""
    file = tmp_path / "a"
    seen = set()

    def write(number):
        for _ in range(20):
            write_whole(file, bytes([number]) * 100_000)
            seen.add(len(set(file.read_bytes())))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {1}
    assert len(file.read_bytes()) == 100_000
    assert [left.name for left in tmp_path.iterdir()] == ["a"]


def test_what_was_planted_under_the_temporary_name_is_not_written_to(tmp_path):
    """A link under the temporary name is taken away, under the lock's refused; the other file stays."""
    other = tmp_path / "other"
    other.write_bytes(b"mine")
    os.link(other, tmp_path / ".a.part")
    write_whole(tmp_path / "a", b"x")
    (tmp_path / ".a.part").symlink_to(other)
    write_whole(tmp_path / "a", b"x")
    (tmp_path / ".b.lock").symlink_to(other)
    with pytest.raises(FileProblem, match="symbolic links"):
        write_whole(tmp_path / "b", b"x")
    assert (other.read_bytes(), (tmp_path / "a").read_bytes()) == (b"mine", b"x")


def test_a_link_stays_a_link_and_permissions_stay(tmp_path):
    """Writing through a link replaces what it names, with the permissions that it had."""
    real = tmp_path / "real"
    real.write_bytes(b"old")
    real.chmod(0o640)
    (tmp_path / "link").symlink_to(real)
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (real.read_bytes(), real.stat().st_mode & 0o777) == (b"new", 0o640)


def test_a_receipt_never_stands_beside_another_file(tmp_path, monkeypatch):
    """Of two files written together the second is gone before the first changes, and comes last."""
    first, second = tmp_path / "first", tmp_path / "second"
    for text in (b"old", b"new"):
        with whole_files(first, second) as (one, two):
            one.write(text)
            two.write(text)
    seen, real = [], Path.replace

    def watch(part, file):
        seen.append((file.name, first.read_bytes(), second.exists()))
        return real(part, file)

    monkeypatch.setattr(Path, "replace", watch)
    with whole_files(first, second) as (one, two):
        one.write(b"third")
        two.write(b"third")
    assert seen == [("first", b"new", False), ("second", b"third", False)]
    with pytest.raises(ZeroDivisionError), whole_files(first, second) as (one, _):
        one.write(bytes(1 // 0))
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == dict.fromkeys(
        ("first", "second"), b"third"
    )
