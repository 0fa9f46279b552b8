"""An index, a lock or a copy is written whole or not at all, whichever call on files fails."""

import errno
import os
import sys

import pytest

from rexnet_hub.errors import RexnetHubError
from rexnet_hub.index import load_index
from rexnet_hub.index.lock import Lock, Measured, read_lock, write_lock
from rexnet_hub.index.reading.fix import fix_files
from rexnet_hub.layout import PACKAGE_DIR

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
    fix_files(load_index(folder / "index.yml").problems)


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
